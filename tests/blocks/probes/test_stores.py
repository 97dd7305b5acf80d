"""What holds for every store: strangers, silence and closed ports are told apart in time, and no secret is told."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any

import pytest

from tests.blocks.probes.looking import seen
from tests.blocks.probes.mongo_stand_in import threads_ended

SECRET = "s3cr3t-p4ss"
STORES = {
    "postgres": "postgresql://user:{secret}@{host}/name",
    "mysql": "mysql://user:{secret}@{host}/name",
    "redis": "redis://user:{secret}@{host}/0",
    "mongo": "mongodb://user:{secret}@{host}/name",
    "s3": "http://user:{secret}@{host}",
    "weaviate": "http://{host}",
}
STRANGERS = {
    "web": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u2\r\n",
    "noise": bytes(range(256)) * 8,
    "nothing": b"",
}


@asynccontextmanager
async def stranger(words: bytes, *, hangs: bool = False) -> AsyncGenerator[int, None]:
    """A server that says the same to everyone, then hangs up or hangs; gives its port. It is gone when its clients are."""
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            if not words.startswith(b"SSH"):
                await reader.read(65536)
            writer.write(words)
            await writer.drain()
            while hangs and await reader.read(65536):
                pass
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(talk(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])
        await threads_ended()
        while left := [each for each in talks if not each.done()]:
            await asyncio.wait(left, timeout=10)


async def look(check: str, host: str, limit: float) -> tuple[str, str, str]:
    """State, code and message, within the time that is allowed."""
    password: dict[str, Any] = {"password": SECRET} if check == "weaviate" else {}
    began = monotonic()
    found = await seen(check, STORES[check].format(secret=SECRET, host=host), timeout=limit, **password)
    assert monotonic() - began < limit + 2  # of which it uses nothing on a machine that is not busy
    assert SECRET not in repr(found)
    return found.state, found.code, found.message


@pytest.mark.parametrize("check", STORES)
async def test_a_closed_port_and_a_name_that_nobody_knows(check: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    state, code, message = await look(check, f"127.0.0.1:{port}", 10)
    assert (state, code) == ("down", "refused")
    assert message == f"127.0.0.1:{port} refused the connection: is it running, and listening there?"
    state, code, message = await look(check, "no-such-host.invalid:1", 10)
    assert (state, code) == ("down", "name")
    assert "no-such-host.invalid" in message


@pytest.mark.parametrize("check", STORES)
@pytest.mark.parametrize("who", STRANGERS)
async def test_something_else_listens_there(check: str, who: str) -> None:
    async with stranger(STRANGERS[who]) as port:
        # These two wait for a server that does not begin, or try again until their time is up.
        state, code, message = await look(check, f"127.0.0.1:{port}", 0.8 if check in {"mysql", "mongo"} else 10)
    assert state == "down"
    assert code in {"protocol", "reset", "status", "refused", "timeout", "tls"}
    assert f"127.0.0.1:{port}" in message
    assert "Debian" not in message


@pytest.mark.parametrize("check", STORES)
async def test_a_server_that_says_nothing(check: str) -> None:
    async with stranger(b"", hangs=True) as port:
        limit = 2 if check == "s3" else 0.5  # making the SDK's client takes a while
        state, code, message = await look(check, f"127.0.0.1:{port}", limit)
    assert (state, code) == ("down", "timeout")
    assert message.startswith(f"127.0.0.1:{port} did not answer within {limit:g} s")
