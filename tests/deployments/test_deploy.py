"""``prefect.yaml`` agrees with the catalogue, deploys to a real server, and a worker of a process pool runs what it deploys."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]

from core.config import Settings, child_environment
from deployments.setup import publish
from flows.catalogue import deployable
from tests.prefect_server import RunningServer
from tests.waiting import eventually

ROOT = Path(__file__).parent.parent.parent
POOL = "a-process-pool"


def declared() -> dict[str, dict[str, Any]]:
    content = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    return {entry["name"]: entry for entry in content["deployments"]}


def test_the_file_and_the_catalogue_agree() -> None:
    found = declared()
    assert set(found) == {entry.name for entry in deployable()}
    for entry in deployable():
        here = found[entry.name]
        assert here["entrypoint"] == entry.entrypoint
        limit = here.get("concurrency_limit")
        assert limit == ({"limit": entry.concurrency, "collision_strategy": "ENQUEUE"} if entry.concurrency else None)
        schedule = entry.schedule
        expected = [{"cron": schedule.cron, "parameters": dict(schedule.parameters)}] if schedule else []
        assert here.get("schedules", []) == expected


def prefect(server: RunningServer, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        cwd=ROOT,
        env=environment(server, folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(server: RunningServer, folder: Path, **more: str) -> dict[str, str]:
    values = {"PREFECT_HOME": str(folder), "PREFECT_API_URL": server.api_url, "PREFECT_DEFAULT_WORK_POOL_NAME": POOL, **more}
    return child_environment({"DO_NOT_TRACK": "1", "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.2", **values})


@contextmanager
def a_worker(server: RunningServer, folder: Path, database_url: str) -> Iterator[None]:
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"]
    values = environment(
        server, folder, DATABASE_URL=database_url, PILOTHOUSE_DATA_DIR=str(folder), PREFECT_WORKER_QUERY_SECONDS="1"
    )
    with (folder / "worker.log").open("wb") as output:
        worker = subprocess.Popen(command, cwd=folder, env=values, stdout=output, stderr=output)
        try:
            yield
        finally:
            worker.kill()
            worker.wait()


@pytest.mark.slow
async def test_everything_deploys_and_a_worker_runs_it(prefect_server: RunningServer, database_url: str, tmp_path: Path) -> None:
    prefect(prefect_server, tmp_path, "work-pool", "create", POOL, "--type", "process", "--overwrite")
    prefect(prefect_server, tmp_path, "deploy", "--all")
    async with httpx.AsyncClient(base_url=prefect_server.api_url, timeout=10) as api:
        deployment = (await api.get("/deployments/name/purge_history/purge_history")).json()
        assert (deployment["work_pool_name"], deployment["entrypoint"]) == (POOL, "flows.upkeep.purge_history")
        assert deployment["schedules"][0]["parameters"] == {"dry_run": False}
        assert deployment["description"].startswith("Deletes conversations")
        schema = deployment["parameter_openapi_schema"]["properties"]
        assert schema["dry_run"]["description"].startswith("Only count")
        created = await api.post(f"/deployments/{deployment['id']}/create_flow_run", json={"parameters": {"dry_run": True}})
        run_id = created.json()["id"]

        async def ended() -> str | None:
            state = (await api.get(f"/flow_runs/{run_id}")).json()["state"]
            return state["type"] if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

        with a_worker(prefect_server, tmp_path, database_url):
            outcome = await eventually(ended, within=60, what="the worker's run ended")
        assert outcome == "COMPLETED", (tmp_path / "worker.log").read_text()


async def test_publishing_twice_is_publishing_once(prefect_client: RunningServer, tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "data_dir": tmp_path,
            "timezone": "Asia/Shanghai",
            "providers": {"My_Ollama": {"base_url": "http://127.0.0.1:11434/v1", "api_key": "sk-secret"}},
        }
    )
    async with httpx.AsyncClient(base_url=prefect_client.api_url, timeout=10) as api:
        shapes = []
        for _ in range(2):
            published = await publish(settings)
            assert published.blocks == ["object-folder/files", "model-provider/my-ollama"]
            assert published.deployments == [entry.deployment for entry in deployable()]
            deployments = (await api.post("/deployments/filter", json={})).json()
            blocks = (await api.post("/block_documents/filter", json={})).json()
            shapes.append(
                {
                    "deployments": sorted((one["id"], one["name"], len(one["schedules"])) for one in deployments),
                    "blocks": sorted(one["id"] for one in blocks),
                }
            )
        assert shapes[0] == shapes[1]
        purge = (await api.get("/deployments/name/purge_history/purge_history")).json()
        assert purge["work_pool_name"] is None
        assert purge["schedules"][0]["schedule"]["timezone"] == "Asia/Shanghai"
        (kind,) = (await api.post("/block_types/filter", json={"block_types": {"slug": {"any_": ["model-provider"]}}})).json()
        assert kind["description"].startswith("An endpoint that speaks")
        assert "sk-secret" not in str(blocks)
