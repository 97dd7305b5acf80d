"""restore: destroyed and put back, into a target or over the source itself; what is refused, and what is found on the way."""

import asyncio
import secrets
from collections.abc import Callable, Iterator

import pyrage  # type: ignore[import-untyped]
import pytest

from core.backups.errors import BackupDamaged, ExtensionMissing, RestoreDiffers, RestoreFailed, TargetNotEmpty
from core.errors import Conflict, InputInvalid, NotFound, PilothouseError
from deployments.postgres import EmbeddedPostgres
from flows.restoring import restore
from tests.audit_rows import audit_rows
from tests.databases import statement
from tests.flows.saved import Stage, flip
from tests.postgres_filled import fill, run_sql, seen

Made = Callable[[], str]
FEW = """
CREATE TABLE people (id int PRIMARY KEY, name text);
INSERT INTO people SELECT i, '客户 ' || i FROM generate_series(1, 500) i;
CREATE TABLE words (id int, said text);
INSERT INTO words SELECT i, repeat('word ', i % 9) FROM generate_series(1, 100) i;
"""


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
    entries = audit_rows(stage.database_url)
    told = [("restore.begun", "unknown"), ("restore", "success")]
    refused = [("restore.begun", "unknown"), ("restore", "failure")]
    assert [(each.action, each.outcome) for each in entries] == [*told, *refused, *told]
    assert {(each.actor, each.about) for each in entries} == {("flow:restore", manifest.id)}
    assert (entries[3].details["error"], entries[5].details["replace"]) == (TargetNotEmpty.code, True)
    assert not any(each.details["identityUsed"] for each in entries)


async def test_everything_may_be_encrypted_and_the_wrong_key_is_told(stage: Stage, databases: Made) -> None:
    source, target = databases(), databases()
    key = pyrage.x25519.Identity.generate()
    (stage.folder / "right").write_text(str(key))
    (stage.folder / "wrong").write_text(str(pyrage.x25519.Identity.generate()))
    run_sql(source, FEW)
    toml = f"""
        [backups]
        recipients = ["{key.to_public()}"]
        identity = "file:wrong"
        [sources.app]
        url = "{source}"
        [targets.spare]
        url = "{target}"
    """
    stage.configure(toml)
    manifest = await stage.save("app")
    with pytest.raises(BackupDamaged, match=r"encrypted to other keys"):
        await restore(manifest.id, "spare")
    run_sql(target, "CREATE TABLE precious (id int)")
    with pytest.raises(BackupDamaged, match=r"encrypted to other keys"):
        await restore(manifest.id, "spare", replace=True)
    assert run_sql(target, "SELECT to_regclass('precious')::text") == [("precious",)], "nothing was deleted in vain"
    stage.configure(toml.replace("file:wrong", "file:right"))
    assert (await restore(manifest.id, "spare", replace=True))["rows"] == 600
    assert audit_rows(stage.database_url, "restore")[-1].details["identityUsed"] is True


async def test_a_flipped_byte_is_found_and_the_target_called_incomplete(stage: Stage, databases: Made) -> None:
    source, target = databases(), databases()
    await asyncio.to_thread(fill, source)
    stage.configure(f'[sources.app]\nurl = "{source}"\n[targets.spare]\nurl = "{target}"')
    manifest = await stage.save("app")
    flip(stage.folder / "data" / "backups", manifest.parts[0].key, 0.999)
    with pytest.raises((BackupDamaged, RestoreFailed), match=r"incomplete: restore into it again with --replace"):
        await restore(manifest.id, "spare")
    run_sql(target, "CREATE TABLE IF NOT EXISTS precious (id int)")
    with pytest.raises(BackupDamaged):
        await restore(manifest.id, "spare", replace=True)
    assert run_sql(target, "SELECT to_regclass('precious')::text") == [("precious",)]


async def test_the_source_itself_is_only_replaced_when_told_twice(stage: Stage, databases: Made) -> None:
    source = databases()
    run_sql(source, FEW)
    # Another address of the same database counts as the source too.
    stage.configure(f'[sources.app]\nurl = "{source}"\n[targets.twin]\nurl = "{source}"')
    manifest = await stage.save("app")
    run_sql(source, "DELETE FROM people; CREATE TABLE later (id int)")
    for target in ("app", "twin"):
        for told in ({}, {"replace": True}, {"confirm": "app"}, {"replace": True, "confirm": "twin"}):
            with pytest.raises(TargetNotEmpty, match=r"where the source app lies"):
                await restore(manifest.id, target, **told)
    assert run_sql(source, "SELECT count(*) FROM people") == [(0,)]
    assert (await restore(manifest.id, "twin", replace=True, confirm="app"))["result"] == "good"
    assert run_sql(source, "SELECT count(*), to_regclass('later') FROM people") == [(500, None)]


async def test_a_missing_extension_is_found_before_anything_is_replaced(stage: Stage, databases: Made) -> None:
    source, target = databases(), databases()
    run_sql(source, FEW)
    run_sql(target, "CREATE TABLE precious (id int)")
    stage.configure(f'[sources.app]\nurl = "{source}"\n[targets.spare]\nurl = "{target}"')
    manifest = await stage.save("app", extensions=("plpgsql", "no_such_extension"))
    with pytest.raises(ExtensionMissing, match=r"no extension no_such_extension"):
        await restore(manifest.id, "spare", replace=True)
    assert run_sql(target, "SELECT to_regclass('precious')::text") == [("precious",)]


