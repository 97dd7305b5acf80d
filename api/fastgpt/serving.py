"""FastGPT's paths in our application."""

from fastapi import APIRouter, FastAPI

from api.fastgpt import generation_a
from api.fastgpt.calling import Service
from api.fastgpt.streams import Runs
from api.fastgpt.wires import Wires
from core.config import Settings
from core.tools.shelf import Shelf

first = APIRouter()
first.include_router(generation_a.router)


def install(app: FastAPI, settings: Settings, shelf: Shelf) -> None:
    """Generation A's paths, and what they and ``/api`` work with; call it before native routes are added.

    The paths of B and C come first, so that they win over native ones under an ``api_prefix`` of ``/api``.
    """
    app.state.fastgpt = Service(
        Wires(settings.fastgpt.generation, settings.api_prefix), shelf, Runs(settings.chat.ping, settings.fastgpt.run_timeout)
    )
    app.include_router(first)
    if settings.api_prefix:
        app.include_router(first, prefix=settings.api_prefix, include_in_schema=False)
