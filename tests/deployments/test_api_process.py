"""``serve api`` alone: against a given database, on a port of its own, with a certificate that may change."""

import asyncio
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from core.config import DatabaseSettings, Settings
from core.store.access import Tokens
from core.store.base import Store
from deployments.addresses import checked_port, get
from deployments.api_process import keep_admin_token
from tests.waiting import eventually


@asynccontextmanager
async def served(database_url: str, tmp_path: Path, *options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    port = checked_port("127.0.0.1", 0, "--port")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "DATABASE_URL": database_url,
        "PREFECT_API_URL": "http://127.0.0.1:1/api",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deployments.cli", "serve", "api", "--port", str(port), "--data-dir", str(tmp_path), *options),
        env=environ,
        stderr=subprocess.PIPE,
    )
    try:
        yield process, port
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), 30)


async def answers(port: int, *, tls: bool = False) -> bool:
    return (await get("127.0.0.1", port, "/health", tls=tls))[0] == 200


async def test_it_serves_without_any_other_part_and_ends_when_told(empty_database_url: str, tmp_path: Path) -> None:
    async with served(empty_database_url, tmp_path) as (process, port):
        await eventually(lambda: answers(port), within=60, what="the API")
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)
    assert process.returncode == 0


async def test_a_database_that_is_missing_is_one_line(empty_database_url: str, tmp_path: Path) -> None:
    missing = empty_database_url.replace("/test_", "/gone_")
    async with served(missing, tmp_path) as (process, _):
        assert process.stderr is not None
        told = (await asyncio.wait_for(process.stderr.read(), 60)).decode()
        await process.wait()
    assert process.returncode == 2
    assert "does not exist: CREATE DATABASE gone_" in told.splitlines()[-1]
    assert "Traceback" not in told


async def test_a_database_of_a_later_release_is_refused_in_one_line(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE pilothouse.alembic_version SET version_num = '9999'")
    async with served(database_url, tmp_path) as (process, _):
        assert process.stderr is not None
        told = (await asyncio.wait_for(process.stderr.read(), 60)).decode()
        await process.wait()
    assert process.returncode == 2
    assert "was written by a later release (schema 9999" in told.splitlines()[-1]
    assert "Traceback" not in told


def certificate(folder: Path, name: str) -> None:
    """A certificate for ``name`` in ``cert.pem`` and ``key.pem``, each put in its place in one step."""
    key, chain = folder / "key.new", folder / "cert.new"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    subprocess.run([*command, "-keyout", key, "-out", chain], check=True, capture_output=True, timeout=30)
    key.replace(folder / "key.pem")
    chain.replace(folder / "cert.pem")


def shown_certificate(port: int) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain) as secured:
        return secured.getpeercert(binary_form=True) or b""


async def test_a_new_certificate_is_taken_without_a_restart(empty_database_url: str, tmp_path: Path) -> None:
    certificate(tmp_path, "first.example")
    options = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    async with served(empty_database_url, tmp_path, *options) as (_, port):
        await eventually(lambda: answers(port, tls=True), within=60, what="the API")
        assert b"first.example" in await asyncio.to_thread(shown_certificate, port)
        certificate(tmp_path, "second.example")

        async def changed() -> bool:
            return b"second.example" in await asyncio.to_thread(shown_certificate, port)

        await eventually(changed, within=20, what="the new certificate")


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, database=DatabaseSettings(url=SecretStr(database_url)))


async def scopes_of(settings: Settings, token: str) -> frozenset[str]:
    store = Store.from_settings(settings.database)
    try:
        found = await Tokens(store).verify(token)
    finally:
        await store.aclose()
    return found.scopes if found else frozenset()


async def test_the_admin_token_is_kept_while_it_is_good_and_made_anew_when_it_is_not(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "admin-token"
    await keep_admin_token(settings, path)
    first = path.read_text()
    assert await scopes_of(settings, first.strip()) == {"admin"}
    await keep_admin_token(settings, path)
    assert path.read_text() == first
    path.unlink()
    await keep_admin_token(settings, path)
    assert path.read_text() != first
    assert await scopes_of(settings, path.read_text().strip()) == {"admin"}
