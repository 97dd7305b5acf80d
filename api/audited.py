"""Who changed what over HTTP: every request that is not only a question is an entry of the audit log."""

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.audit.entry import Entry
from core.errors import PilothouseError
from core.store.access import Principal

log = structlog.get_logger(__name__)

QUESTIONS = ("GET", "HEAD", "OPTIONS")
TOLD = (b"x-turn-id", b"x-flow-run-id")
"""Headers of the answer that tell what it was about."""


class Audited:
    """ASGI middleware inside of ``Requests``. The entry is written once the answer is sent, so that nobody waits for it.

    Requests of nobody known are refused and told of in the log alone: else anybody could fill the database. Logins have entries
    of their own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in QUESTIONS:
            await self._app(scope, receive, send)
            return
        status, told = 500, {}

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                told.update({name.decode(): value.decode() for name, value in message["headers"] if name in TOLD})
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            principal = scope.get("state", {}).get("principal")
            if isinstance(principal, Principal):
                _note(scope, principal, status, told)


def _note(scope: Scope, principal: Principal, status: int, told: dict[str, str]) -> None:
    route = scope.get("route")
    path = getattr(route, "path", scope["path"])
    entry = Entry(
        f"{scope['method']} {path}",
        "success" if status < 400 else "failure",
        actor=principal.token_id,
        actor_name=principal.name,
        address=scope["client"][0] if scope.get("client") else "",
        object=scope["path"],
        request_id=scope["state"].get("request_id", ""),
        details={"status": status} | told,
    )
    try:
        scope["app"].state.parts.audit.note(entry)
    except (AttributeError, PilothouseError):  # an application without its parts, as it is before it has started
        log.warning("audit_entry_not_kept", action=entry.action)
