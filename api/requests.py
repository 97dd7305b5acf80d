"""What every request gets at the door: an id, a bounded body, one log line at its end, and an answer if all else fails."""

import asyncio
import math
import re
from time import perf_counter
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import answer
from core.config import ChatSettings
from core.errors import BodyTooLarge
from core.ids import new_id

log = structlog.get_logger(__name__)

SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
BODY_SECONDS = 60.0
"""A body that takes longer is given up (408)."""
DRAINED = 64_000_000
"""Bytes of a refused body that are read and dropped, so that a client which sends before it reads sees the answer."""

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
)
"""On every answer that does not say otherwise: no guessing of types, no frames of other sites, no addresses told to them."""
_SECURE = (*_ALWAYS, (b"strict-transport-security", b"max-age=31536000"))


class Requests:
    """ASGI middleware, put outermost: ``app.add_middleware(Requests, chat=settings.chat, prefix=settings.api_prefix)``.

    ``request.state.request_id`` is the caller's ``X-Request-Id`` if that is sane, else a new one; the answer carries it too.
    ``request.state.body_bytes`` counts the body as it comes. A stream's line is written when it ends.
    """

    def __init__(
        self, app: ASGIApp, chat: ChatSettings | None = None, prefix: str = "", body_seconds: float = BODY_SECONDS
    ) -> None:
        self._app = app
        self._chat = chat or ChatSettings()
        self._prefix = prefix
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        state = scope.setdefault("state", {})
        given = headers.get(b"x-request-id", b"")
        request_id = state["request_id"] = given.decode() if SANE_ID.fullmatch(given) else new_id()
        state["body_bytes"] = 0
        if b"content-length" in headers or b"transfer-encoding" in headers:
            receive = _Body(receive, state, headers, self._limit(scope["path"]), self._body_seconds)
        exchange = _Exchange(scope, send, request_id.encode())
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, exchange.send)
            except Exception as error:  # noqa: BLE001  (answer logs it with its traceback)
                response = answer(scope, error, self._prefix)
                if exchange.status is None:
                    await response(scope, receive, exchange.send)
            finally:
                exchange.tell()

    def _limit(self, path: str) -> int:
        """Images come to chat alone; whether its model can see them is the route's to say (``check_body``)."""
        path = path.removeprefix(self._prefix)
        chat = path.startswith("/chat/") or path == "/v1/chat/completions"
        return max(self._chat.vision_body_limit, self._chat.body_limit) if chat else self._chat.body_limit


def check_body(request: Request, chat: ChatSettings, vision: bool) -> None:
    """For a chat route, once its model is known: raises ``BodyTooLarge`` over the limit of a model with or without ``vision``."""
    limit = chat.vision_body_limit if vision else chat.body_limit
    if request.state.body_bytes > limit:
        what = "" if vision else " for a model without vision"
        raise BodyTooLarge(f"The body is over the limit of {limit} bytes{what}.")


class _Body:
    """``receive`` of a request with a body: counted, bounded and timed."""

    def __init__(self, receive: Receive, state: dict[str, Any], headers: dict[bytes, bytes], limit: int, seconds: float) -> None:
        self._receive = receive
        self._state = state
        self._limit = limit
        self._deadline = asyncio.get_running_loop().time() + seconds
        length = headers.get(b"content-length", b"")
        self._announced = int(length) if length.isdigit() else 0
        self._waits = b"expect" in headers
        self._complete = False

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()
        if self._announced > self._limit:
            await self._refuse()
        message = await self._next()
        if self._state["body_bytes"] > self._limit:
            await self._refuse()
        return message

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self._complete = True
            raise HTTPException(408, "The body came too slowly.", {"Connection": "close"}) from None
        self._state["body_bytes"] += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        return message

    async def _refuse(self) -> None:
        # A client that waits for "100 Continue" has sent nothing yet and reads the answer first.
        while not self._complete and not self._waits and self._state["body_bytes"] <= self._limit + DRAINED:
            await self._next()
        close = {} if self._complete else {"Connection": "close"}
        self._complete = True
        raise HTTPException(413, f"The body is over the limit of {self._limit} bytes.", close)


class _Exchange:
    """One request and what is sent in answer, for its line in the log."""

    def __init__(self, scope: Scope, send: Send, request_id: bytes) -> None:
        self._scope = scope
        self._send = send
        self._header = (b"x-request-id", request_id)
        self._start = perf_counter()
        self._bytes = 0
        self.status: int | None = None
        self._ended = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            self._bytes += len(message.get("body", b""))
            self._ended = not message.get("more_body", False)
        elif message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            given = {name.lower() for name, _ in headers}
            headers += self._scope["state"].get("headers", ())
            always = _SECURE if self._scope.get("scheme") == "https" else _ALWAYS
            message["headers"] = [*headers, self._header, *(each for each in always if each[0] not in given)]
        await self._send(message)

    def tell(self) -> None:
        scope, state = self._scope, self._scope["state"]
        principal = state.get("principal")
        extra = {"code": state["problem"]} if "problem" in state else {}
        if not self._ended:
            extra["cut"] = True  # the client left, or the answer broke off
        log.info(
            "request",
            method=scope["method"],
            path=scope["path"][:500],
            status=self.status or 499,
            ms=math.ceil((perf_counter() - self._start) * 10_000) / 10,
            client=scope["client"][0] if scope.get("client") else None,
            token=principal.token_id if principal is not None else None,
            bytes=self._bytes,
            **extra,
        )
