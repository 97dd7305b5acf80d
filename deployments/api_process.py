"""The API's process: waits for the database, brings it up to date, then serves on uvicorn until SIGTERM.

The event loop runs beside the main thread, which only waits for signals. In the main thread Prefect would take SIGTERM over for
as long as a conversation's flow is open, and raise it as an exception in the middle of whatever runs.
"""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn

import uvicorn
import uvloop
from pydantic import SecretStr

from core import logs
from core.config import Settings
from core.errors import ConfigurationInvalid, DatabaseUnavailable
from core.store.access import Tokens
from core.store.base import Store
from core.store.schema import migrate
from deployments.addresses import listening
from deployments.first_admin import keep_first_admin
from deployments.http_protocol import TimedProtocol
from deployments.loading import loading
from deployments.secret_files import kept_secret, write_secret

_DATABASE_PATIENCE = 60.0
_GRACE = 10
_STARTUP_FAILED = 3
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_TLS_EVERY = 5.0


def run_api(settings: Settings, descriptor: int | None, admin_token: Path | None) -> NoReturn:
    """Serve on the inherited socket, or on one of our own; ``admin_token`` is the file to keep a valid admin token in."""
    logs.configure(settings.log_level)
    settings = with_signing_keys(settings)
    # By name, because the API and the command line are floors that do not know each other.
    with loading():
        application = import_module("api.app").create_app(settings)
    logs.configure(settings.log_level)  # Prefect sets up logging by itself when it is imported
    bound = socket.socket(fileno=descriptor) if descriptor is not None else listening(settings.host, settings.port)
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http=TimedProtocol,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=_GRACE,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    server = _Server(config, application)
    _run_beside(lambda: _serve(settings, server, bound, admin_token), stop=lambda: _stop(server))
    # Prefect's event queue would be drained at exit without any limit; the application has drained it with one.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if server.started else _STARTUP_FAILED)


class _Server(uvicorn.Server):
    """Lets the application wind down while its connections are still open, so that every stream tells its end."""

    def __init__(self, config: uvicorn.Config, application: Any) -> None:
        super().__init__(config)
        self._application = application

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        winding_down = asyncio.ensure_future(self._application.state.wind_down())
        await super().shutdown(sockets)
        winding_down.cancel()


def _run_beside(work: Callable[[], Coroutine[Any, Any, None]], stop: Callable[[], None]) -> None:
    """Run ``work`` on an event loop in a thread of its own; SIGTERM and SIGINT call ``stop`` here. Raises as ``work`` does."""
    outcome: Future[None] = Future()

    def loop() -> None:
        # Whatever thread the kernel chose, only the main thread can act; so it must not choose another.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            outcome.set_exception(error)
        else:
            outcome.set_result(None)

    for number in _SIGNALS:
        signal.signal(number, lambda *_: stop())
    threading.Thread(target=loop, name="api", daemon=True).start()
    outcome.result()


def _stop(server: uvicorn.Server) -> None:
    """The first time an end with grace, the second time at once."""
    if not server.started:
        os._exit(0)
    server.force_exit = server.should_exit
    server.should_exit = True


async def _serve(settings: Settings, server: uvicorn.Server, bound: socket.socket, admin_token: Path | None) -> None:
    await _migrated(settings)
    if admin_token is not None:
        await keep_admin_token(settings, admin_token)
    await keep_first_admin(settings, make_up=admin_token is not None)
    server.config.load()
    watching = asyncio.create_task(_reload_tls(server.config)) if server.config.ssl is not None else None
    await server.serve(sockets=[bound])
    if watching is not None:
        watching.cancel()


async def _migrated(settings: Settings) -> None:
    """Our schema, brought up to date; a database that does not answer yet is waited for."""
    if settings.database.url is None:
        raise ConfigurationInvalid("No database is configured: set DATABASE_URL, or start everything with `pilothouse up`.")
    deadline = monotonic() + _DATABASE_PATIENCE
    while True:
        try:
            await migrate(settings.database.url.get_secret_value())
        except DatabaseUnavailable:
            if monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return


def with_signing_keys(settings: Settings) -> Settings:
    """The settings with keys that sign logins and the audit log: configured, else made up and kept for this data directory."""
    access, audit = settings.access, settings.audit
    if access.jwt_secret is None:
        access = access.model_copy(update={"jwt_secret": SecretStr(kept_secret(settings.data_dir, "jwt"))})
    if audit.key is None:
        audit = audit.model_copy(update={"key": SecretStr(kept_secret(settings.data_dir, "audit"))})
    return settings.model_copy(update={"access": access, "audit": audit})


async def keep_admin_token(settings: Settings, path: Path) -> None:
    """Make an admin token and write it to ``path`` (0600), unless a valid one lies there already."""
    store = Store.from_settings(settings.database)
    try:
        tokens = Tokens(store)
        found = await tokens.verify(_text(path))
        if found is None or not found.allows("admin"):
            _, plaintext = await tokens.create("admin", ["admin"])
            write_secret(path, plaintext)
    finally:
        await store.aclose()


def _text(path: Path) -> str:
    return path.read_text().strip() if path.is_file() else ""


async def _reload_tls(config: uvicorn.Config) -> None:
    """Loads the certificate again when its files change; connections that are open keep the old one."""
    chain, key = Path(str(config.ssl_certfile)), Path(str(config.ssl_keyfile))
    seen = _stamps(chain, key)
    while True:
        await asyncio.sleep(_TLS_EVERY)
        if (now := _stamps(chain, key)) != seen and config.ssl is not None:
            try:
                config.ssl.load_cert_chain(chain, key)
            except OSError:  # half written, or key and chain do not match yet
                continue
            seen = now


def _stamps(*files: Path) -> list[int]:
    return [file.stat().st_mtime_ns if file.exists() else 0 for file in files]