async def test_one_table_comes_back_among_others(stage: Stage, databases: Made) -> None:
    source, target = databases(), databases()
    run_sql(source, FEW)
    stage.configure(f'[sources.app]\nurl = "{source}"\n[targets.spare]\nurl = "{target}"')
    manifest = await stage.save("app")
    run_sql(target, "CREATE TABLE other (id int)")
    result = await restore(manifest.id, "spare", only="public.words")
    assert (result["rows"], result["tables"], result["only"]) == (100, 1, "public.words")
    assert run_sql(target, "SELECT count(*), to_regclass('people'), to_regclass('other')::text FROM words") == [
        (100, None, "other")
    ]
    with pytest.raises((TargetNotEmpty, RestoreFailed)):
        await restore(manifest.id, "spare", only="public.words", replace=True)
    assert run_sql(target, "SELECT count(*) FROM words") == [(100,)]


async def test_several_databases_go_where_their_names_say(stage: Stage, databases: Made, postgres: EmbeddedPostgres) -> None:
    first, second = databases(), databases()
    names = [url.rpartition("?")[0].rpartition("/")[2] for url in (first, second)]
    for url in (first, second):
        run_sql(url, FEW)
    server = postgres.url()
    stage.configure(f'[sources.all]\nurl = "{server}"\ndatabases = {names}\n[targets.spare]\nurl = "{server}"'.replace("'", '"'))
    manifest = await stage.save("all")
    with pytest.raises(InputInvalid, match="expected DATABASE/TABLE"):
        await restore(manifest.id, "spare", only="people")
    for name in names:
        statement(postgres, f"DROP DATABASE {name} WITH (FORCE)")
    result = await restore(manifest.id, "spare")
    assert (result["result"], result["rows"], result["tables"]) == ("good", 1200, 4)
    run_sql(second, "DROP TABLE people")
    assert (await restore(manifest.id, "spare", only=f"{names[1]}/public.people"))["rows"] == 500


async def test_a_folder_comes_back_whole_or_one_file_of_it(stage: Stage) -> None:
    source, target = stage.folder / "source", stage.folder / "target"
    (source / "keys").mkdir(parents=True)
    (source / "keys" / "tenant.pem").write_bytes(secrets.token_bytes(3_000_000))
    (source / ".env").write_text("SECRET_KEY=x")
    stage.configure(
        f'[sources.dir]\npath = "{source}"\n[targets.spare]\npath = "{target}"\n[targets.inside]\npath = "{source}/keys"'
    )
    manifest = await stage.save("dir")
    with pytest.raises(TargetNotEmpty, match="where the source dir lies"):
        await restore(manifest.id, "inside", replace=True)
    await restore(manifest.id, "spare", only=".env")
    assert [path.name for path in target.iterdir()] == [".env"]
    with pytest.raises(TargetNotEmpty):
        await restore(manifest.id, "spare")
    result = await restore(manifest.id, "spare", replace=True)
    assert (target / "keys" / "tenant.pem").read_bytes() == (source / "keys" / "tenant.pem").read_bytes()
    assert result["rows"] == sum(manifest.counts.values())


async def test_a_difference_fails_the_run_and_names_the_table(stage: Stage, databases: Made) -> None:
    source, target = databases(), databases()
    run_sql(source, FEW)
    stage.configure(f'[sources.app]\nurl = "{source}"\n[targets.spare]\nurl = "{target}"')
    manifest = await stage.save("app", counts={"public.people": 501, "public.words": 100, "public.gone": 0})
    with pytest.raises(RestoreDiffers, match=r"public\.gone: missing; public\.people: 500 of 501"):
        await restore(manifest.id, "spare")


async def test_what_cannot_be_restored_is_said_before_anything_happens(stage: Stage, databases: Made) -> None:
    source, target = databases(), databases()
    run_sql(source, FEW)
    stage.configure(
        f'[sources.app]\nurl = "{source}"\n[targets.spare]\nurl = "{target}"\n[targets.ours]\nurl = "{stage.database_url}"'
    )
    manifest = await stage.save("app")
    refused: tuple[tuple[str, str, type[PilothouseError], str], ...] = (
        ("0" * 36, "spare", NotFound, "no such backup"),
        (manifest.id, "elsewhere", NotFound, "there are: ours, spare"),
        (manifest.id, "ours", InputInvalid, "what Pilothouse itself works with"),
        (manifest.id, "pilothouse", InputInvalid, "what Pilothouse itself works with"),
    )
    for backup_id, name, kind, words in refused:
        with pytest.raises(kind, match=words):
            await restore(backup_id, name, replace=True, confirm="pilothouse")
    run_sql(stage.database_url, "UPDATE pilothouse.backups SET status = 'bad'")
    with pytest.raises(Conflict, match="only a good one"):
        await restore(manifest.id, "spare")
    assert run_sql(target, "SELECT to_regclass('people')") == [(None,)]
