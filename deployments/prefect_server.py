"""Prefect's own server as a part of ``up``: on loopback, behind a password, with a lower priority than what answers people."""

import sys
from pathlib import Path

from core.config import PrefectServer, Settings, child_environment, prefect_environment
from deployments.addresses import get
from deployments.databases import Database
from deployments.part import Program
from deployments.secret_files import kept_secret, secret_path, write_secret

HOST = "127.0.0.1"
_NICE = 10
_USER = "pilothouse"


def prefect_login(data_dir: Path) -> str:
    """``user:password`` of the server's API and UI, made at first use."""
    path = secret_path(data_dir, "prefect-login")
    if not path.is_file():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(path, f"{_USER}:{kept_secret(data_dir, 'prefect-password')}")
    return path.read_text().strip()


def prefect_part(settings: Settings, port: int, database: Database) -> Program:
    """The server with its web page, its services and its migrations; ready when it answers."""
    server = PrefectServer(
        database_url=database.url,
        encryption_key=_encryption_key(settings.data_dir),
        port=port,
        auth_string=prefect_login(settings.data_dir),
    )

    async def ready() -> bool:
        return (await get(HOST, port, "/api/health"))[0] == 200

    return Program(
        "prefect",
        [sys.executable, "-m", "deployments.prefect_process", "--host", HOST, "--port", str(port)],
        child_environment(prefect_environment(settings, "server", server)),
        ready,
        stage=1,
        nice=_NICE,
    )


def _encryption_key(data_dir: Path) -> str:
    """A Fernet key: 32 random bytes in URL-safe base64 with its padding, which ``token_urlsafe`` leaves out."""
    return f"{kept_secret(data_dir, 'prefect-encryption-key')}="
