"""HTTP on a connection, whose client has only so long for what it sends: nobody holds a connection open by sending slowly.

uvicorn waits for the rest of a request for ever, and takes headers without end.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_SECONDS = 15.0
"""For the request line and the headers, from the first byte on; and for that first byte of a new connection."""
BODY_SECONDS = 75.0
"""For the body. A route that reads it gives up earlier, with an answer; this is for those who answer without reading it."""
HEAD_BYTES = 65_536
LINGER = 0.5


class TimedProtocol(HttpToolsProtocol):
    """uvicorn's, with limits for what comes in; streams that go out take as long as they take."""

    head_seconds, body_seconds, head_bytes = HEAD_SECONDS, BODY_SECONDS, HEAD_BYTES

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._deadline: asyncio.TimerHandle | None = None
        self._in_body = False
        self._head = 0
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._give(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._done()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._deadline is None:
            self._give(self.head_seconds)
        super().data_received(data)
        self._head = 0 if self._in_body or self._deadline is None else self._head + len(data)
        if self._head > self.head_bytes and not self.transport.is_closing():
            self._refuse(431)

    def on_headers_complete(self) -> None:
        self._in_body = True
        self._give(self.body_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        self._done()
        super().on_message_complete()

    def _give(self, seconds: float) -> None:
        self._done()
        self._deadline = self.loop.call_later(seconds, self._late)

    def _done(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle  # None before the first request
        answering = cycle is not None and not cycle.response_complete
        if answering and not self._in_body:  # a stray byte behind a request whose answer is still going out
            self._give(self.head_seconds)
        elif answering or self._in_body or not self._head:  # nothing was asked, or what has begun cannot be answered any more
            self.transport.close()
        else:
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        """Answer, and close a moment later: closed at once, with bytes unread, the answer would be lost on its way."""
        self._refused = True
        self._done()
        self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.loop.call_later(LINGER, self.transport.close)
