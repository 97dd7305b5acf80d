"""Clients that send a byte now and then, and an application that takes its time: their slowness is the point."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any


async def slow_app(scope: dict[str, Any], _receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Answers without reading the body; ``/slow`` takes longer than any head may."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"transfer-encoding", b"chunked")]})
    if scope["path"] == "/slow":
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        await asyncio.sleep(1.0)
    await send({"type": "http.response.body", "body": b"whole"})


async def told(port: int, *pieces: bytes, every: float = 0.0) -> tuple[bytes, float]:
    """What the server says until it closes the connection, and after how many seconds."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = loop.time()

    async def drip() -> None:
        with suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(every)

    dripping = asyncio.create_task(drip())
    said = b""
    with suppress(ConnectionError):
        said = await asyncio.wait_for(reader.read(), 30)
    dripping.cancel()
    writer.close()
    return said, loop.time() - began
