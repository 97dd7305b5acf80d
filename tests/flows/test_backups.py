"""backup and prune: real databases and folders go into a real store; what fails is told, and leaves nothing behind."""

import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from time import monotonic

import psycopg
import pytest
from prefect import get_client
from prefect.client.schemas.sorting import ArtifactSort

from blocks.backup_room import require_room
from blocks.backup_store import BackupStore
from blocks.pipe_reading import reading_part
from blocks.places import place_of
from blocks.storage_folder import ObjectFolder
from core.backups.errors import BackupsFailed, NoRoom
from core.backups.manifest import NAME
from core.backups.place import Fingerprint
from core.backups.sources import UNSEALED
from core.config import Settings
from core.errors import ConfigurationInvalid, NotFound
from core.ids import new_id
from core.store import backups as rows
from core.store.backups import BackupRecord, Backups, NewBackup
from core.store.base import Store
from flows import backing_up
from flows.backups import backup, prune
from tasks import dumps
from tests.audit_rows import audit_rows
from tests.dead_mans_switch import Switch, switch
from tests.flows.saved import Stage
from tests.s3 import S3Server

__all__ = ["switch"]
PEOPLE = "CREATE TABLE people AS SELECT n AS id, 'name ' || n AS name FROM generate_series(1, 2000) n"
RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


@pytest.fixture
def stage(stage: Stage, tmp_path: Path) -> Stage:
    (tmp_path / "files" / "deep").mkdir(parents=True)
    (tmp_path / "files" / "a.txt").write_text("a")
    (tmp_path / "files" / "deep" / "b.bin").write_bytes(bytes(range(256)) * 5000)
    return stage


@pytest.fixture
async def backups(database_url: str) -> AsyncIterator[Backups]:
    store = Store.from_settings(Settings.model_validate({"data_dir": "/", "database": {"url": database_url}}).database)
    yield Backups(store)
    await store.aclose()


async def by_source(backups: Backups) -> dict[str, BackupRecord]:
    return {each.source: each for each in reversed(await backups.page(100))}


async def objects(settings: Settings) -> set[str]:
    return {one.key async for page in BackupStore.from_settings(settings).objects.list() for one in page}


async def artifact(key: str = "backup") -> str:
    """What a person reads of the last run."""
    async with get_client() as client:
        found = await client.read_artifacts(sort=ArtifactSort.CREATED_DESC, limit=20)
    return str(next(each.data for each in found if each.key == key))


async def test_everything_due_is_saved_once_and_comes_back_the_same(
    stage: Stage, backups: Backups, empty_database_url: str
) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(PEOPLE)
    settings = stage.configure(
        f"[sources.people]\nurl = '{empty_database_url}'\n[sources.files]\npath = '{stage.folder}/files'\n"
    )
    result = await backup()
    saved = await by_source(backups)
    assert {name: each.status for name, each in saved.items()} == dict.fromkeys(("pilothouse", "people", "files"), "good")
    assert {one["id"] for one in result["backups"]} == {each.id for each in saved.values()}
    people = saved["people"].manifest
    assert people is not None
    assert people.counts == {"public.people": 2000}
    assert saved["people"].size == people.size > 0
    assert {f"{each.folder}{NAME}" for each in saved.values()} < await objects(settings)
    shown = await artifact()
    assert "| people |  | good |" in shown
    target = place_of("targets.x", settings.sources["files"].model_copy(update={"path": stage.folder / "back"}), settings)
    files = saved["files"].manifest
    assert files is not None
    async with reading_part(files.parts[0], BackupStore.from_settings(settings).objects) as stream:
        await target.restore(files.parts[0].name, files.parts[0].format, stream)
    kept = Fingerprint(files.counts, files.checksums)
    assert await target.fingerprint(kept) == kept
    assert files.counts == {".": 1, "deep": 1}
    assert (await backup())["backups"] == []  # nothing is due before the schedule comes again
    assert "Nothing was due." in await artifact()


