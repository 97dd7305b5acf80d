"""Presence: true while the server answers, false when it is gone or hangs, callbacks each time it returns."""

import asyncio
from asyncio import StreamReader, StreamWriter

import pytest

from flows import presence as presence_module
from flows.presence import Presence
from tests.waiting import eventually


class Server:
    """A server that answers every request with ``status``, or, while ``hangs``, not at all."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.hangs = False
        self.port = 0

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if not self.hangs:
            writer.write(f"HTTP/1.1 {self.status}\r\ncontent-length: 4\r\nconnection: close\r\n\r\ntrue".encode())
            await writer.drain()
        else:
            await reader.read()
        writer.close()


async def test_follows_a_server_that_comes_goes_and_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence_module, "TIMEOUT", 0.2)
    server = Server()
    calls: list[str] = []

    async def broken() -> None:
        calls.append("broken")
        raise RuntimeError("a listener's mistake")

    async def told() -> None:
        calls.append("told")

    async with server:
        presence = Presence(f"http://127.0.0.1:{server.port}/api", interval=0.02)
        presence.on_up += [broken, told]
        await presence.start()
        assert not presence.up
        assert await presence.wait_up(5)
        await eventually(lambda: calls == ["broken", "told"], what="both listeners told, the first one's failure kept apart")
        server.hangs = True
        await eventually(lambda: not presence.up, what="a hanging server counted as away")
        assert not await presence.wait_up(0.05)
        server.hangs = False
        await eventually(lambda: len(calls) == 4, what="the listeners told again")
        server.status = "503 Service Unavailable"
        await eventually(lambda: not presence.up, what="an unhealthy server counted as away")
    async with server:
        server.status = "200 OK"
        assert await presence.wait_up(5)
        await presence.stop()


async def test_stop_ends_a_listener_that_still_works() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with Server() as server:
        presence = Presence(f"http://127.0.0.1:{server.port}/api", interval=0.02)
        presence.on_up.append(slow)
        await presence.start()
        async with asyncio.timeout(30):
            await began.wait()
        await presence.stop()
        assert ended.is_set()
