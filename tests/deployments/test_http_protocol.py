"""Clients that send slowly or without end: ended in time, whoever else is answered meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvicorn

from deployments.http_protocol import TimedProtocol
from tests.slow_clients import slow_app, told
from tests.waiting import eventually

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n"


class Hasty(TimedProtocol):
    """The same with little time."""

    head_seconds, body_seconds, head_bytes = 0.3, 0.5, 4096


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(slow_app, port=0, http=Hasty, log_config=None, lifespan="off", timeout_keep_alive=5)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started, what="uvicorn started")
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = server.force_exit = True
    await serving


async def test_headers_that_never_end_are_given_up(port: int) -> None:
    said, took = await told(port, b"GET / HTTP/1.1\r\n", *(b"X-A: b\r\n" for _ in range(500)), every=0.05)
    assert (said.split(b"\r\n")[0], took < 20) == (b"HTTP/1.1 408 Request Timeout", True)


async def test_a_connection_on_which_nothing_is_asked_is_closed(port: int) -> None:
    said, took = await told(port)
    assert (said, took < 20) == (b"", True)


async def test_empty_lines_do_not_keep_a_connection_open(port: int) -> None:
    _, took = await told(port, *(b"\r\n" for _ in range(500)), every=0.05)
    assert took < 20


async def test_headers_without_end_are_refused(port: int) -> None:
    said, _ = await told(port, b"GET / HTTP/1.1\r\nHost: x\r\n", *(b"X-A: " + b"b" * 1000 + b"\r\n" for _ in range(10)))
    assert said.startswith(b"HTTP/1.1 431 ")


async def test_a_body_that_drips_behind_its_answer_is_ended(port: int) -> None:
    said, took = await told(port, POST, *(b"x" for _ in range(499)), every=0.05)
    assert (said.startswith(b"HTTP/1.1 200 "), took < 20) == (True, True)


async def test_an_answer_takes_as_long_as_it_takes(port: int) -> None:
    said, took = await told(port, b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (b"whole" in said, took >= 1.0) == (True, True)
    said, _ = await told(port, b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n", every=0.1)
    assert b"whole" in said, "a stray line behind a request does not cut its answer"


async def test_others_are_answered_meanwhile(port: int) -> None:
    slow = [asyncio.create_task(told(port, b"GET / HTTP/1.1\r\n", b"X", every=5)) for _ in range(50)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        writer.write(GET)
        assert b"whole" in await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 20)
    writer.close()
    assert {said[:13] for said, _ in await asyncio.gather(*slow)} == {b"HTTP/1.1 408 "}
