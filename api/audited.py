"""Who changed what over HTTP: every request that is not only a question is an entry of the audit log."""

import asyncio

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.audit.entry import By, Entry, Outcome
from core.store.access import Principal
from flows.auditing import AuditLog

log = structlog.get_logger(__name__)

QUESTIONS = ("GET", "HEAD", "OPTIONS")
TOLD = (b"x-turn-id", b"x-flow-run-id")
"""Headers of the answer that tell what it was about."""


class Audited:
    """ASGI middleware inside of ``Requests``. The entry is in the database before the answer goes out; of a stream, before its
    end, so that no first token waits for it.

    Requests of nobody known are refused and told of in the log alone: else anybody could fill the database. Logins have entries
    of their own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in QUESTIONS:
            await self._app(scope, receive, send)
            return
        writing: asyncio.Task[None] | None = None

        async def noting(message: Message) -> None:
            nonlocal writing
            if message["type"] == "http.response.start" and (entry := _entry(scope, message)) is not None:
                writing = asyncio.create_task(_settled(scope, entry))
                if not _is_stream(message):
                    await asyncio.shield(writing)
            elif writing is not None and not message.get("more_body", False):
                await asyncio.shield(writing)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except BaseException:
            # Nothing was answered: whoever handles the error answers for it outside of here.
            if writing is None and (entry := _entry(scope, None)) is not None:
                await asyncio.shield(asyncio.create_task(_settled(scope, entry)))
            raise
        finally:
            if writing is not None:
                await asyncio.shield(writing)


def by(request: Request) -> By:
    """Who makes a request that ``Require`` has let in, as the log knows them."""
    return _by(request.scope, request.state.principal)


def _by(scope: Scope, principal: Principal) -> By:
    address = scope["client"][0] if scope.get("client") else ""
    return By(principal.token_id, principal.name, address, scope["state"].get("request_id", ""))


def _entry(scope: Scope, start: Message | None) -> Entry | None:
    principal = scope.get("state", {}).get("principal")
    if not isinstance(principal, Principal):
        return None
    status = 500 if start is None else start["status"]
    told = {} if start is None else {name.decode(): value.decode() for name, value in start["headers"] if name in TOLD}
    path = getattr(scope.get("route"), "path", scope["path"])
    outcome: Outcome = "success" if status < 400 else "failure"
    return _by(scope, principal).entry(
        f"{scope['method']} {path}", outcome, scope["path"], status=status, workspace=principal.workspace, **told
    )


def _is_stream(start: Message) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in start["headers"])


async def _settled(scope: Scope, entry: Entry) -> None:
    try:
        audit: AuditLog = scope["app"].state.parts.audit
    except AttributeError:  # an application without its parts, as it is before it has started
        log.warning("audit_entry_not_kept", action=entry.action)
        return
    await audit.settle(entry)
