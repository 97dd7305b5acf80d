"""purge_history: what is idle goes, what is used stays; Prefect's lone task runs go by age and by name."""

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from prefect import get_client, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import TaskRunFilter
from prefect.client.schemas.sorting import ArtifactSort
from prefect.states import Completed

from core.config import DatabaseSettings
from core.store.base import Store
from core.store.runs import Runs
from core.store.upkeep import Purged, Upkeep
from flows.upkeep import purge_history
from tasks import upkeep as tasks_upkeep
from tasks.upkeep import drop_lone_task_runs
from tests.audit_rows import audit_rows
from tests.prefect_server import RunningServer

SESSIONS = """
    INSERT INTO pilothouse.sessions (id, created_at, last_turn_at, expires_at) VALUES
    ('expired', now() - interval '40 days', now() - interval '35 days', now() - interval '5 days'),
    ('idle', now() - interval '40 days', now() - interval '31 days', now() + interval '5 days'),
    ('never-used', now() - interval '40 days', NULL, now() + interval '5 days'),
    ('answering', now() - interval '40 days', now() - interval '35 days', now() - interval '5 days'),
    ('used', now() - interval '400 days', now() - interval '1 day', now() + interval '29 days')
"""
TURNS = """
    INSERT INTO pilothouse.turns (id, session_id, status, options, owner, created_at)
    SELECT s.id || '-' || n, s.id, CASE WHEN s.id = 'answering' AND n = 2 THEN 'running' ELSE 'done' END, '{}'::jsonb, 'boot',
        now() - interval '35 days'
    FROM pilothouse.sessions s, generate_series(1, 2) n WHERE s.id <> 'never-used'
    UNION ALL SELECT 'lone-' || age, NULL, status, '{}'::jsonb, 'boot', now() - make_interval(days => age)
    FROM (VALUES (31, 'done'), (32, 'interrupted'), (33, 'running'), (29, 'done')) lone (age, status)
"""
MESSAGES = "INSERT INTO pilothouse.messages (turn_seq, position, role, body) SELECT seq, 0, 'user', '{}' FROM pilothouse.turns"
GONE = Purged(sessions=3, turns=6, messages=6)


