"""The door, on a real server: ids, log lines, bodies that are too large, too slow or chunked, and answers that break off."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import structlog
import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse
from structlog.testing import capture_logs

from api.problems import install
from api.requests import Requests, check_body
from core.config import ChatSettings
from core.store.access import Principal
from tests.waiting import eventually

CHAT = ChatSettings(body_limit=10_000, vision_body_limit=1_000_000)


def an_app() -> FastAPI:
    app = FastAPI()
    install(app)
    app.add_middleware(Requests, chat=CHAT, body_seconds=0.3)

    @app.post("/echo")
    @app.post("/chat/{session}")
    @app.post("/v1/chat/completions")
    async def echo(request: Request, body: dict[str, Any]) -> dict[str, int]:
        check_body(request, CHAT, vision="vision" in body)
        return {"bytes": request.state.body_bytes}

    @app.get("/who")
    async def who(request: Request) -> dict[str, str]:
        request.state.principal = Principal("t1", "n", frozenset())
        return {"id": request.state.request_id, "bound": structlog.contextvars.get_contextvars()["request_id"]}

    @app.get("/fail")
    async def fail() -> None:
        raise RuntimeError("inside")

    @app.get("/stream")
    async def stream(stop: str) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"first"
            if stop == "broken":
                raise RuntimeError("inside")
            await asyncio.Event().wait()

        return StreamingResponse(pieces())

    return app


@pytest.fixture
async def address() -> AsyncIterator[tuple[str, int]]:
    async with running(an_app()) as port:
        yield "127.0.0.1", port


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[int]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started, what="uvicorn started")
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    server.force_exit = True
    await serving


@pytest.fixture
async def client(address: tuple[str, int]) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{address[0]}:{address[1]}") as client:
        yield client


async def raw(address: tuple[str, int], request: bytes) -> str:
    """What the server answers to these bytes."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(2000), 10)
    writer.close()
    return answer.decode()


async def test_a_sane_request_id_is_kept_and_any_other_replaced(client: httpx.AsyncClient) -> None:
    kept = await client.get("/who", headers={"X-Request-Id": "abc-1"})
    assert kept.json() == {"id": "abc-1", "bound": "abc-1"}
    assert kept.headers["x-request-id"] == "abc-1"
    for odd in ("", "a b", "x" * 65, "{}"):
        made = (await client.get("/who", headers={"X-Request-Id": odd})).headers["x-request-id"]
        assert made != odd
        assert len(made) == 36


async def test_one_line_a_request_without_its_query(client: httpx.AsyncClient) -> None:
    with capture_logs() as lines:
        answer = await client.get("/who?token=hush")
        await client.get("/nowhere")
    who, nowhere = lines
    assert who["ms"] > 0
    assert {**who, "ms": 0} == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "path": "/who",
        "status": 200,
        "ms": 0,
        "client": "127.0.0.1",
        "token": "t1",
        "bytes": len(answer.content),
    }
    assert (nowhere["status"], nowhere["code"], nowhere["token"]) == (404, "not_found", None)


@pytest.mark.parametrize(("path", "limit"), [("/echo", 10_000), ("/chat/s1", 1_000_000), ("/v1/chat/completions", 1_000_000)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_413_naming_it(client: httpx.AsyncClient, path: str, limit: int, chunked: bool) -> None:
    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 5000):
            yield body[start : start + 5000]

    def a_body(size: int) -> bytes | AsyncIterator[bytes]:
        body = json.dumps({"vision": 1, "text": ""})[:-2].encode()
        body += b"x" * (size - len(body) - 2) + b'"}'
        return pieces(body) if chunked else body

    headers = {"content-type": "application/json"}
    fits = await client.post(path, content=a_body(limit), headers=headers)
    assert fits.json() == {"bytes": limit}
    over = await client.post(path, content=a_body(limit + 1), headers=headers)
    assert over.status_code == 413
    assert str(limit) in over.text
    assert "body_too_large" in over.text
    far_over = await client.post(path, content=a_body(3_000_000), headers=headers)
    assert far_over.status_code == 413


async def test_the_larger_limit_is_for_models_with_vision(client: httpx.AsyncClient) -> None:
    answer = await client.post("/chat/s1", json={"text": "x" * 20_000})
    assert answer.status_code == 413
    assert "10000" in answer.json()["detail"]
    assert (await client.post("/chat/s1", json={"vision": 1, "text": "x" * 20_000})).status_code == 200


async def test_a_client_that_asks_first_is_refused_before_it_sends(address: tuple[str, int]) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n"
    answer = await raw(address, head)
    assert answer.startswith("HTTP/1.1 413 ")


async def test_a_body_that_comes_too_slowly_is_408(address: tuple[str, int]) -> None:
    answer = await raw(address, b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
    assert answer.startswith("HTTP/1.1 408 ")
    assert "request_timeout" in answer


async def test_an_unexpected_exception_is_a_500_with_one_traceback(client: httpx.AsyncClient) -> None:
    with capture_logs() as lines:
        answer = await client.get("/fail")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.json()["requestId"] == answer.headers["x-request-id"]
    assert [line["event"] for line in lines] == ["request failed", "request"]


async def test_a_stream_that_breaks_is_logged_at_its_end(client: httpx.AsyncClient) -> None:
    with capture_logs() as lines, pytest.raises(httpx.RemoteProtocolError):
        await client.get("/stream?stop=broken")
    (line,) = await eventually(lambda: [line for line in lines if line["event"] == "request"], what="the line")
    assert (line["status"], line["bytes"], line["cut"]) == (200, 5, True)


async def test_a_stream_whose_reader_leaves_is_logged_at_its_end(client: httpx.AsyncClient) -> None:
    with capture_logs() as lines:
        async with client.stream("GET", "/stream?stop=never") as answer:
            assert await anext(answer.aiter_bytes()) == b"first"
            assert lines == []
        (line,) = await eventually(lambda: lines, what="the line")
    assert (line["status"], line["bytes"], line["cut"]) == (200, 5, True)
