"""The fake upstream's HTTP: a bare asyncio protocol, which costs next to nothing in a load test and breaks off at will."""

import asyncio
import ssl
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, cast

import orjson

from tests.upstream import behaviours
from tests.upstream.checks import complaint

KEY = "sk-test-0123456789abcdef"
COMPLETIONS = "/chat/completions"


@dataclass(frozen=True)
class Recorded:
    """One request as it came."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: dict[str, Any]


@dataclass
class FakeUpstream:
    """``base_url`` for a provider's configuration; ``disconnects`` names the models whose client left early."""

    key: str | None = KEY
    models: list[dict[str, Any]] = field(default_factory=lambda: [{"id": "plain"}, {"id": "echo", "max_model_len": 4096}])
    models_status: int = 200
    tls: ssl.SSLContext | None = None
    keep: int | None = None
    requests: deque[Recorded] = field(init=False)
    disconnects: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Chat requests so far by model."""
    connections: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        self.requests = deque(maxlen=self.keep)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._open: set[asyncio.Transport] = set()

    @property
    def base_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/v1"

    @property
    def chats(self) -> list[Recorded]:
        """The chat requests alone."""
        return [request for request in self.requests if request.path.endswith(COMPLETIONS)]

    async def listen(self, host: str, port: int) -> None:
        """Serve on the running loop, for a process of its own."""
        server = await asyncio.get_running_loop().create_server(lambda: Connection(self), host, port, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]

    async def __aenter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-upstream", daemon=True)
        self._thread.start()
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._start(), self._loop))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._loop is not None
        assert self._thread is not None
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._stop(), self._loop))
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, 5)
        self._loop.close()

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for transport in list(self._open):
            transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def go_away(self) -> None:
        """Break every connection and refuse new ones, until ``come_back``."""
        assert self._loop is not None
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._stop(), self._loop))

    async def come_back(self) -> None:
        """Listen on the same port again."""
        assert self._loop is not None
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._start(), self._loop))


class Connection(asyncio.Protocol):
    """One client's connection, kept alive between requests."""

    transport: asyncio.Transport

    def __init__(self, upstream: FakeUpstream) -> None:
        self.upstream = upstream
        self.buffer = b""
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own class does not derive from it
        self.upstream.connections += 1
        self.upstream._open.add(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.upstream._open.discard(self.transport)
        if self.task and not self.task.done():
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(self.buffer) < end + 4 + length:
            return
        body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
        method, target, _ = first.split(" ")
        path, _, query = target.partition("?")
        self.answer(method, path, query, headers, body)

    def answer(self, method: str, path: str, query: str, headers: dict[str, str], raw: bytes) -> None:
        up, key = self.upstream, self.upstream.key
        try:
            body = orjson.loads(raw) if raw else {}
        except orjson.JSONDecodeError:
            return self.refuse(400, "could not parse the JSON body of your request")
        recorded = Recorded(method, path, query, headers, body)
        up.requests.append(recorded)
        if key and f"Bearer {key}" != headers.get("authorization") and key != headers.get("api-key"):
            return self.refuse(401, f"Incorrect API key provided: {headers.get('authorization', 'none')}", "invalid_api_key")
        if path.endswith("/models") and method == "GET":
            return self.list_models()
        if not path.endswith(COMPLETIONS) or method != "POST":
            return self.refuse(404, f"Invalid URL ({method} {path})")
        return self.complete(headers, body)

    def list_models(self) -> None:
        if self.upstream.models_status != 200:
            return self.refuse(self.upstream.models_status, "no list today")
        return self.respond(200, orjson.dumps({"object": "list", "data": self.upstream.models}))

    def complete(self, headers: dict[str, str], body: dict[str, Any]) -> None:
        if headers.get("content-type") != "application/json":
            return self.refuse(415, "expected application/json")
        if wrong := complaint(body):
            return self.refuse(400, wrong)
        self.upstream.counts[body["model"]] += 1
        call = behaviours.Call(self, body, self.upstream.counts[body["model"]])
        self.task = asyncio.get_running_loop().create_task(self.run(call))
        return None

    async def run(self, call: behaviours.Call) -> None:
        try:
            await behaviours.behave(call)
        except asyncio.CancelledError:
            self.upstream.disconnects.append(call.model)
            raise

    def respond(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        """A whole answer at once."""
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
        )
        self.transport.write(head.encode() + body)

    def refuse(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        """OpenAI's error shape."""
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        self.respond(status, orjson.dumps({"error": error}), **headers)
