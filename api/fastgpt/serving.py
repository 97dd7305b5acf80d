"""FastGPT's paths in our application."""

from fastapi import APIRouter, FastAPI

from api.fastgpt import generation_a, generation_b, generation_c
from api.fastgpt.calling import Service
from api.fastgpt.streams import Runs
from api.fastgpt.wires import FAMILIES, Wires
from core.config import Settings
from core.tools.shelf import Shelf


def install(app: FastAPI, native: APIRouter, settings: Settings, shelf: Shelf) -> None:
    """FastGPT's paths and the native ones, which also answer under ``api_prefix``; FastGPT's win under one of ``/api``."""
    app.state.fastgpt = Service(
        Wires(settings.fastgpt.generation, settings.api_prefix),
        shelf,
        Runs(settings.chat.ping, settings.fastgpt.run_timeout),
    )
    app.include_router(generation_b.router)
    app.include_router(generation_c.router)
    for router in (native, generation_a.router):
        app.include_router(router)
        if settings.api_prefix:
            app.include_router(router, prefix=settings.api_prefix, include_in_schema=False)
    ours_too = settings.api_prefix == "/api"
    paths = [f"/api/{family}/{{path:path}}" for family in FAMILIES] if ours_too else ["/api/{path:path}"]
    app.include_router(generation_b.leftovers(paths))
