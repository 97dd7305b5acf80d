"""A deadline for clients that, when they are cancelled, first wait for their server once more."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE = 2.0
"""Seconds that a cancelled client has for a clean end."""


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` gives. Raises ``TimeoutError`` when it takes longer; nothing of it runs on then, nor after a cancellation."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # nobody may be left to hear it
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(task)
    finally:
        # The first cancellation asks the server to stop and waits for its word; the second gives that up.
        for _ in range(2):
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=PATIENCE)
