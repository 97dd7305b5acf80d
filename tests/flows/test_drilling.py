"""drill: the newest good backup comes back somewhere else, is compared and timed; every way in which that ends has its word."""

import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from prefect import get_client
from prefect.client.schemas.objects import State
from prefect.client.schemas.sorting import ArtifactSort

from blocks.scratch import installation
from core.config import DatabaseSettings
from core.store.backups import Backups
from core.store.base import Store
from core.store.drills import DrillRecord, Drills
from deployments.postgres import EmbeddedPostgres
from flows.drilling import drill
from tests.audit_rows import audit_rows
from tests.children import children
from tests.databases import statement
from tests.flows.saved import Stage, flip
from tests.mariadb import PASSWORD, MariaDBServer
from tests.postgres_filled import run_sql

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
    (entry,) = audit_rows(stage.database_url, "drill")
    assert (entry.outcome, entry.actor, entry.about, entry.details["flowRunId"]) == (
        "success",
        "flow:drill",
        "app",
        str(artifact.flow_run_id),
    )


async def test_what_differs_is_its_own_result_and_fails_the_run(stage: Stage, source: str, postgres: EmbeddedPostgres) -> None:
    stage.configure(f'[sources.app]\nurl = "{source}"')
    await stage.save("app", counts={"public.people": 500, "public.words": 701})
    ended, state = await drilled("app")
    assert (ended, state.message) == ("FAILED", "app: differs")
    kept = await newest(stage, "app")
    assert (kept.result, kept.details["differences"]) == ("differs", ["public.words: 700 of 701"])
    assert scratch_databases(postgres) == []


async def test_a_changed_row_is_found_though_the_count_is_right(stage: Stage, source: str) -> None:
    stage.configure(f'[sources.app]\nurl = "{source}"')
    right = await stage.save("app")
    assert right.checksums.keys() == {"public.people", "public.words"}
    await stage.save("app", checksums=dict(right.checksums) | {"public.people": "all:" + "0" * 32})
    await drilled("app")
    assert (await newest(stage, "app")).details["differences"] == ["public.people: other content"]


async def test_a_damaged_backup_fails(stage: Stage, source: str, postgres: EmbeddedPostgres) -> None:
    stage.configure(f'[sources.app]\nurl = "{source}"')
    manifest = await stage.save("app")
    flip(stage.folder / "data" / "backups", manifest.parts[0].key)
    ended, state = await drilled("app")
    assert (ended, state.message) == ("FAILED", "app: failed")
    assert (await newest(stage, "app")).details["code"] in ("backup_damaged", "restore_failed")
    assert scratch_databases(postgres) == []


async def test_without_a_good_backup_there_is_nothing_to_drill(stage: Stage, source: str) -> None:
    stage.configure(f'[sources.app]\nurl = "{source}"')
    ended, state = await drilled("app")
    assert (ended, state.name) == ("COMPLETED", "NothingToDrill")
    assert (await state.aresult())["result"] == "nothing_to_drill"
    kept = await newest(stage, "app")
    assert (kept.result, kept.backup_id, kept.seconds) == ("nothing_to_drill", None, None)


@pytest.mark.parametrize(
    ("made", "result", "said"),
    [
        ("CREATE EXTENSION vector", "extension_mismatch", "vector"),
        ("CREATE TABLE sums (a int, b int GENERATED ALWAYS AS (a + 1) VIRTUAL)", "version_mismatch", "incomplete"),
    ],
)
async def test_a_server_that_is_no_match_for_the_backup_is_its_own_result(
    stage: Stage, source: str, old_server: EmbeddedPostgres, made: str, result: str, said: str
) -> None:
    run_sql(source, made)
    statement(old_server, "CREATE DATABASE spare")
    target = old_server.url("spare")
    stage.configure(f'[sources.app]\nurl = "{source}"\ndrill_target = "spare"\n[targets.spare]\nurl = "{target}"')
    await stage.save("app")
    ended, state = await drilled("app")
    kept = await newest(stage, "app")
    assert (ended, state.message, kept.result) == ("FAILED", f"app: {result}", result), kept.details
    assert said in kept.details["message"]
    assert run_sql(target, "SELECT to_regclass('people')") == [(None,)], "nothing is left"


