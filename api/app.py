"""The served API: its routes, what every request passes through, and the parts made at start."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from api import (
    audit,
    backups,
    chat,
    docs,
    files,
    logins,
    metrics,
    oidc,
    openai,
    problems,
    quotas,
    restores,
    runs,
    status,
    status_page,
    tokens,
    tools,
    usage,
    users,
    verify,
    workspaces,
)
from api.alert_routes import alert_routes
from api.audited import Audited
from api.fastgpt import serving as fastgpt
from api.parts import GRACE, opened
from api.requests import Requests
from core.config import Settings
from core.tools.configured import shelf_for

TITLE = "Pilothouse"
LIMIT_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
READ = ("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID")
"""Standard headers that pages of other origins may send, besides ours."""


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application; its lifespan opens the parts that ``settings`` name."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opened(settings) as parts:
            app.state.parts = parts
            metrics.install(app, parts)
            status_page.install(app, parts)

            async def wind_down() -> None:
                await asyncio.gather(
                    parts.conversations.aclose(GRACE), parts.tool_calls.aclose(GRACE), app.state.fastgpt.runs.aclose(GRACE)
                )

            app.state.wind_down = wind_down
            # What was made at start stays: 300,000 objects of libraries, searched in vain, cost a quarter of the CPU under load.
            gc.collect()
            gc.freeze()
            gc.collect()  # counts what is left as long-lived, which decides when the next full collection comes
            gc.set_threshold(5_000, 10, 5)
            yield

    # The pages of documentation load their scripts from elsewhere by default; ours are shipped.
    app = FastAPI(title=TITLE, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    problems.install(app, settings.api_prefix)
    native = APIRouter()
    for module in (chat, openai, status, files, tools, backups, restores, status_page, metrics):
        native.include_router(module.router)
    for module in (logins, oidc, verify, users, workspaces, tokens, audit, quotas, usage):
        native.include_router(module.router)
    for router in (runs.flows, runs.runs, docs.router, alert_routes):
        native.include_router(router)
    fastgpt.install(app, native, settings, shelf_for(settings))
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.cors_origins),
        # Any site at all may ask, but not with the login of whoever is looking at it.
        allow_credentials="*" not in settings.cors_origins,
        allow_methods=["*"],
        allow_headers=[*READ, "X-Session-Id", "X-Request-Id", "X-Workspace"],
        expose_headers=["X-Turn-Id", "X-Flow-Run-Id", "X-Request-Id", "Retry-After", *LIMIT_HEADERS],
    )
    app.add_middleware(Audited)
    app.add_middleware(Requests, chat=settings.chat, prefix=settings.api_prefix)
    return app
