"""A whole service by its commands: backed up, drilled, its data directory deleted, restored from the store, and up again.

It draws charts on the way: into its data directory, under the address that people use; then into a bucket of MinIO's variables.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
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
from tests.s3 import S3Server
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

CHART = {"title": "销量", "xAxis": ["A", "B", "C"], "yAxis": [1, 2, 3], "chartType": "柱状图"}
CALLER = {"AUTH_TOKEN": "plugin-token"}
BEHIND = CALLER | {"SITE_URL": "https://ai.example/base/"}


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
            [sets.whole]
            sources = ["prefect", "configuration", "pilothouse"]
        """)
        self.up: RunningUp | None = None

    async def start(self, environ: Mapping[str, str]) -> httpx.Client:
        self.up = RunningUp(self.data_dir, "--no-model", "--config", str(self.config), environ=environ)
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


def state(client: httpx.Client, run: str) -> str:
    """Of a flow run."""
    return str(client.get(f"/runs/{run}").json()["state"]["type"])


def minio(s3: S3Server, custom: str) -> dict[str, str]:
    """The variables of MinIO's users; links to files are to begin with ``custom``."""
    return {
        "MINIO_ENDPOINT": "127.0.0.1",
        "MINIO_PORT": str(s3.port),
        "MINIO_USE_SSL": "false",
        "MINIO_ACCESS_KEY": s3.user,
        "MINIO_SECRET_KEY": s3.password,
        "MINIO_BUCKET": "charts-of-up",
        "MINIO_CUSTOM_ENDPOINT": f"{custom}/",
        "PILOTHOUSE_FILES__SET_POLICY": "true",
    }


def drawn(client: httpx.Client) -> str:
    """The link that FastGPT's chart tool gives."""
    body = {"toolId": "drawing/baseChart", "inputs": CHART, "systemVar": {}}
    answer = client.post("/tool/runstream", json=body, headers={"authtoken": CALLER["AUTH_TOKEN"]})
    frame = loads(answer.text.strip().splitlines()[-1].removeprefix("data: "))
    link = frame["data"]["output"]["chartUrl"]
    assert isinstance(link, str)
    return link


def its_link_begins_with_the_address_that_people_use(client: httpx.Client, up: RunningUp) -> None:
    link = drawn(client)
    assert link.startswith("https://ai.example/base/files/")
    assert client.get(f"/files/{link.rpartition('/')[2]}").text.startswith("<")
    assert not up.line("^files: ")


def it_goes_to_the_bucket_and_comes_from_it(client: httpx.Client, up: RunningUp, s3: S3Server, custom: str) -> None:
    assert up.line("^files: ") == f"files: 127.0.0.1:{s3.port}/charts-of-up from MINIO_ENDPOINT"
    link = drawn(client)
    assert link.startswith(f"{custom}/")
    found = httpx.get(link, trust_env=False, timeout=10)
    assert (found.status_code, found.headers["content-type"]) == (200, "image/svg+xml")
    assert found.headers["content-disposition"].startswith("inline; ")
    assert "销量" in found.text
    assert client.get(f"/files/{link.rpartition('/')[2]}").content == found.content
    assert s3.password not in up.said


async def test_a_service_comes_back_from_its_store_alone(service: Service, empty_database_url: str, s3: S3Server) -> None:
    with await service.start(BEHIND) as client:
        assert service.up is not None
        its_link_begins_with_the_address_that_people_use(client, service.up)
        session = client.post("/chat/sessions", json={}).json()["sessionId"]
        run = client.post("/flows/purge_history/runs", json={}).json()["runId"]
        await eventually(lambda: state(client, run) == "COMPLETED", 60, "a run is over")
        saved = service.command("backup", "whole")
        assert saved.returncode == 0, saved

        drills = {each["source"]: each for each in result(service.command("drill", "--json"), 3)["drills"]}
        assert {source: each["result"] for source, each in drills.items()} == {
            **dict.fromkeys(("pilothouse", "prefect", "configuration"), "good"),
            "never": "nothing_to_drill",
        }
        backup_id = drills["pilothouse"]["backupId"]
        assert result(service.command("restore", backup_id, "--into", "spare"))["result"] == "good"
        refused = service.command("restore", backup_id, "--into", "spare")
        assert (refused.returncode, "spare is not empty" in refused.stderr) == (1, True), refused.stderr
        assert result(service.command("restore", backup_id, "--into", "spare", "--replace", "--confirm", "spare"))["rows"] > 0
        token = client.headers["Authorization"].removeprefix("Bearer ")
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT id FROM pilothouse.sessions").fetchall() == [(session,)]
    assert service.up.interrupt() == 0
    shutil.rmtree(service.data_dir)

    words = ("restore", "--store", str(service.store), "--identity", str(service.key), "--into-data-dir", str(service.data_dir))
    back = service.command(*words, data_dir=False)
    assert back.returncode == 0, back.stderr
    secret = kept_secret(service.data_dir, "postgres-postgres")
    assert token not in back.stderr + back.stdout
    assert secret not in back.stderr + back.stdout

    custom = f"{s3.url}/charts-of-up"
    with await service.start(CALLER | minio(s3, custom)) as client:
        assert client.headers["Authorization"] == f"Bearer {token}"
        assert client.get(f"/history/{session}").status_code == 200
        assert state(client, run) == "COMPLETED"
        it_goes_to_the_bucket_and_comes_from_it(client, service.up, s3, custom)
    assert service.up.interrupt() == 0
