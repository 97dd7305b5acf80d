"""Server-sent events: a turn's events framed for our own streams and for OpenAI's, sent as they come."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from time import monotonic

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from core.errors import PilothouseError, named, told
from core.events import StreamEvent

PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"
HOLD = 2.0
"""Seconds that a response's first byte waits for the first event, so that a failure before it can still be an HTTP status."""

Framing = Callable[[StreamEvent], bytes]


def chat_framing(detail: bool) -> Framing:
    """Our own stream: chunks with their number as ``id``, errors as ``event: error``, the rest only with ``detail``."""

    def frame(event: StreamEvent) -> bytes:
        match event.kind:
            case "chunk":
                return b"id: %d\ndata: %b\n\n" % (event.n, event.data)
            case "done":
                return DONE
            case "error":
                return b"event: error\ndata: %b\n\n" % event.data
            case _:
                return b"event: %b\ndata: %b\n\n" % (event.kind.encode(), event.data) if detail else b""

    return frame


def openai_framing(include_usage: bool) -> Framing:
    """OpenAI's stream: data lines alone; the usage chunk only for those who asked, errors in OpenAI's shape."""

    def frame(event: StreamEvent) -> bytes:
        match event.kind:
            case "chunk":
                return b"data: %b\n\n" % event.data
            case "usage":
                return b"data: %b\n\n" % event.data if include_usage else b""
            case "error":
                error = orjson.loads(event.data)["error"]
                return b"data: %b\n\n" % orjson.dumps({"error": {**error, "type": "server_error", "param": None}})
            case "done":
                return DONE
            case _:
                return b""

    return frame


class EventStream(Response):
    """Sends what ``frames`` yields. A reader who leaves ends the response, never the work behind it."""

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncGenerator[bytes, None], headers: Mapping[str, str] | None = None) -> None:
        self.frames = frames
        self.status_code = 200
        self.background = None
        self.init_headers({"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", **(headers or {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        sending = asyncio.current_task()
        left = asyncio.create_task(_left(receive))
        left.add_done_callback(lambda _: sending.cancel() if sending is not None and not left.cancelled() else None)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async with aclosing(self.frames) as frames:
                async for frame in frames:
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
            left.cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.CancelledError:
            if not left.done() or sending is None:
                raise
            sending.uncancel()
        finally:
            left.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def opened(batches: AsyncGenerator[list[StreamEvent], None]) -> AsyncGenerator[list[StreamEvent], None]:
    """The same batches, once the first event is there or ``HOLD`` seconds have passed.

    Raises the turn's error when it failed within them before anything was said.
    """
    begun = monotonic()
    first: list[StreamEvent] = []
    async for batch in batches:
        first += batch
        said = next((event for event in first if event.kind != "turn"), None)
        if said is not None and said.kind == "error":
            await batches.aclose()
            raise failure(said)
        if said is not None or monotonic() - begun > HOLD:
            break
    return _chained(first, batches)


def failure(event: StreamEvent) -> PilothouseError:
    """The error that an ``error`` event tells of."""
    error = orjson.loads(event.data)["error"]
    return named(error)


async def _chained(
    first: list[StreamEvent], rest: AsyncGenerator[list[StreamEvent], None]
) -> AsyncGenerator[list[StreamEvent], None]:
    yield first
    async with aclosing(rest):
        async for batch in rest:
            yield batch


async def framed(batches: AsyncIterator[list[StreamEvent]], framing: Framing, ping: float) -> AsyncGenerator[bytes, None]:
    """One write per batch; a comment after ``ping`` seconds without one. A failure to follow is told as one of the turn."""
    last = monotonic()
    try:
        async for batch in batches:
            frames = b"".join(map(framing, batch))
            if not frames and monotonic() - last >= ping:
                frames = PING
            if frames:
                yield frames
                last = monotonic()
    except PilothouseError as error:
        data = orjson.dumps({"error": told(error)})
        yield framing(StreamEvent("error", 0, data)) + framing(StreamEvent("done", 0, b""))
