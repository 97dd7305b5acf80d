"""The catalogue of backups: one run per source at a time, none of a dead process counts, manifests win."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg.types.json import Jsonb

from core.backups.errors import BackupDamaged, DumpRunning
from core.backups.manifest import Base, Manifest, PartRecord, folder_of
from core.backups.retention import Rules
from core.errors import NotFound, told
from core.ids import new_id
from core.settings_keep import KeepSettings
from core.store import backups as module
from core.store.backup_scans import BackupScans
from core.store.backups import Backups, NewBackup
from core.store.base import Store
from core.store.drills import Drills, NewDrill
from tests.waiting import eventually

OWNER = "boot-1"
NOW = datetime(2030, 1, 10, 2, tzinfo=UTC)


def begun(source: str = "dify", days: float = 0, **more: Any) -> NewBackup:
    return NewBackup(new_id(), source, "postgres", OWNER, NOW - timedelta(days=days), **more)


def made(backup: NewBackup, size: int = 10) -> Manifest:
    folder = folder_of(backup.source, backup.started_at, backup.id)
    part = PartRecord(
        name="dify.pgdump", format="pg_custom", key=f"{folder}dify.pgdump.zst", sha256="0" * 64, size=size, plain_size=99
    )
    return Manifest(
        id=backup.id,
        source=backup.source,
        engine=backup.engine,
        set_name=backup.set_name,
        set_id=backup.set_id,
        set_sources=backup.set_sources,
        started_at=backup.started_at,
        finished_at=backup.started_at + timedelta(minutes=3),
        server="PostgreSQL 16.4",
        parts=(part,),
        counts={"public.messages": 5},
    )


async def good(catalogue: Backups, source: str = "dify", days: float = 0, **more: Any) -> NewBackup:
    backup = begun(source, days, **more)
    await catalogue.start(backup)
    assert await catalogue.finish(made(backup), OWNER)
    return backup


def sql(url: str, statement: str, *values: Any) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode(), values)


async def test_a_backup_from_its_start_to_its_end(store: Store) -> None:
    catalogue = Backups(store)
    backup = begun(set_name="all", set_id="s1", set_sources=("dify", "files"), flow_run_id="run-1")
    assert [await catalogue.start(backup), await catalogue.start(backup)] == [[], []]
    record = await catalogue.get(backup.id)
    assert (record.status, record.manifest, record.flow_run_id) == ("running", None, "run-1")
    assert await catalogue.newest_good("dify") is None

    assert [await catalogue.finish(made(backup), OWNER), await catalogue.finish(made(backup), OWNER)] == [True, True]
    assert not await catalogue.finish(made(backup, size=11), OWNER)
    record = await catalogue.get(backup.id)
    assert (record.status, record.size, record.plain_size) == ("good", 10, 99)
    assert record.manifest == made(backup)
    assert record.folder == made(backup).folder == f"dify/2030/01/10/020000Z-{backup.id[-12:]}/"
    newest = await catalogue.newest_good("dify")
    assert newest == record
    assert [one.id for one in await catalogue.of_set("s1")] == [backup.id]


async def test_a_source_is_backed_up_once_at_a_time(store: Store) -> None:
    catalogue = Backups(store)
    many = [begun() for _ in range(20)]
    outcomes = await asyncio.gather(*(catalogue.start(one) for one in many), return_exceptions=True)
    assert sum(outcome == [] for outcome in outcomes) == 1
    refused = [outcome for outcome in outcomes if isinstance(outcome, DumpRunning)]
    assert len(refused) == 19
    assert refused[0].message == "dify is being backed up already, since 2030-01-10 02:00:00 UTC."
    ended = begun("prefect")
    await catalogue.start(ended)
    await catalogue.fail(ended.id, OWNER, {"code": "x", "message": "x"})
    with pytest.raises(DumpRunning, match="since a moment ago"):
        await catalogue.start(ended)
    await catalogue.start(begun("fastgpt"))


async def test_one_that_failed_makes_way_for_the_next(store: Store) -> None:
    catalogue = Backups(store)
    backup = begun()
    await catalogue.start(backup)
    assert not await catalogue.fail(backup.id, "somebody else", {"code": "x", "message": "x"})
    assert await catalogue.fail(backup.id, OWNER, told(BackupDamaged("broken\x00")))
    assert not await catalogue.finish(made(backup), OWNER)
    record = await catalogue.get(backup.id)
    assert (record.status, record.error) == ("bad", {"code": "backup_damaged", "message": "broken\ufffd"})
    await good(catalogue)


async def test_what_a_dead_process_began_never_counts(store: Store, database_url: str) -> None:
    catalogue = Backups(store)
    dead, other = begun(), begun("fastgpt")
    await catalogue.start(dead)
    await catalogue.start(other)
    assert await catalogue.end_orphans() == []
    sql(database_url, "UPDATE pilothouse.backups SET lease_until = now() - interval '1 second'")

    following = begun()
    left = await catalogue.start(following)
    assert [(one.id, one.status) for one in left] == [(dead.id, "bad")]
    assert not await catalogue.renew(dead.id, OWNER)
    assert not await catalogue.finish(made(dead), OWNER), "it came back too late"
    assert [one.id for one in await catalogue.end_orphans()] == [other.id]
    assert (await catalogue.get(following.id)).status == "running"


async def test_the_lease_is_held_while_the_work_goes_on(store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = Backups(store)
    backup = begun()
    await catalogue.start(backup)
    sql(database_url, "UPDATE pilothouse.backups SET lease_until = now()")
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.01)

    def held() -> bool:
        with psycopg.connect(database_url) as connection:
            row = connection.execute("SELECT lease_until > now() + interval '10 seconds' FROM pilothouse.backups").fetchone()
        return row == (True,)

    async with catalogue.held(backup.id, OWNER):
        await eventually(held, what="the lease is renewed")
    assert await catalogue.end_orphans() == []


async def test_pages_are_newest_first(store: Store) -> None:
    catalogue = Backups(store)
    ids = [(await good(catalogue, source, days)).id for days in range(3) for source in ("dify", "fastgpt")]
    first = await catalogue.page(4)
    rest = await catalogue.page(4, before=first[-1].id)
    assert {one.id for one in first} == set(ids[:4])
    assert {one.id for one in rest} == set(ids[4:])
    assert [one.id for one in await catalogue.page(9, source="dify")] == ids[::2]
    with pytest.raises(NotFound, match="no such backup"):
        await catalogue.page(4, before="gone")


async def test_what_is_due_and_forgetting_it(store: Store) -> None:
    catalogue = Backups(store)
    old = await good(catalogue, days=9)
    whole = [await good(catalogue, source, 8, set_name="all", set_id="s", set_sources=("a", "b")) for source in ("a", "b")]
    await good(catalogue, days=1)
    rules = Rules({"dify": KeepSettings(days=7)}, {"all": KeepSettings(days=7)})
    verdicts = await catalogue.due_for_pruning(rules, NOW, ZoneInfo("Asia/Shanghai"))
    due = [one for one in verdicts if not one.kept]
    assert [(one.backup.id, one.reason) for one in due] == [(old.id, "not among 7 days")]
    assert {one.reason for one in verdicts if one.backup.id in {each.id for each in whole}} == {"the last good one"}
    await catalogue.forget([one.backup.id for one in due])
    with pytest.raises(NotFound):
        await catalogue.get(old.id)


async def test_manifests_win_over_what_the_catalogue_says(store: Store, database_url: str) -> None:
    catalogue, scans = Backups(store), BackupScans(store)
    unknown, failed, running = made(begun()), begun("a"), begun("b")
    await catalogue.start(failed)
    await catalogue.fail(failed.id, OWNER, {"code": "x", "message": "x"})
    await catalogue.start(running)
    assert await scans.adopt(unknown) is True
    assert await scans.adopt(unknown) is None
    assert await scans.adopt(made(failed)) is False
    assert await scans.adopt(made(running)) is None, "it is being made"
    record = await catalogue.get(unknown.id)
    assert (record.status, record.manifest, record.finished_at) == ("good", unknown, unknown.finished_at)
    assert (await catalogue.get(failed.id)).status == "good"

    damaged = BackupDamaged("a part is gone")
    assert [await scans.adopt(unknown, damaged), await scans.adopt(unknown, damaged)] == [False, None]
    assert (await catalogue.get(unknown.id)).error == told(damaged)
    sql(database_url, "UPDATE pilothouse.backups SET lease_until = now() WHERE status = 'running'")
    assert await scans.adopt(made(running)) is False, "its process died between manifest and row"


async def test_what_is_not_in_the_store_is_marked_and_found_again(store: Store, database_url: str) -> None:
    catalogue, scans = Backups(store), BackupScans(store)
    first, second = await good(catalogue, days=2), await good(catalogue, days=1)
    await catalogue.start(begun())
    assert set(await scans.good()) == {first.id, second.id}
    assert await scans.miss([first.id]) == [first.id]
    assert await scans.miss([first.id]) == []
    assert [one.status for one in await catalogue.page(9)] == ["running", "good", "missing"]
    assert await scans.adopt(made(first)) is False
    assert (await catalogue.get(first.id)).status == "good"

    await scans.miss([first.id])
    sql(database_url, "UPDATE pilothouse.backups SET missing_at = now() - interval '31 days' WHERE status = 'missing'")
    await scans.miss([])
    assert len(await catalogue.page(9)) == 2


async def test_a_drill_is_noted_with_its_backup(store: Store) -> None:
    catalogue, drills = Backups(store), Drills(store)
    backup = await good(catalogue)
    drill = NewDrill(new_id(), "dify", "good", backup.id, rows=5, seconds=1.5, details={"tables": 3})
    await drills.add(drill)
    await drills.add(drill)
    await drills.add(NewDrill(new_id(), "fastgpt", "nothing_to_drill"))
    (noted,) = await drills.newest("dify")
    assert (noted.result, noted.rows, noted.seconds, noted.details) == ("good", 5, 1.5, {"tables": 3})
    record = await catalogue.get(backup.id)
    assert (record.verified_result, record.verified_at) == ("good", noted.at)
    assert [one.result for one in await drills.newest()] == ["nothing_to_drill", "good"]


async def test_a_manifest_of_a_later_release_with_more_in_it_is_still_read(store: Store, database_url: str) -> None:
    catalogue = Backups(store)
    backup = await good(catalogue)
    more = made(backup).shown() | {"colour": "blue"}
    sql(database_url, "UPDATE pilothouse.backups SET manifest = %s", Jsonb(more))
    assert (await catalogue.get(backup.id)).manifest == made(backup)


async def test_an_increment_is_told_from_a_whole_one(store: Store) -> None:
    catalogue = Backups(store)
    whole, since = await good(catalogue, "bases", days=90), begun("bases", days=60)
    newest = begun("bases", days=1)
    for each in (since, newest):
        await catalogue.start(each)
        held = made(each).model_copy(update={"base": Base(id=whole.id, folder="f/")})
        assert await catalogue.finish(held, OWNER)
    found = [await catalogue.newest_whole("bases"), await catalogue.newest_good("bases")]
    assert [one.id for one in found if one] == [whole.id, newest.id]
    assert [await catalogue.is_base(one.id) for one in (whole, since, newest)] == [True, False, False]
    rules = Rules({"bases": KeepSettings(last=1)}, {})
    verdicts = {one.backup.id: one.kept for one in await catalogue.due_for_pruning(rules, NOW, UTC)}
    assert [verdicts[one.id] for one in (newest, since, whole)] == [True, False, True]
    assert (await catalogue.get(newest.id)).manifest == held
