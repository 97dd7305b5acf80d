"""A wire between a client and a real server: it counts what the server sends, and can go silent as a broken network does."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

Address = Path | int
"""A socket's path, or a port on loopback."""


class Wire:
    """``received``: bytes that the server has sent through. ``silent``: nothing gets through any more, and nobody is told."""

    def __init__(self, server: Address) -> None:
        self.received = 0
        self.silent = False
        self._server = server

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self._server, Path):
                from_server, to_server = await asyncio.open_unix_connection(self._server)
            else:
                from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server)
        except OSError:  # the server is gone
            writer.close()
            return
        try:
            await asyncio.gather(
                self._pass_on(reader, to_server, counted=False), self._pass_on(from_server, writer, counted=True)
            )
        except ConnectionError:
            pass
        finally:
            writer.close()
            to_server.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        while piece := await reader.read(2**16):
            self.received += len(piece) if counted else 0
            if not self.silent:
                writer.write(piece)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def wire(server: Address, listen: Path | None = None) -> AsyncGenerator[tuple[Wire, int], None]:
    """The wire and the port that it listens on; with ``listen`` it listens on that socket instead, and the port means nothing."""
    carried = Wire(server)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(carried._carry(reader, writer)))

    if listen is not None:
        listener = await asyncio.start_unix_server(connected, listen)
    else:
        listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield carried, 0 if listen is not None else int(listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
