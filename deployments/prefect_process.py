"""Prefect's server as ``prefect server start`` runs it, and two things more. Run with ``python -m deployments.prefect_process``.

Its page would ask an address on the internet for news: a Content-Security-Policy keeps it to this server, but for the pictures
that tools made. And a stop waits a few seconds only for a browser that has the page open.
"""

import argparse
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import prefect.main  # noqa: F401 - sets up Prefect's logging
import uvicorn
from prefect.server.api.server import create_app
from prefect.settings import get_current_settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; img-src 'self' data: blob:{}; frame-ancestors 'self'"
_GRACE = 3


def kept_to_itself(application: Application, pictures: Sequence[str] = ()) -> Application:
    """The application with a policy on every answer: its pages load from this server only, and images from ``pictures`` too."""
    policy = _POLICY.format("".join(f" {origin}" for origin in pictures)).encode()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", policy)]
            await send(message)

        await application(scope, receive, with_policy)

    return answer


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pictures", nargs="*", default=[], help="origins whose pictures the page may show")
    options = parser.parse_args()
    settings = get_current_settings().server
    uvicorn.run(
        kept_to_itself(create_app(final=True), options.pictures),
        host=options.host,
        port=options.port,
        log_level=settings.logging_level.lower(),
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        timeout_graceful_shutdown=_GRACE,
    )


if __name__ == "__main__":
    main()
