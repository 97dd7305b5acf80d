"""A whole service by its commands: backed up, drilled, its data directory deleted, restored from the store, and up again."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from json import loads
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pyrage  # type: ignore[import-untyped]
import pytest

from deployments.engines import noted_engines
from deployments.secret_files import kept_secret
from tests.deployments.running_up import RunningUp

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(420)]


class Service:
    """What outlives the data directory: the store, the key, and a configuration."""

    def __init__(self, folder: Path, scratch: str) -> None:
        self.data_dir, self.store, self.key, self.config = (
            folder / name for name in ("data", "store", "age.key", "pilothouse.toml")
        )
        identity = pyrage.x25519.Identity.generate()
        self.key.write_text(str(identity))
        self.config.write_text(f"""
            [backups]
            identity = "file:{self.key}"
            recipients = ["{identity.to_public()}"]
            store = {{ folder = "{self.store}" }}
            [targets.spare]
            url = "{scratch}"
            [sources.never]
            path = "{folder / "absent"}"
        """)
        self.up: RunningUp | None = None

    async def start(self) -> httpx.Client:
        self.up = RunningUp(self.data_dir, "--no-model", "--config", str(self.config))
        await self.up.until("all parts up", within=150)
        noted = noted_engines(self.data_dir)
        assert noted is not None
        token = (self.data_dir / "admin-token").read_text().strip()
        return httpx.Client(base_url=noted.url, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False)

    def command(self, *words: str, data_dir: bool = True) -> subprocess.CompletedProcess[str]:
        """A command of ours, with nothing of this process's configuration."""
        where = ["--data-dir", str(self.data_dir)] if data_dir else []
        plain = {"PATH": os.environ["PATH"], "HOME": str(self.config.parent), "PILOTHOUSE_CONFIG": str(self.config)}
        command = [sys.executable, "-m", "deployments.cli", *words, *where]
        return subprocess.run(command, env=plain, capture_output=True, text=True, timeout=150, check=False)


@pytest.fixture
def service(tmp_path: Path, empty_database_url: str) -> Iterator[Service]:
    made = Service(tmp_path, empty_database_url)
    yield made
    if made.up is not None:
        made.up.clear()


def result(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    """What a command has printed for programs."""
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, Any] = loads(done.stdout)
    return found


async def test_a_service_comes_back_from_its_store_alone(service: Service, empty_database_url: str) -> None:
    with await service.start() as client:
        session = client.post("/chat/sessions", json={}).json()["sessionId"]
        run = client.post("/flows/purge_history/runs", json={}).json()["runId"]
        assert service.command("run", "purge_history").returncode == 0  # one at a time: the first has ended as well
        assert result(service.command("drill", "never", "--json"), 3)["result"] == "nothing_to_drill"
        saved = {name: service.command("backup", name) for name in ("prefect", "configuration", "pilothouse")}
        assert {name: done.returncode for name, done in saved.items()} == dict.fromkeys(saved, 0), saved

        drilled = service.command("drill", "pilothouse", "--json")
        assert {key: result(drilled)[key] for key in ("source", "result")} == {"source": "pilothouse", "result": "good"}
        assert "good" in service.command("drill", "prefect").stdout

        backup_id = result(drilled)["backupId"]
        assert result(service.command("restore", backup_id, "--into", "spare"))["result"] == "good"
        refused = service.command("restore", backup_id, "--into", "spare")
        assert (refused.returncode, "spare is not empty" in refused.stderr) == (1, True), refused.stderr
        assert service.command("restore", backup_id, "--into", "spare", "--replace", "--confirm", "x").returncode == 1
        assert result(service.command("restore", backup_id, "--into", "spare", "--replace", "--confirm", "spare"))["rows"] > 0
        token = client.headers["Authorization"].removeprefix("Bearer ")
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT id FROM pilothouse.sessions").fetchall() == [(session,)]
    assert service.up is not None
    assert service.up.interrupt() == 0
    shutil.rmtree(service.data_dir)

    words = ("restore", "--store", str(service.store), "--identity", str(service.key), "--into-data-dir", str(service.data_dir))
    back = service.command(*words, data_dir=False)
    assert back.returncode == 0, back.stderr
    secret = kept_secret(service.data_dir, "postgres-postgres")
    assert token not in back.stderr + back.stdout
    assert secret not in back.stderr + back.stdout

    with await service.start() as client:
        assert client.headers["Authorization"] == f"Bearer {token}"
        assert client.get(f"/history/{session}").status_code == 200
        remembered = client.get(f"/runs/{run}").json()
        assert remembered["state"]["type"] == "COMPLETED", remembered
        assert "good" in service.command("drill", "configuration").stdout
