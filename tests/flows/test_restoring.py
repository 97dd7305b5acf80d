"""restore: destroyed and put back, into a target or over the source itself; what is refused, and what is found on the way."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.backups.errors import TargetNotEmpty
from deployments.postgres import EmbeddedPostgres
from flows.restoring import restore
from tests.conftest import statement
from tests.flows.saved import Stage
from tests.postgres_filled import fill, seen
from tests.prefect_server import RunningServer

Made = Callable[[], str]


@pytest.fixture
def databases(postgres: EmbeddedPostgres) -> Iterator[Made]:
    """Makes empty databases on the session's server, gone after the test."""
    names: list[str] = []

    def make() -> str:
        names.append(f"test_{secrets.token_hex(6)}")
        statement(postgres, f"CREATE DATABASE {names[-1]}")
        return postgres.url(names[-1])

    yield make
    for name in names:
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


async def test_a_destroyed_database_is_back_in_a_target(stage: Stage, databases: Made) -> None:
    source, target = databases(), databases()
    await asyncio.to_thread(fill, source)
    before = seen(source)
    stage.configure(f'[sources.app]\nurl = "{source}"\n[targets.spare]\nurl = "{target}"')
    manifest = await stage.save("app")
    run_sql(source, "DROP TABLE people CASCADE")
    result = await restore(manifest.id, "spare")
    assert seen(target) == before
    assert (result["result"], result["rows"], result["differences"]) == ("good", sum(manifest.counts.values()), [])
    assert result["seconds"] > 0
    with pytest.raises(TargetNotEmpty, match="spare is not empty"):
        await restore(manifest.id, "spare")
    run_sql(target, "CREATE TABLE later (id int); DELETE FROM large")
    assert (await restore(manifest.id, "spare", replace=True))["result"] == "good"
    assert seen(target) == before
    assert run_sql(target, "SELECT to_regclass('later')") == [(None,)]