def two(stage: Stage, url: str, more: str = "") -> Settings:
    """A database and a folder, in a set, and what else is configured."""
    return stage.configure(
        f"[sources.people]\nurl = '{url}'\n{more}\n[sources.files]\npath = '{stage.folder}/files'\n"
        "[sets.both]\nsources = ['people', 'files']\n"
    )


async def test_a_set_is_one_run_under_one_id(stage: Stage, backups: Backups, empty_database_url: str) -> None:
    two(stage, empty_database_url)
    result = await backup("both")
    first, second = (await by_source(backups)).values()
    assert first.set_id == second.set_id is not None
    assert {each.set_name for each in (first, second)} == {"both"}
    assert set(first.set_sources) == {"people", "files"}
    assert [one["good"] for one in result["backups"]] == [True, True]
    assert first.manifest is not None
    assert (first.manifest.set_id, first.manifest.set_sources) == (first.set_id, ("people", "files"))
    people = (await by_source(backups))["people"].manifest
    assert people is not None
    assert "The source holds nothing." in people.notes
    assert [one["source"] for one in (await backup())["backups"]] == ["pilothouse"]  # the set is not due


async def test_one_that_fails_stops_no_other_and_leaves_nothing(stage: Stage, backups: Backups, empty_database_url: str) -> None:
    settings = two(stage, empty_database_url.replace("/test_", "/absent_"), "[sources.gone]\npath = '/nowhere/at/all'\n")
    with pytest.raises(BackupsFailed, match=r"2 of 4 backups failed: people \(place_refused\), gone \(place_refused\)"):
        await backup()
    saved = await by_source(backups)
    assert {name: each.status for name, each in saved.items()} == {
        "people": "bad",
        "gone": "bad",
        "files": "good",
        "pilothouse": "good",
    }
    assert saved["people"].error is not None
    assert saved["people"].error["code"] == "place_refused"
    folders = {key.rpartition("/")[0] + "/" for key in await objects(settings)}
    assert folders == {saved[name].folder for name in ("files", "pilothouse")} | {"files/", "pilothouse/"}
    assert "| gone |  | place_refused |" in await artifact()
    two(stage, empty_database_url)
    assert [one["source"] for one in (await backup())["backups"]] == ["people", "files"]  # there was no whole run of the set


async def test_names_that_mean_nothing_are_refused(stage: Stage) -> None:
    stage.configure("[sets.both]\nsources = ['pilothouse', 'configuration']\n")
    with pytest.raises(NotFound, match="there are: both, configuration, pilothouse"):
        await backup("nothing")
    with pytest.raises(ConfigurationInvalid, match=r"set backups\.recipients"):
        await backup("configuration")
    with pytest.raises(BackupsFailed, match=r"configuration \(configuration_invalid\)"):
        await backup("both")


async def test_keys_are_saved_only_where_they_are_sealed(stage: Stage, backups: Backups) -> None:
    (stage.folder / "data" / "secrets").mkdir(parents=True)
    (stage.folder / "data" / "secrets" / "postgres-postgres").write_text("the-password")
    stage.configure("")
    assert (await backup())["notes"] == [UNSEALED]
    ours = (await by_source(backups))["pilothouse"].manifest
    assert ours is not None
    assert UNSEALED in ours.notes
    assert UNSEALED in await artifact()
    stage.configure(f"[backups]\nrecipients = ['{RECIPIENT}']\n")
    assert (await backup())["notes"] == []
    keys = (await by_source(backups))["configuration"].manifest
    assert keys is not None
    assert keys.counts == {".": 1, "secrets": 1}
    assert {(part.encryption, part.key.rpartition(".")[2]) for part in keys.parts} == {("age", "age")}
    lying = b"".join(path.read_bytes() for path in (stage.folder / "data" / "backups").rglob("*") if path.is_file())
    assert b"the-password" not in lying


