"""PostgreSQL's backups when something is wrong: programs, logins, rights, killed dumps and servers, targets that do not fit."""

import asyncio
import secrets
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from blocks.pipe import store_part
from blocks.storage_folder import ObjectFolder
from core.backups.errors import (
    DumpFailed,
    ExtensionMissing,
    NoRoom,
    PlaceRefused,
    PlaceUnavailable,
    RestoreFailed,
    TargetNotEmpty,
    ToolTooOld,
)
from deployments.postgres import EmbeddedPostgres
from tests.children import children
from tests.databases import statement
from tests.postgres_filled import DEBIAN, FOLDER, fill, place, put_back, run_sql, saved, seen
from tests.waiting import eventually


@pytest.fixture
def store(tmp_path: Path) -> ObjectFolder:
    return ObjectFolder(folder=tmp_path / "store")


async def test_programs_older_than_the_server_are_told(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (DEBIAN / "pg_dump").exists():
        pytest.skip(f"no PostgreSQL 15 in {DEBIAN}")
    monkeypatch.setattr("blocks.postgres_tools._inside_wheel", lambda: None)
    with pytest.raises(ToolTooOld, match=r"server is PostgreSQL 18, .* pg_dump 15.*postgresql-client-18"):
        await place(filled).inspect()


async def test_wrong_credentials_databases_and_addresses_are_told_apart(filled: str) -> None:
    login, _, rest = filled.removeprefix("postgresql://").partition("@")
    with pytest.raises(PlaceRefused, match="refused the login") as raised:
        await place(f"postgresql://postgres:wrong-secret@{rest}").inspect()
    assert "wrong-secret" not in raised.value.message
    with pytest.raises(PlaceRefused, match="nowhere"):
        await place(f"postgresql://{login}@{rest.replace('/test_', '/nowhere_test_')}").inspect()
    with pytest.raises(PlaceRefused, match="no database absent"):
        await place(filled, databases=("absent",)).inspect()
    with pytest.raises(PlaceUnavailable) as away:
        await place("postgresql://postgres:pw@127.0.0.1:9/x").inspect()
    assert not away.value.permanent


async def test_a_dump_by_a_login_without_rights_is_refused(filled: str, store: ObjectFolder) -> None:
    name = f"weak_{secrets.token_hex(4)}"
    run_sql(filled, f"CREATE ROLE {name} LOGIN PASSWORD 'weak-secret'")
    weak = filled.replace(filled.partition("@")[0], f"postgresql://{name}:weak-secret")
    with pytest.raises(PlaceRefused, match="permission denied"):
        await saved(place(weak), store)
    run_sql(filled, f"DROP ROLE {name}")


def dumps_of(form: str) -> list[psutil.Process]:
    return children(f"--format={form}")


@pytest.fixture
def slow(filled: str) -> str:
    """The filled database with more rows than go through pipes at once."""
    run_sql(filled, "INSERT INTO large SELECT i, repeat(md5(i::text), 500) FROM generate_series(10000, 20000) i")
    return filled


@pytest.mark.parametrize("form", ["custom", "directory"])
async def test_a_killed_dump_is_not_kept(slow: str, store: ObjectFolder, form: str) -> None:
    def kill(_: int, __: int) -> None:
        for process in dumps_of(form):
            process.kill()

    source = place(slow, form=form)
    async with source.dumping(await source.inspect()) as dump:
        storing = asyncio.create_task(store_part(dump.parts[0], store, FOLDER, progress=kill))
        if form == "directory":
            await eventually(lambda: dumps_of(form))
            kill(0, 0)
        with pytest.raises(DumpFailed, match="killed by SIGKILL"):
            await storing
    assert [file for file in store.folder.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize("form", ["custom", "directory"])
async def test_a_cancelled_dump_ends_its_program(slow: str, store: ObjectFolder, form: str, tmp_path: Path) -> None:
    source = place(slow, form=form, scratch=tmp_path)
    async with source.dumping(await source.inspect()) as dump:
        storing = asyncio.create_task(store_part(dump.parts[0], store, FOLDER))
        running = await eventually(lambda: dumps_of(form))
        storing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await storing
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in running)
    assert [file for file in store.folder.rglob("*") if file.is_file()] == []
    assert await asyncio.to_thread(lambda: list(tmp_path.glob("pilothouse-*"))) == []


async def test_a_server_that_dies_during_a_dump_can_be_tried_again(tmp_path: Path, store: ObjectFolder) -> None:
    server = EmbeddedPostgres(tmp_path / "dying").start()
    try:
        fill(server.url("pilothouse"))
        run_sql(
            server.url("pilothouse"), "INSERT INTO large SELECT i, repeat(md5(i::text), 900) FROM generate_series(10000, 25000) i"
        )

        def kill(_: int, __: int) -> None:
            assert server.process is not None
            server.process.kill()

        source = place(server.url("pilothouse"))
        async with source.dumping(await source.inspect()) as dump:
            with pytest.raises((PlaceUnavailable, DumpFailed)) as raised:
                await store_part(dump.parts[0], store, FOLDER, progress=kill)
        assert isinstance(raised.value, PlaceUnavailable), raised.value.message
    finally:
        server.stop()


async def test_too_little_room_for_a_directory_is_told_before_it_starts(filled: str, store: ObjectFolder) -> None:
    source = place(filled, form="directory")
    found = replace(await source.inspect(), size=10**18)
    async with source.dumping(found) as dump:
        with pytest.raises(NoRoom):
            await store_part(dump.parts[0], store, FOLDER)


async def test_a_missing_extension_is_its_own_result_and_touches_nothing(
    filled: str, old_server: EmbeddedPostgres, store: ObjectFolder
) -> None:
    statement(old_server, "CREATE DATABASE extended")
    run_sql(old_server.url("extended"), "CREATE EXTENSION old_snapshot; CREATE TABLE t (id int)")
    records, _ = await saved(place(old_server.url("extended")), store)
    target = place(filled)
    before = seen(filled)
    with pytest.raises(ExtensionMissing, match="old_snapshot") as raised:
        await put_back(target, records, store)
    assert raised.value.extensions == ("old_snapshot",)
    assert seen(filled) == before


async def test_a_restore_over_what_is_there_touches_nothing(filled: str, second: str, store: ObjectFolder) -> None:
    records, _ = await saved(place(filled), store)
    before = seen(filled)
    with pytest.raises(TargetNotEmpty, match=r"has 8 of the backup's tables already, such as Büro 1\.Rechnung/Nr"):
        await put_back(place(filled), records, store)
    assert seen(filled) == before
    run_sql(second, "CREATE SEQUENCE tickets")
    with pytest.raises(RestoreFailed, match='"tickets" already exists'):
        await put_back(place(second), records, store)


async def test_no_secret_is_in_arguments(slow: str, store: ObjectFolder) -> None:
    password = slow.partition("@")[0].rpartition(":")[2]
    seen_arguments: list[str] = []

    def look(_: int, __: int) -> None:
        seen_arguments.extend(" ".join(process.cmdline()) for process in dumps_of("custom"))

    source = place(slow)
    async with source.dumping(await source.inspect()) as dump:
        await store_part(dump.parts[0], store, FOLDER, progress=look)
    assert seen_arguments
    assert not any(password in arguments for arguments in seen_arguments)
    assert password not in repr(dump)
