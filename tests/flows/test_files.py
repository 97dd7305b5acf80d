"""expire_files: what is over goes, bytes first; what is used stays; leftovers in a store go where nobody else keeps anything."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from prefect import get_client
from prefect.client.schemas.sorting import ArtifactSort

from blocks.storage import all_ours, file_storage
from blocks.storage_bucket import ObjectBucket
from core.config import Settings
from core.errors import StoreUnavailable
from core.expiring import Expiry
from core.store.base import Store
from core.store.files import Files
from core.store.runs import Runs
from core.tools.tool import File
from flows.files import KeptFiles, expire_files, files_for
from tests.audit_rows import audit_rows
from tests.blocks.test_storage import keys
from tests.prefect_server import RunningServer
from tests.s3 import S3Server

CHART = File("chart.svg", "image/svg+xml", b"<svg/>")
LIVE = "INSERT INTO pilothouse.sessions (id, expires_at) VALUES ('live', now() + interval '1 day')"
OVER = "UPDATE pilothouse.files SET expires_at = now() - interval '1 second' WHERE key = ANY(%s)"
STRAY = "0" * 32 + "-stray.svg"


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    opened = Store.from_settings(Settings.model_validate({"data_dir": "/", "database": {"url": database_url}}).database)
    yield opened
    await opened.aclose()


def settings_on(database_url: str, folder: Path, **files: object) -> Settings:
    return Settings.model_validate({"data_dir": folder, "database": {"url": database_url}, "files": files})


def bucket_values(s3: S3Server, name: str, **more: object) -> dict[str, object]:
    return {"endpoint": s3.url, "bucket": name, "access_key": s3.user, "secret_key": s3.password} | more


def expiry_of(settings: Settings, store: Store) -> Expiry:
    storage = file_storage(settings)
    return Expiry(Files(store), storage, days=settings.files.retention_days, ours=all_ours(storage))


async def kept(files: KeptFiles, session_id: str | None = None) -> str:
    return (await files.keeper.keep(files.keeper.taken(CHART, session_id))).rpartition("/")[2]


async def some_files(files: KeptFiles, database_url: str) -> tuple[set[str], set[str]]:
    """Keys of files that stay, and of those that are to go."""
    with psycopg.connect(database_url) as connection:
        connection.execute(LIVE)
    new, of_live, old_of_live, over = [await kept(files, session) for session in (None, "live", "live", None)]
    doomed = await kept(files, "live")
    with psycopg.connect(database_url) as connection:
        connection.execute(OVER, [[over, old_of_live]])
        connection.execute("UPDATE pilothouse.files SET session_id = 'gone' WHERE key = %s", [doomed])
    return {new, of_live, old_of_live}, {over, doomed}


def rows(database_url: str) -> set[str]:
    with psycopg.connect(database_url) as connection:
        return {row[0] for row in connection.execute("SELECT key FROM pilothouse.files")}


def aged(path: Path, days: float) -> None:
    then = time.time() - days * 86_400
    os.utime(path, (then, then))


@pytest.mark.parametrize("dry_run", [True, False])
async def test_the_flow_deletes_only_when_told(
    store: Store,
    database_url: str,
    prefect_client: RunningServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    dry_run: bool,
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("PILOTHOUSE_DATA_DIR", str(tmp_path))
    settings = settings_on(database_url, tmp_path)
    stay, go = await some_files(files_for(settings, store), database_url)
    (tmp_path / "files" / STRAY).write_bytes(b"x")
    aged(tmp_path / "files" / STRAY, 17)
    (tmp_path / "files" / ".begun-1").write_bytes(b"x")
    aged(tmp_path / "files" / ".begun-1", 2)
    result = await (expire_files() if dry_run else expire_files(dry_run=False))
    assert result == {"files": 2, "orphans": 1, "unfinished": 0 if dry_run else 1, "dryRun": dry_run}
    left = set(await keys(file_storage(settings)))
    assert left == (stay | go | {STRAY} if dry_run else stay)
    assert rows(database_url) == (stay | go if dry_run else stay)
    async with get_client() as client:
        (artifact,) = await client.read_artifacts(sort=ArtifactSort.CREATED_DESC, limit=1)
    assert artifact.key == "expire-files"
    assert "| files | 2 |" in str(artifact.data)
    assert [each.details["files"] for each in audit_rows(database_url, "files.expired")] == ([] if dry_run else [2])
    assert not go & set(str(artifact.data).split())
    assert artifact.flow_run_id is not None
    assert await Runs(store).result_of(str(artifact.flow_run_id)) == result


@pytest.mark.parametrize("batch", [1, 2, 3, 500])
async def test_a_bucket_without_rules_of_its_own_is_emptied_in_batches(
    s3: S3Server, store: Store, database_url: str, tmp_path: Path, batch: int
) -> None:
    settings = settings_on(database_url, tmp_path, **bucket_values(s3, s3.bucket()))
    files = files_for(settings, store)
    stay, go = await some_files(files, database_url)
    expiry = expiry_of(settings, store)
    assert await expiry.count() == 2
    batches = []
    while gone := await expiry.batch(batch):
        batches.append(gone)
    assert sum(batches) == 2
    assert max(batches) <= batch
    assert set(await keys(file_storage(settings))) == rows(database_url) == stay
    assert not go & stay


async def test_while_the_store_is_away_the_rows_stay(own_s3: S3Server, store: Store, database_url: str, tmp_path: Path) -> None:
    settings = settings_on(database_url, tmp_path, **bucket_values(own_s3, own_s3.bucket()))
    stay, go = await some_files(files_for(settings, store), database_url)
    expiry = expiry_of(settings, store)
    own_s3.kill()
    with pytest.raises(StoreUnavailable):
        await expiry.batch()
    assert rows(database_url) == stay | go
    own_s3.start()
    assert await expiry.batch() == 2
    assert rows(database_url) == stay


async def test_a_deleted_sessions_files_wait_for_a_store_that_is_away(
    own_s3: S3Server, store: Store, database_url: str, tmp_path: Path
) -> None:
    settings = settings_on(database_url, tmp_path, **bucket_values(own_s3, own_s3.bucket()))
    files = files_for(settings, store)
    with psycopg.connect(database_url) as connection:
        connection.execute(LIVE)
    key = await kept(files, "live")
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM pilothouse.sessions")
    own_s3.kill()
    await files.drop_session("live")
    assert rows(database_url) == {key}
    own_s3.start()
    assert await expiry_of(settings, store).batch() == 1
    assert await keys(file_storage(settings)) == []


async def test_only_old_strays_that_look_like_ours_go_and_only_where_all_is_ours(
    s3: S3Server, store: Store, database_url: str, tmp_path: Path
) -> None:
    name = s3.bucket()
    for key in (STRAY, f"ours/{STRAY}", "ours/notes.txt", f"theirs/{STRAY}"):
        s3.client().put_object(Bucket=name, Key=key, Body=b"x")
    whole = settings_on(database_url, tmp_path, **bucket_values(s3, name, retention_days=0.001))
    ours = settings_on(database_url, tmp_path, **bucket_values(s3, name, retention_days=0.001, prefix="ours/"))
    known = await kept(files_for(ours, store))
    assert await expiry_of(ours, store).orphans(dry_run=False) == 0  # younger than a day
    for settings, count in ((whole, 0), (ours, 1)):
        expiry = Expiry(Files(store), file_storage(settings), days=-2, ours=all_ours(file_storage(settings)))
        assert await expiry.orphans(dry_run=True) == count
        assert await expiry.orphans(dry_run=False) == count
    left = {one["Key"] for one in s3.client().list_objects_v2(Bucket=name)["Contents"]}
    assert left == {STRAY, f"theirs/{STRAY}", "ours/notes.txt", f"ours/{known}"}


async def test_whether_the_store_serves_is_asked_now_and_then(own_s3: S3Server, store: Store, tmp_path: Path) -> None:
    settings = settings_on("postgresql://127.0.0.1:9/none", tmp_path, **bucket_values(own_s3, own_s3.bucket()))
    files = files_for(settings, store)
    assert await files.serves()
    own_s3.kill()
    assert await files.serves()
    assert not await files_for(settings, store).serves()


async def test_a_bucket_is_all_ours_only_under_a_prefix() -> None:
    assert not all_ours(ObjectBucket(bucket="charts"))
    assert all_ours(ObjectBucket(bucket="charts", prefix="ours/"))