async def test_hooks_run_around_it_and_a_failed_one_fails_it(stage: Stage, backups: Backups) -> None:
    told, script = stage.folder / "told", stage.folder / "note.py"
    names = "('BACKUP_STAGE', 'BACKUP_SOURCE', 'BACKUP_ERROR')"
    script.write_text(f"import os\nprint(*(os.environ[name] for name in {names}), file=open({str(told)!r}, 'a'))\n")
    base = f'''
[hooks.note]
command = ["{sys.executable}", "{script}"]
[hooks.fail]
command = ["false"]
[sources.files]
path = "{stage.folder}/files"
after = ["note"]
failed = ["fail", "note"]
'''
    stage.configure(f"{base}\nbefore = ['note']\n")
    await backup("files")
    assert told.read_text().splitlines() == ["before files ", "after files "]
    told.unlink()
    settings = stage.configure(f"{base}\nbefore = ['fail']\n")
    with pytest.raises(BackupsFailed, match=r"files \(hook_failed\)"):
        await backup("files")
    assert told.read_text().splitlines() == ["failed files hook_failed"]
    assert [each.status for each in await backups.page(9)] == ["bad", "good"]
    stage.configure(base.replace('after = ["note"]', 'after = ["fail"]'))
    (one,) = (await backup("files"))["backups"]
    assert one["good"]
    assert one["notes"] == ["The backup is good, but: The hook fail ended with 1."]
    assert len([key for key in await objects(settings) if key.endswith(NAME)]) == 2


async def test_a_dead_mans_switch_hears_of_start_and_end(stage: Stage, switch: ThreadingHTTPServer) -> None:
    address = f"http://127.0.0.1:{switch.server_port}/uuid"
    base = f"[sources.files]\npath = '{stage.folder}/files'\nping = '{address}'\n"
    stage.configure(base)
    await backup("files", fast=True)
    stage.configure(f"{base}smallest = 100_000_000_000\n")
    with pytest.raises(BackupsFailed):
        await backup("files")
    assert Switch.asked == ["/uuid/start", "/uuid", "/uuid/start", "/uuid/fail"]
    Switch.status = 404
    stage.configure(base)
    assert (await backup("files"))["backups"][0]["good"]


async def test_what_shrank_is_warned_of_and_too_little_fails(stage: Stage, backups: Backups) -> None:
    base = f"[sources.files]\npath = '{stage.folder}/files'\n"
    stage.configure(base)
    await backup("files")
    (stage.folder / "files" / "deep" / "b.bin").write_bytes(b"")
    (one,) = (await backup("files"))["backups"]
    assert any("at most half" in note for note in one["notes"])
    settings = stage.configure(f"{base}smallest = 1_000_000\n")
    before = await objects(settings)
    with pytest.raises(BackupsFailed, match=r"files \(output_too_small\)"):
        await backup("files")
    assert await objects(settings) == before


async def test_a_source_that_is_being_saved_is_not_saved_again(
    stage: Stage, backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backing_up, "LEASE_SECONDS", 0.0)
    monkeypatch.setattr(backing_up, "LOOK", 0.1)
    stage.configure(f"[sources.files]\npath = '{stage.folder}/files'\n")
    await backups.start(NewBackup(new_id(), "files", "folder", "another", datetime.now(UTC)))
    with pytest.raises(BackupsFailed, match=r"files \(dump_running\)"):
        await backup("files")
    assert "is being backed up already, since" in await artifact()


