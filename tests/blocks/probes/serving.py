"""Servers for probes to look at, each on loopback at a port of its own."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(
    routes: Mapping[str, Handler], host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncGenerator[int, None]:
    """A web server with these handlers by path, for any method; gives its port."""
    app = web.Application()
    for path, handler in routes.items():
        app.router.add_route("*", path, handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, 0, ssl_context=tls)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def saying(
    answer: bytes, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, *, hang: bool = False
) -> AsyncGenerator[int, None]:
    """A server that says these bytes to whatever it is sent, and then hangs up or hangs; gives its port."""
    closed = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read(65536)
            writer.write(answer)
            await writer.drain()
            if hang:
                await closed.wait()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(talk, host, ssl=tls)
    async with server:
        port: int = server.sockets[0].getsockname()[1]
        yield port
        closed.set()
