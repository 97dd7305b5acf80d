"""The API's processes as parts of ``up``: all take requests from one listening socket that ``up`` holds."""

import socket
import sys
from pathlib import Path

from core.addresses import reachable_host
from core.config import Settings, child_environment
from deployments.addresses import get
from deployments.engines import handed_on
from deployments.part import Program

_GRACE = 15.0


def admin_token_file(data_dir: Path) -> Path:
    return data_dir / "admin-token"


FIRST_ADMIN = "admin@localhost"
"""Who logs in with the password that was made up."""


def admin_password_file(data_dir: Path) -> Path:
    """The first administrator's password, where it was made up; people delete it once they have noted or changed it."""
    return data_dir / "admin-password"


def api_parts(settings: Settings, config: Path | None, bound: socket.socket) -> list[Program]:
    """One part per worker. The first makes the admin token. Ready when the API answers."""
    environment = child_environment(handed_on(settings, config))
    host, tls = reachable_host(settings.host), settings.tls_cert is not None

    async def ready() -> bool:
        return (await get(host, settings.port, "/health", tls=tls))[0] == 200

    parts = []
    for number in range(1, settings.workers + 1):
        command = [sys.executable, "-m", "deployments.cli", "serve", "api", "--fd", str(bound.fileno())]
        if number == 1:
            command += ["--admin-token", str(admin_token_file(settings.data_dir))]
        name = "api" if settings.workers == 1 else f"api-{number}"
        parts.append(Program(name, command, environment, ready, stage=2, grace=_GRACE, inherited=(bound.fileno(),)))
    return parts
