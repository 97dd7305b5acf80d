"""drill: the newest good backup comes back somewhere else, is compared and timed; every way in which that ends has its word."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prefect import get_client
from prefect.client.schemas.objects import State
from prefect.client.schemas.sorting import ArtifactSort

from core.config import DatabaseSettings
from core.store.backups import Backups
from core.store.base import Store
from core.store.drills import DrillRecord, Drills
from deployments.postgres import EmbeddedPostgres
from flows.drilling import drill
from tests.conftest import statement
from tests.flows.saved import Stage
from tests.prefect_server import RunningServer

FEW = """
CREATE TABLE people (id int PRIMARY KEY, name text);
INSERT INTO people SELECT i, '客户 ' || i FROM generate_series(1, 500) i;
CREATE TABLE words (id int, said text);
INSERT INTO words SELECT i, repeat('word ', i % 9) FROM generate_series(1, 700) i;
"""


@pytest.fixture
def source(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database with two tables."""
    name = f"test_{secrets.token_hex(6)}"
    statement(postgres, f"CREATE DATABASE {name}")
    run_sql(postgres.url(name), FEW)
    yield postgres.url(name)
    statement(postgres, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def stage(tmp_path: Path, database_url: str, prefect_client: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage(tmp_path, database_url)
    for name, value in stage.environ.items():
        monkeypatch.setenv(name, value)
    return stage


def run_sql(url: str, text: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else None


def scratch_databases(postgres: EmbeddedPostgres) -> list[str]:
    return [row[0] for row in run_sql(postgres.url(), "SELECT datname FROM pg_database WHERE datname LIKE 'pilothouse_drill%'")]


async def drilled(name: str | None = None) -> tuple[str, Any]:
    """How the run ended, and what it kept."""
    state: State[Any] = await drill(name, return_state=True)
    return state.type.value, state


async def newest(stage: Stage, source: str) -> DrillRecord:
    store = Store.from_settings(DatabaseSettings.model_validate({"url": stage.database_url}))
    try:
        return (await Drills(store).newest(source))[0]
    finally:
        await store.aclose()


async def test_a_good_backup_is_proved_timed_and_dropped(stage: Stage, source: str, postgres: EmbeddedPostgres) -> None:
    stage.configure(f'[sources.app]\nurl = "{source}"')
    manifest = await stage.save("app")
    run_sql(source, "DROP TABLE people")  # what became of the source since does not matter
    ended, state = await drilled("app")
    assert ended == "COMPLETED", state.message
    result = await state.aresult()
    assert {key: result[key] for key in ("source", "result", "rows", "tables", "backupId", "differences")} == {
        "source": "app",
        "result": "good",
        "rows": 1200,
        "tables": 2,
        "backupId": manifest.id,
        "differences": [],
    }
    kept = await newest(stage, "app")
    assert (kept.result, kept.backup_id, kept.rows) == ("good", manifest.id, 1200)
    assert kept.seconds is not None
    assert kept.seconds > 0
    store = Store.from_settings(DatabaseSettings.model_validate({"url": stage.database_url}))
    record = await Backups(store).get(manifest.id)
    await store.aclose()
    assert (record.verified_result, record.verified_at) == ("good", kept.at)
    assert scratch_databases(postgres) == []
    async with get_client() as client:
        (artifact,) = await client.read_artifacts(sort=ArtifactSort.CREATED_DESC, limit=1)
    assert artifact.key == "drill"
    assert "| app | good | 1200 | 2 |" in str(artifact.data)
