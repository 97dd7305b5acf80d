"""``health_sweep`` as a flow: a task run for each level, a table, a result; at once by hand, when it is due by schedule."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect import get_client, tags
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.sorting import ArtifactSort

from core.config import DatabaseSettings
from core.errors import NotFound
from core.store.base import Store
from core.store.services import Services, SweepRecord, Sweeps
from flows.sweeps import health_sweep
from tests.ports import free_port
from tests.prefect_server import RunningServer
from tests.waiting import eventually

CONFIGURED = """
[sweeps]
recheck = 0.1

[services.web]
check = "tcp"
url = "tcp://127.0.0.1:{web}"
depends_on = ["store"]

[services.store]
check = "tcp"
url = "tcp://127.0.0.1:{store}"
"""


@pytest.fixture
async def store(
    database_url: str, prefect_client: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Store]:
    """On it ``services/web`` is up, and ``services/store``, which it needs, is not."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    web = server.sockets[0].getsockname()[1]
    file = tmp_path / "pilothouse.toml"
    file.write_text(CONFIGURED.format(web=web, store=free_port()))
    for name, value in (("DATABASE_URL", database_url), ("PILOTHOUSE_DATA_DIR", tmp_path), ("PILOTHOUSE_CONFIG", file)):
        monkeypatch.setenv(name, str(value))
    opened = Store.from_settings(DatabaseSettings.model_validate({"url": database_url}))
    async with server:
        yield opened
    await opened.aclose()


async def test_a_sweep_by_hand_looks_at_one_topology_and_shows_it(store: Store) -> None:
    name = f"by-hand-{datetime.now(UTC):%H%M%S%f}"
    result = await health_sweep.with_options(flow_run_name=name)(topology="services")
    assert result == {
        "topology": "services",
        "sweeps": 1,
        "counts": {"up": 1, "degraded": 0, "down": 1, "unreachable": 0, "unknown": 0},
        "services": [{"topology": "services", "name": "store", "state": "down", "pending": None, "root": None}],
    }
    async with get_client() as client:
        (artifact,) = await client.read_artifacts(sort=ArtifactSort.CREATED_DESC, limit=1)
        assert artifact.key == "health-sweep"
        assert '"service": "services/store", "state": "down"' in str(artifact.data)
        named = FlowRunFilter(name=FlowRunFilterName(any_=[name]))

        async def levels() -> set[str]:
            found = {run.name for run in await client.read_task_runs(flow_run_filter=named)}
            return found if any(each.startswith("keep_result") for each in found) else set()

        found = await eventually(levels, 20, "the task runs are recorded")
    assert {each for each in found if not each.startswith("keep_result")} == {
        *("level 0: 1 services", "level 1: 1 services", "again 0: 1 services")
    }
    with pytest.raises(NotFound, match="there are: pilothouse, services"):
        await health_sweep(topology="nowhere")


async def test_a_run_of_the_schedule_waits_for_nothing_and_sweeps_when_it_is_due(store: Store) -> None:
    with tags("auto-scheduled"):
        first = await health_sweep()
        assert first["sweeps"] == 1
        assert {each.name for each in await Services(store).all("pilothouse")} >= {
            "database",
            "prefect",
            "api",
            "flow-health_sweep",
        }
        future = datetime.fromtimestamp(datetime.now(UTC).timestamp() + 3600, UTC)
        await Sweeps(store).add(SweepRecord("another's", "standby", future, future))
        assert (await health_sweep())["sweeps"] == 0, "another process swept lately"