async def test_what_a_killed_drill_left_is_dropped_and_nothing_else(
    stage: Stage, source: str, postgres: EmbeddedPostgres
) -> None:
    stage.configure(f'[sources.app]\nurl = "{source}"')
    await stage.save("app")
    ours = f"pilothouse_drill_{installation(stage.settings)}_killed_app"
    for name in (ours, "pilothouse_drill_of_others"):
        statement(postgres, f"CREATE DATABASE {name}")
    folder = stage.folder / "data" / "drills" / "killed"
    folder.mkdir(parents=True)
    assert (await drilled("app"))[0] == "COMPLETED"
    assert scratch_databases(postgres) == ["pilothouse_drill_of_others"]
    assert not folder.exists()
    statement(postgres, "DROP DATABASE pilothouse_drill_of_others")


async def test_a_login_that_may_create_nothing_is_drilled_on_an_embedded_server(
    stage: Stage, source: str, postgres: EmbeddedPostgres
) -> None:
    role = f"reader_{secrets.token_hex(4)}"
    word = secrets.token_hex(12)
    run_sql(source, f"CREATE ROLE {role} LOGIN PASSWORD '{word}'; GRANT pg_read_all_data TO {role}")
    login = source.replace("://postgres:" + source.partition("://postgres:")[2].partition("@")[0], f"://{role}:{word}")
    stage.configure(f'[sources.app]\nurl = "{login}"')
    await stage.save("app")
    ended, state = await drilled("app")
    assert ended == "COMPLETED", state.message
    assert (await newest(stage, "app")).rows == 1200
    assert list((stage.folder / "data" / "drills").iterdir()) == []
    assert children("deployments.throwaway_postgres") == []
    run_sql(source, f"REVOKE pg_read_all_data FROM {role}; DROP ROLE {role}")


async def test_every_source_is_drilled_whatever_becomes_of_the_others(stage: Stage, source: str) -> None:
    folder = stage.folder / "kept"
    (folder / "keys").mkdir(parents=True)
    (folder / "keys" / "tenant.pem").write_bytes(secrets.token_bytes(100_000))
    (folder / ".env").write_text("SECRET_KEY=x")
    gone = source.replace("/test_", "/gone_test_")
    stage.configure(f'[sources.app]\nurl = "{source}"\n[sources.dir]\npath = "{folder}"\n[sources.away]\nurl = "{gone}"')
    await stage.save("app")
    await stage.save("dir")
    ended, state = await drilled()
    store = Store.from_settings(DatabaseSettings.model_validate({"url": stage.database_url}))
    results = {each.source: each.result for each in await Drills(store).newest()}
    await store.aclose()
    # Under `up` our own databases are sources without being told; none of them was saved here.
    assert results == {"app": "good", "dir": "good", "away": "nothing_to_drill", "pilothouse": "nothing_to_drill"} | (
        {"configuration": "nothing_to_drill"} if "configuration" in results else {}
    )
    assert ended == "COMPLETED", state.message


async def test_a_mariadb_is_drilled_beside_itself(stage: Stage, mariadb: MariaDBServer) -> None:
    name = f"test_{secrets.token_hex(4)}"
    stage.configure(f'[sources.shop]\nurl = "mysql://root:{quote(PASSWORD, safe="")}@127.0.0.1:{mariadb.port}/{name}"')
    made = f"CREATE TABLE {name}.proof (id int PRIMARY KEY, said text CHARACTER SET utf8mb4)"
    mariadb.run(f"CREATE DATABASE {name}", made, f"INSERT INTO {name}.proof VALUES (1, 'x'), (2, NULL)")
    manifest = await stage.save("shop")
    before = mariadb.run("SHOW DATABASES")
    ended, state = await drilled("shop")
    assert ended == "COMPLETED", (state.message, (await newest(stage, "shop")).details)
    assert (await newest(stage, "shop")).rows == sum(manifest.counts.values()) == 2
    assert mariadb.run("SHOW DATABASES") == before
    mariadb.run(f"DROP DATABASE {name}")


async def test_a_drill_target_is_emptied_again_and_never_of_others_things(
    stage: Stage, source: str, empty_database_url: str
) -> None:
    target = f'[sources.app]\nurl = "{source}"\ndrill_target = "spare"\n[targets.spare]\nurl = "{empty_database_url}"'
    stage.configure(target)
    await stage.save("app")
    assert (await drilled("app"))[0] == "COMPLETED"
    assert run_sql(empty_database_url, "SELECT to_regclass('people')") == [(None,)]
    run_sql(empty_database_url, "CREATE TABLE precious (id int)")
    assert (await drilled("app"))[0] == "FAILED"
    assert run_sql(empty_database_url, "SELECT to_regclass('precious')::text") == [("precious",)]