async def test_one_that_is_being_saved_by_a_living_process_is_told_at_once(
    stage: Stage, backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(backing_up, "LOOK", 0.3)
    stage.configure(f"[sources.files]\npath = '{stage.folder}/files'\n")
    other, began = new_id(), monotonic()
    await backups.start(NewBackup(other, "files", "folder", "another", datetime.now(UTC)))
    async with backups.held(other, "another"):
        with pytest.raises(BackupsFailed, match=r"1 of 1 backups failed: files \(dump_running\)"):
            await backup("files")
        assert monotonic() - began < rows.LEASE_SECONDS / 2
        result = await backup()  # by schedule: the other run does it
    assert {one["source"]: one["good"] for one in result["backups"]} == {"pilothouse": True, "files": False}
    assert (await backups.get(other)).status == "running"


async def test_what_is_over_goes_and_the_last_good_one_stays(stage: Stage, backups: Backups) -> None:
    settings = stage.configure(f"[sources.files]\npath = '{stage.folder}/files'\nkeep = '2 daily'\n")
    days = [datetime.now(UTC) - timedelta(days=each) for each in (9, 8, 7, 6)]
    old = [(await stage.save("files", started_at=day, finished_at=day)).id for day in days]
    assert [each.id for each in await backups.page(9)] == old[::-1]
    dry = await prune()
    assert (set(dry["deleted"]), dry["kept"], dry["dryRun"]) == ({old[0], old[1]}, 2, True)
    assert len(await backups.page(9)) == 4
    result = await backup("files")  # with which another one is over
    assert result["pruned"] == 3
    assert [each.id for each in await backups.page(9)] == [result["backups"][0]["id"], old[3]]
    kept = {each.folder + NAME for each in await backups.page(9)}
    assert {key for key in await objects(settings) if key.endswith(NAME)} == kept
    assert (await prune(dry_run=False))["deleted"] == []
    assert "| stays | the newest of day" in await artifact("prune")
    gone = audit_rows(stage.database_url, "backup.deleted")
    assert {(each.actor, each.about, each.details["source"]) for each in gone} == {
        ("flow:backup", each, "files") for each in old[:3]
    }


async def test_it_says_how_far_it_is(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int, str, float, float]] = []
    monkeypatch.setattr(dumps, "EVERY", 0.01)
    monkeypatch.setattr(
        dumps,
        "report_progress",
        lambda done, total, what, rate=0.0, tables=0.0: told.append((done, total, what, rate, tables)),
    )
    with (stage.folder / "files" / "large").open("wb") as file:
        file.truncate(200_000_000)
    stage.configure(f"[sources.files]\npath = '{stage.folder}/files'\n")
    (one,) = (await backup("files"))["backups"]
    done = [each[0] for each in told]
    assert done == sorted(done)
    assert len(set(done)) > 3
    assert done[-1] == one["plainSize"]
    assert all(0 <= each[0] <= each[1] and each[2] == "bytes" for each in told)
    assert told[-1][3] > 1_000_000


async def test_a_store_that_is_away_is_in_each_sources_row(
    stage: Stage, backups: Backups, own_s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (dumps.ready_store, dumps.tidy_store, dumps.remove_backup):
        monkeypatch.setattr(each, "retry_delay_seconds", [0.1, 0.1, 0.1])
    stage.configure(
        f"[sources.files]\npath = '{stage.folder}/files'\n[backups.store]\nendpoint = '{own_s3.url}'\n"
        f"bucket = '{own_s3.bucket()}'\nprefix = 'x/'\naccess_key = '{own_s3.user}'\nsecret_key = '{own_s3.password}'\n"
    )
    own_s3.kill()
    with pytest.raises(BackupsFailed, match=r"2 of 2 backups failed: pilothouse \(store_unavailable\), files \(store_unav"):
        await backup()
    assert {name: each.status for name, each in (await by_source(backups)).items()} == {"pilothouse": "bad", "files": "bad"}
    own_s3.start()
    assert [one["good"] for one in (await backup())["backups"]] == [True, True]


async def test_a_full_disk_is_told_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(NoRoom, match="make room there"):
        await require_room(ObjectFolder(folder=tmp_path / "not" / "made" / "yet"), 10**15)
    await require_room(ObjectFolder(folder=tmp_path), 1)
