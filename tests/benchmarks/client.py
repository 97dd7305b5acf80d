"""A lean client for streamed answers, so that a load test measures the server and not its own client."""

import asyncio
import re
from dataclasses import dataclass, field
from math import isnan
from time import perf_counter
from typing import Any, Self

import orjson

FIRST_TOKEN = re.compile(rb'"content":\s*"[^"]')
NEVER = float("nan")


@dataclass(slots=True)
class Reply:
    """One answer; times in seconds from the moment the request was written."""

    status: int
    head: bytes
    body: bytes
    first: float
    """Until the first chunk with text in it; NaN without one."""
    total: float

    def header(self, name: str) -> str | None:
        found = re.search(rb"(?im)^%b:\s*(.*?)\r?$" % re.escape(name.encode()), self.head)
        return found[1].decode() if found else None

    def json(self) -> Any:
        return orjson.loads(unchunked(self))

    @property
    def text(self) -> str:
        """What was said, put together in the order in which it came."""
        said = []
        for line in unchunked(self).split(b"\n"):
            if line.startswith(b"data: {"):
                for choice in orjson.loads(line[6:]).get("choices", ()):
                    said.append(choice["delta"].get("content") or "")
        return "".join(said)

    @property
    def ended(self) -> bool:
        """Whether the stream said that it is complete."""
        return b"data: [DONE]" in self.body and b"event: error" not in self.body


def unchunked(reply: Reply) -> bytes:
    """The body without HTTP's chunk sizes."""
    if b"transfer-encoding: chunked" not in reply.head.lower():
        return reply.body
    parts, at = [], 0
    while at < len(reply.body):
        end = reply.body.index(b"\r\n", at)
        size = int(reply.body[at:end].partition(b";")[0], 16)
        parts.append(reply.body[end + 2 : end + 2 + size])
        at = end + 4 + size
    return b"".join(parts)


@dataclass(slots=True)
class Line:
    """One kept connection to ``host:port``; one request at a time."""

    host: str
    port: int
    token: str
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(default=None, init=False)

    async def post(self, path: str, body: dict[str, Any]) -> Reply:
        content = orjson.dumps(body)
        request = (
            f"POST {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        ).encode() + content
        kept = self._streams is not None
        reader, head, began = await self._asked(request)
        if not head and kept:  # the server had closed an idle connection
            await self.aclose()
            reader, head, began = await self._asked(request)
        if not head:
            raise ConnectionError("closed without an answer")
        body_bytes, first = await self._body(reader, head.lower(), began)
        total = perf_counter() - began
        if b"connection: close" in head.lower():
            await self.aclose()
        return Reply(int(head[9:12]), head, body_bytes, first, total)

    async def _asked(self, request: bytes) -> tuple[asyncio.StreamReader, bytes, float]:
        """The head of the answer, empty where the connection was closed before it."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.host, self.port, limit=2**20)
        reader, writer = self._streams
        began = perf_counter()
        writer.write(request)
        try:
            return reader, await reader.readuntil(b"\r\n\r\n"), began
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return reader, b"", began

    async def _body(self, reader: asyncio.StreamReader, head: bytes, began: float) -> tuple[bytes, float]:
        length = re.search(rb"content-length:\s*(\d+)", head)
        if length:
            return await reader.readexactly(int(length[1])), NEVER
        body, first = b"", NEVER
        while not body.endswith(b"0\r\n\r\n") or (body != b"0\r\n\r\n" and not body.endswith(b"\r\n0\r\n\r\n")):
            piece = await reader.read(2**16)
            if not piece:
                raise ConnectionError("the answer broke off")
            body += piece
            if isnan(first) and FIRST_TOKEN.search(body):
                first = perf_counter() - began
        return body, first

    async def aclose(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