@pytest.fixture
def rows(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        for statement in (SESSIONS, TURNS, MESSAGES):
            connection.execute(statement.encode())
    return database_url


@pytest.fixture
async def store(rows: str) -> AsyncIterator[Store]:
    opened = Store.from_settings(DatabaseSettings.model_validate({"url": rows}))
    yield opened
    await opened.aclose()


def left(database_url: str) -> tuple[set[str], set[str]]:
    with psycopg.connect(database_url) as connection:
        sessions = {row[0] for row in connection.execute("SELECT id FROM pilothouse.sessions")}
        turns = {row[0] for row in connection.execute("SELECT id FROM pilothouse.turns")}
        (messages,) = connection.execute("SELECT count(*) FROM pilothouse.messages").fetchone() or (None,)
    assert messages == len(turns)
    return sessions, turns


KEPT = ({"answering", "used"}, {"answering-1", "answering-2", "used-1", "used-2", "lone-33", "lone-29"})


@pytest.mark.parametrize("batch", [1, 2, 500])
async def test_what_is_idle_is_counted_and_goes_in_batches(store: Store, rows: str, batch: int) -> None:
    upkeep = Upkeep(store)
    assert await upkeep.idle(30) == GONE
    purged = Purged()
    while found := await upkeep.purge(30, batch):
        purged += found
        assert found.sessions <= batch
    assert purged == GONE
    assert left(rows) == KEPT
    assert await upkeep.idle(30) == Purged()


async def test_a_session_in_use_by_a_request_is_left_for_the_next_time(store: Store, rows: str) -> None:
    with psycopg.connect(rows) as request:
        request.execute("SELECT 1 FROM pilothouse.sessions WHERE id = 'idle' FOR UPDATE")
        upkeep = Upkeep(store)
        while await upkeep.purge(30):
            pass
        assert left(rows)[0] == {*KEPT[0], "idle"}


async def test_old_keys_and_results_are_forgotten(store: Store, rows: str) -> None:
    runs = Runs(store)
    await runs.reserve("old", "purge_history", b"hash")
    await runs.keep_result("old", "purge_history", {"a": 1})
    with psycopg.connect(rows) as connection:
        for table in ("trigger_keys", "run_results"):
            connection.execute(f"UPDATE pilothouse.{table} SET created_at = now() - interval '31 days'".encode())
    await runs.reserve("new", "purge_history", b"hash")
    await runs.confirm("new", "run")
    assert await Upkeep(store).forget_runs(30) == 2
    assert await runs.result_of("old") is None
    assert await runs.reserve("new", "purge_history", b"hash") == "run"


TOOL_RUNS = """
    INSERT INTO pilothouse.tool_runs (id, tool_id, tool_version, status, source, turn_id, owner, digest, inputs, created_at)
    SELECT status || '-' || age || coalesce('-' || turn, ''), 'testing/stamp', '1', status, 'api', turn, 'boot', '', '{}',
        now() - make_interval(days => age)
    FROM (VALUES ('done', 31, NULL), ('queued', 32, NULL), ('running', 33, NULL), ('failed', 29, NULL),
        ('done', 40, 'used-1'), ('done', 40, 'idle-1')) run (status, age, turn)
"""


async def test_old_tool_runs_go_and_those_of_a_turn_go_with_it(store: Store, rows: str) -> None:
    with psycopg.connect(rows) as connection:
        connection.execute(TOOL_RUNS.encode())
    upkeep = Upkeep(store)
    assert [await upkeep.purge_tool_runs(30, 1) for _ in range(3)] == [1, 1, 0]
    while await upkeep.purge(30):
        pass
    with psycopg.connect(rows) as connection:
        kept = {row[0] for row in connection.execute("SELECT id FROM pilothouse.tool_runs")}
    assert kept == {"running-33", "failed-29", "done-40-used-1"}


@pytest.mark.parametrize("dry_run", [True, False])
async def test_the_flow_deletes_only_when_told(
    rows: str, prefect_client: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dry_run: bool
) -> None:
    monkeypatch.setenv("DATABASE_URL", rows)
    monkeypatch.setenv("PILOTHOUSE_DATA_DIR", str(tmp_path))
    before = left(rows)
    result = await (purge_history(dry_run=False) if not dry_run else purge_history())
    expected = {"sessions": 3, "turns": 6, "messages": 6, "dryRun": dry_run}
    assert {key: result[key] for key in expected} == expected
    assert left(rows) == (before if dry_run else KEPT)
    async with get_client() as client:
        (artifact,) = await client.read_artifacts(sort=ArtifactSort.CREATED_DESC, limit=1)
    assert artifact.key == "purge-history"
    assert "| conversations | 3 |" in str(artifact.data)
    assert [each.details["sessions"] for each in audit_rows(rows, "history.purged")] == ([] if dry_run else [3])


async def test_lone_task_runs_of_ours_go_by_age(prefect_client: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    @task(name="of_ours", cache_policy=NO_CACHE, persist_result=False)
    async def of_ours() -> None: ...

    @task(cache_policy=NO_CACHE, persist_result=False)
    async def of_others() -> None: ...

    monkeypatch.setattr(tasks_upkeep, "OURS", ("of_ours",))
    async with get_client() as client:
        for number, one in enumerate((of_ours, of_ours, of_others)):
            await client.create_task_run(one, None, str(number), state=Completed())
        lone = TaskRunFilter.model_validate({"flow_run_id": {"is_null_": True}, "state": {"type": {"any_": ["COMPLETED"]}}})

        async def keys() -> list[str]:
            return sorted(run.task_key.rsplit("-", 1)[0] for run in await client.read_task_runs(task_run_filter=lone))

        assert (await keys()).count("of_ours") == 2
        assert await drop_lone_task_runs.fn(client, 1.0, 100, False) == 0
        assert await drop_lone_task_runs.fn(client, 0.0, 100, True) == 2
        assert await drop_lone_task_runs.fn(client, 0.0, 1, False) == 1
        assert await drop_lone_task_runs.fn(client, 0.0, 100, False) == 1
        assert "of_ours" not in await keys()
        assert "of_others" in await keys()
