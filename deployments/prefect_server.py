"""Prefect's own server as a part of ``up``: on loopback, behind a password, with a lower priority than what answers people."""

import sys
from pathlib import Path
from urllib.parse import urlsplit

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
        [
            sys.executable,
            "-m",
            "deployments.prefect_process",
            "--host",
            HOST,
            "--port",
            str(port),
            "--pictures",
            *_origins(settings),
        ],
        child_environment(prefect_environment(settings, "server", server)),
        ready,
        stage=1,
        nice=_NICE,
    )


def _origins(settings: Settings) -> list[str]:
    """Where links to files lead: the runs of tools show pictures from there."""
    files = settings.files
    if files.link_kind == "served":
        leads = [settings.address]
    else:
        leads = [files.custom_endpoint or files.public_endpoint or files.endpoint or "https://*.amazonaws.com"]
    parts = [urlsplit(address) for address in leads]
    hosts = [f"{part.scheme}://{part.netloc}" for part in parts]
    beside = [f"{part.scheme}://{files.bucket}.{part.netloc}" for part in parts if files.in_bucket and files.path_style is False]
    return hosts + beside


def _encryption_key(data_dir: Path) -> str:
    """A Fernet key: 32 random bytes in URL-safe base64 with its padding, which ``token_urlsafe`` leaves out."""
    return f"{kept_secret(data_dir, 'prefect-encryption-key')}="
