"""Whether this process serves, and whether what it depends on does."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import psutil
from fastapi import APIRouter, Response

from api.parts import TheParts
from core.errors import PilothouseError

router = APIRouter(tags=["health"])
STARTED = time.time()


@router.get("/health", summary="Whether this process serves")
@router.head("/health", include_in_schema=False)
async def health(parts: TheParts) -> dict[str, Any]:
    """200 while the process serves. Asks nothing of others: ``db`` is whether the last question to it was answered."""
    return {
        "status": "ok",
        "db": parts.store.answers,
        "memory": {"rss": psutil.Process().memory_info().rss},
        "uptime": round(time.time() - STARTED, 1),
        "data": {"status": "ok", "timestamp": int(time.time() * 1000)},
    }


@router.get("/ready", summary="Whether what it depends on serves")
@router.head("/ready", include_in_schema=False)
async def ready(parts: TheParts, response: Response) -> dict[str, Any]:
    """200 when chat can answer, else 503; ``missing`` names what does not answer. Chat works without Prefect and files."""
    states = {"database": await _answers(parts.store.ping), "streams": await _answers(parts.streams.ping)}
    states["models"] = await _answers(parts.models.resolve)
    missing = [name for name, serves in states.items() if not serves]
    response.status_code = 503 if missing else 200
    return {
        "status": "unavailable" if missing else "ok",
        "missing": missing,
        "parts": states | {"prefect": parts.link.presence.up, "files": await parts.files.serves()},
    }


async def _answers(question: Callable[[], Awaitable[object]]) -> bool:
    try:
        await question()
    except PilothouseError:
        return False
    return True
