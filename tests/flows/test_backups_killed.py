"""backup, killed with -9 at its worst moments, and a store that goes away: never half a backup, and nothing left behind."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from blocks.backup_store import BackupStore
from core.config import Settings, child_environment
from core.store.backups import BackupRecord, Backups
from core.store.base import Store
from flows.backups import backup, prune
from tasks.dumps import dump_source
from tests.flows.saved import Stage
from tests.prefect_server import RunningServer
from tests.s3 import S3Server
from tests.waiting import eventually

RUN = """
import asyncio
from flows.backups import backup
asyncio.run(backup("files"))
"""
FOR_EVER = """
import asyncio
from flows.backups import backup
while True:
    asyncio.run(backup("both"))
"""
KILLS = 6
DEAD = "UPDATE pilothouse.backups SET lease_until = now() - interval '1 second' WHERE status = 'running'"
LOST = (
    "UPDATE pilothouse.backups SET status = 'running', owner = 'dead', manifest = NULL, lease_until = now() - interval '1 second'"
)
SIZE = 300_000_000


@pytest.fixture
def stage(stage: Stage, tmp_path: Path) -> Stage:
    (tmp_path / "files").mkdir()
    return stage


@pytest.fixture
async def backups(database_url: str) -> AsyncIterator[Backups]:
    store = Store.from_settings(Settings.model_validate({"data_dir": "/", "database": {"url": database_url}}).database)
    yield Backups(store)
    await store.aclose()


def large(stage: Stage) -> None:
    with (stage.folder / "files" / "large").open("wb") as file:
        for _ in range(SIZE // 10_000_000):
            file.write(os.urandom(10_000_000))


def in_folder(stage: Stage) -> str:
    return f"[sources.files]\npath = '{stage.folder}/files'\n"


def in_bucket(stage: Stage, s3: S3Server, bucket: str) -> str:
    keys = f"endpoint = '{s3.url}'\nbucket = '{bucket}'\naccess_key = '{s3.user}'\nsecret_key = '{s3.password}'\n"
    return f"{in_folder(stage)}[backups.store]\n{keys}"


@contextmanager
def running(stage: Stage, server: RunningServer, code: str = RUN) -> Iterator[subprocess.Popen[bytes]]:
    """The flow in a process of its own, as a flow run is."""
    environment = child_environment(server.environment("flows") | stage.environ)
    with (stage.folder / "run.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def sql(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "bucket"])
async def test_killed_in_the_middle_it_is_never_good_and_the_next_run_clears_up(
    stage: Stage, backups: Backups, prefect_client: RunningServer, s3: S3Server, kind: str
) -> None:
    large(stage)
    bucket = s3.bucket()
    settings = stage.configure(in_folder(stage) if kind == "folder" else in_bucket(stage, s3, bucket))

    def unfinished() -> list[str]:
        if kind == "folder":
            found = (stage.folder / "data" / "backups").rglob(".begun-*")
            return [path.name for path in found if path.stat().st_size > 20_000_000]
        return [one["Key"] for one in s3.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])]

    with running(stage, prefect_client) as process:
        await eventually(unfinished, within=60, what="an upload that has begun")
        process.kill()
        process.wait()
    assert unfinished()
    (dead,) = await backups.page(9)
    assert dead.status == "running"
    sql(stage.database_url, DEAD)
    (stage.folder / "files" / "large").write_bytes(b"small now")
    (one,) = (await backup("files"))["backups"]
    assert one["good"]
    assert unfinished() == []
    assert [each.status for each in await backups.page(9)] == ["good", "bad"]
    scan = await BackupStore.from_settings(settings).scan()
    assert [found.manifest.id for found in scan.found] == [one["id"]]
    assert scan.leftovers == []


async def test_killed_between_the_manifest_and_the_row_it_is_good(stage: Stage, backups: Backups) -> None:
    (stage.folder / "files" / "a").write_text("a")
    stage.configure(in_folder(stage))
    manifest = await stage.save("files")
    sql(stage.database_url, LOST)
    assert (await prune())["kept"] == 1
    record = await backups.get(manifest.id)
    assert (record.status, record.manifest) == ("good", manifest)


@pytest.mark.slow
async def test_a_store_that_goes_away_is_tried_again_part_by_part(
    stage: Stage, backups: Backups, own_s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump_source, "retry_delay_seconds", [3, 5, 5])
    large(stage)
    bucket = own_s3.bucket()
    settings = stage.configure(in_bucket(stage, own_s3, bucket))
    saving = asyncio.create_task(backup("files"))
    client = own_s3.client()

    def uploading() -> bool:
        return bool(client.list_multipart_uploads(Bucket=bucket).get("Uploads"))

    await eventually(lambda: asyncio.to_thread(uploading), within=60, what="an upload")
    own_s3.kill()
    await asyncio.to_thread(own_s3.start)
    (one,) = (await saving)["backups"]
    assert one["good"]
    scan = await BackupStore.from_settings(settings).scan()
    assert [(found.manifest.id, found.fault) for found in scan.found] == [(one["id"], None)]
    assert not await asyncio.to_thread(uploading)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_killed_at_random_moments_what_is_listed_is_whole(
    stage: Stage, backups: Backups, prefect_client: RunningServer, empty_database_url: str
) -> None:
    sql(empty_database_url, "CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 300000) n")
    (stage.folder / "files" / "a").write_bytes(os.urandom(5_000_000))
    settings = stage.configure(
        f"{in_folder(stage)}[sources.t]\nurl = '{empty_database_url}'\n[sets.both]\nsources = ['t', 'files']\n"
        "keep = { last = 1 }\n"  # so that every run deletes too
    )
    store, chance = BackupStore.from_settings(settings), random.Random(7)
    for _ in range(KILLS):
        newest = (await backups.page(1))[:1]
        with running(stage, prefect_client, FOR_EVER) as process:

            async def begun(last: list[BackupRecord] = newest) -> bool:
                return (await backups.page(1))[:1] != last

            await eventually(begun, within=60, what="a new backup")
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, chance.uniform(0, 3))
            assert process.poll() is None, (stage.folder / "run.log").read_text()[-3000:]
        scan = await store.scan()
        assert [found.fault for found in scan.found if found.fault] == []
        listed = {each.id for each in await backups.page(200) if each.status == "good"}
        # One that was killed after its manifest is whole and not listed yet; one that was being deleted is listed and gone.
        assert len(listed ^ {found.manifest.id for found in scan.found}) <= 2
        sql(stage.database_url, DEAD)
    result = await backup("both")
    assert [one["good"] for one in result["backups"]] == [True, True]
    await prune(dry_run=False)
    scan = await store.scan()
    assert {one["id"] for one in result["backups"]} <= {found.manifest.id for found in scan.found}
    good = {each.id for each in await backups.page(200) if each.status == "good"}
    assert good == {found.manifest.id for found in scan.found}
    assert scan.leftovers == []
    assert not list((stage.folder / "data" / "backups").rglob(".begun-*"))
