"""Backups in their store, a folder or a bucket: there with their manifest, gone with it, and told from it again."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from blocks.backup_store import LATEST, BackupStore, read_manifest, rescan
from blocks.storage_bucket import ObjectBucket
from blocks.storage_folder import ObjectFolder
from core.backups.errors import BackupDamaged
from core.backups.manifest import NAME, Manifest, PartRecord, folder_of
from core.config import DatabaseSettings, Settings
from core.errors import NotFound, StoreUnavailable
from core.ids import new_id
from core.settings_backups import BackupSettings, StoreSettings
from core.store.backup_scans import BackupScans
from core.store.backups import Backups, NewBackup
from core.store.base import Store
from tests.blocks.test_storage import bucket_block
from tests.s3 import S3Server

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
CONTENT = b"what was saved"


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BackupStore:
    settings = Settings(data_dir=tmp_path)
    if request.param == "bucket":
        s3: S3Server = request.getfixturevalue("s3")
        user, password = SecretStr(s3.user), SecretStr(s3.password)
        kept = StoreSettings(bucket=s3.bucket(), prefix="backups/", endpoint=s3.url, access_key=user, secret_key=password)
        settings = Settings(data_dir=tmp_path, backups=BackupSettings(store=kept))
    return BackupStore.from_settings(settings)


@pytest.fixture
async def catalogue(database_url: str) -> AsyncIterator[Store]:
    opened = Store.from_settings(DatabaseSettings(url=SecretStr(database_url)))
    yield opened
    await opened.aclose()


async def kept(store: BackupStore, source: str = "dify", days: int = 0) -> Manifest:
    """A backup of one part, with its manifest."""
    backup_id, started_at = new_id(), NOW - timedelta(days=days)
    folder = folder_of(source, started_at, backup_id)
    size = await store.objects.put(f"{folder}dify.pgdump.zst", CONTENT, "application/octet-stream", "dify.pgdump.zst")
    part = PartRecord(
        name="dify.pgdump", format="pg_custom", key=f"{folder}dify.pgdump.zst", sha256="0" * 64, size=size, plain_size=size
    )
    manifest = Manifest(
        id=backup_id,
        source=source,
        engine="postgres",
        started_at=started_at,
        finished_at=started_at + timedelta(minutes=1),
        server="PostgreSQL 16.4",
        parts=(part,),
    )
    await store.keep(manifest)
    return manifest


async def keys(store: BackupStore) -> set[str]:
    """Without the folders that some S3 servers list too."""
    return {one.key async for page in store.objects.list() for one in page if not one.key.endswith("/")}


def test_a_folder_in_the_data_directory_unless_said(tmp_path: Path) -> None:
    def opened(**said: object) -> object:
        kept = StoreSettings.model_validate(said)
        return BackupStore.from_settings(Settings(data_dir=tmp_path, backups=BackupSettings(store=kept))).objects

    here, there, bucket = opened(), opened(folder=tmp_path / "nas"), opened(bucket="backups", prefix="ours/")
    assert isinstance(here, ObjectFolder)
    assert isinstance(there, ObjectFolder)
    assert isinstance(bucket, ObjectBucket)
    assert (here.folder, there.folder) == (tmp_path / "backups", tmp_path / "nas")
    assert (bucket.bucket, bucket.prefix) == ("backups", "ours/")


async def test_a_manifest_comes_back_as_it_was_written(store: BackupStore) -> None:
    await store.check()
    manifest = await kept(store)
    assert manifest.folder == f"dify/2030/01/02/030405Z-{manifest.id[-12:]}/"
    assert await store.manifest(manifest.folder) == manifest
    await store.point_latest(manifest)
    latest = b"".join([chunk async for chunk in store.objects.read(f"dify/{LATEST}")])
    assert Manifest.model_validate_json(latest) == manifest
    with pytest.raises(NotFound):
        await store.manifest("dify/2030/01/02/030405Z-000000000000/")


async def test_a_backup_is_removed_alone_and_with_all_that_is_unfinished(
    store: BackupStore, s3: S3Server, tmp_path: Path
) -> None:
    gone, stays = await kept(store), await kept(store, days=1)
    place = store.objects
    if isinstance(place, ObjectFolder):
        (place.folder / gone.folder / ".begun-0").write_bytes(b"half a part")
    if isinstance(place, ObjectBucket):
        for manifest in (gone, stays):
            s3.client().create_multipart_upload(Bucket=place.bucket, Key=f"backups/{manifest.folder}half.zst")
    await store.remove(gone.folder)
    assert await keys(store) == {stays.folder + NAME, stays.parts[0].key}
    if isinstance(place, ObjectFolder):
        assert not (place.folder / gone.folder).exists()
    if isinstance(place, ObjectBucket):
        begun = s3.client().list_multipart_uploads(Bucket=place.bucket).get("Uploads", [])
        assert [one["Key"] for one in begun] == [f"backups/{stays.folder}half.zst"]
    await store.remove(gone.folder)
    for elsewhere in ("", "dify/", "/", "dify/2030/", stays.folder.rstrip("/"), f"../{stays.folder}"):
        with pytest.raises(NotFound, match="no folder of a backup"):
            await store.remove(elsewhere)
    assert len(await keys(store)) == 2


async def test_the_manifest_goes_first(store: BackupStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off in the middle, a removal leaves no backup that looks whole."""
    manifest = await kept(store)
    kind = type(store.objects)
    removed = kind.remove

    async def once(self: ObjectFolder, names: Sequence[str]) -> None:
        await removed(self, names)
        raise StoreUnavailable("away")

    monkeypatch.setattr(kind, "remove", once)
    with pytest.raises(StoreUnavailable):
        await store.remove(manifest.folder)
    assert await keys(store) == {manifest.parts[0].key}
    assert (await store.scan()).leftovers == [manifest.folder]


async def test_a_scan_tells_whole_ones_from_broken_foreign_and_unfinished_ones(store: BackupStore) -> None:
    put = store.objects.put
    whole, shorter, partless, copied = [await kept(store, source) for source in ("dify", "a", "b", "c")]
    await store.point_latest(whole)
    await put(shorter.parts[0].key, b"cut", "application/zstd", "x")
    await store.objects.remove([partless.parts[0].key])
    elsewhere = "c/2029/01/01/000000Z-000000000000/"
    later = "c/2029/01/01/000000Z-000000000001/"
    garbage = "c/2029/01/01/000000Z-000000000002/"
    unfinished = "c/2029/01/01/000000Z-000000000003/"
    await put(elsewhere + NAME, copied.model_dump_json().encode(), "application/json", NAME)
    await put(later + NAME, json.dumps(copied.shown() | {"version": 99}).encode(), "application/json", NAME)
    await put(garbage + NAME, b'{"hello": "hidden"}', "application/json", NAME)
    await put(unfinished + "x.zst", b"x", "application/zstd", "x")
    await put("theirs/notes.txt", b"x", "text/plain", "x")

    scan = await store.scan()
    assert {one.manifest.source: one.fault and one.fault.message for one in scan.found} == {
        "dify": None,
        "a": f"{shorter.parts[0].key} has 3 bytes in place of 14.",
        "b": f"{partless.parts[0].key} is not in the store.",
        "c": None,
    }
    assert scan.leftovers == [unfinished]
    assert set(scan.problems) == {elsewhere + NAME, later + NAME, garbage + NAME}
    assert f"belongs into {copied.folder}" in scan.problems[elsewhere + NAME]
    assert "later release (version 99)" in scan.problems[later + NAME]
    assert "no manifest of a backup (id: Field required)" in scan.problems[garbage + NAME]
    assert "hidden" not in str(scan.problems)


@pytest.mark.parametrize(
    "change",
    [
        {"engine": "x\x00"},
        {"source": "../etc"},
        {"started_at": "2030-01-02T03:04:05"},
        {"set_sources": ["a", "b c"]},
        {"id": ""},
        {"parts": [{"name": "x"}]},
        {"counts": {"a": "many"}},
    ],
)
def test_a_manifest_that_is_none_is_refused(change: dict[str, object]) -> None:
    parts: list[object] = []
    shown = {"id": "x" * 12, "source": "a", "engine": "b", "server": "c", "parts": parts} | change
    times = {"started_at": NOW.isoformat(), "finished_at": NOW.isoformat()}
    with pytest.raises(BackupDamaged, match="no manifest of a backup"):
        read_manifest(json.dumps(times | shown).encode(), "a/2030/01/02/030405Z-000000000000/")


async def test_the_catalogue_is_rebuilt_from_the_store(store: BackupStore, catalogue: Store) -> None:
    rows, scans = Backups(catalogue), BackupScans(catalogue)
    manifests = [await kept(store, source, days) for source in ("dify", "fastgpt") for days in range(10)]
    broken, failed = manifests[3], manifests[4]
    await store.objects.remove([broken.parts[0].key])
    lost = NewBackup(new_id(), "gone", "mysql", "boot", NOW)
    await rows.start(lost)
    values = {"id": lost.id, "source": "gone", "started_at": NOW, "finished_at": NOW}
    assert await rows.finish(manifests[0].model_copy(update=values), "boot")
    await rows.start(NewBackup(failed.id, failed.source, failed.engine, "boot", failed.started_at))
    await rows.fail(failed.id, "boot", {"code": "x", "message": "x"})

    first = await rescan(store, scans)
    assert (first.found, len(first.added), first.changed, first.missing) == (20, 19, [failed.id], [lost.id])
    assert list(first.damaged) == [broken.id]
    records = {one.id: one for one in await rows.page(50)}
    assert {one.id for one in records.values() if one.status == "good"} == {one.id for one in manifests} - {broken.id}
    assert (records[broken.id].status, records[lost.id].status) == ("bad", "missing")
    assert all(records[one.id].manifest == one for one in manifests)

    again = await rescan(store, scans)
    assert (again.found, again.added, again.changed, again.missing) == (20, [], [], [])
    assert {one.id: one for one in await rows.page(50)} == records
    await store.remove(manifests[0].folder)
    assert (await rescan(store, scans)).missing == [manifests[0].id]
    await store.objects.put(broken.parts[0].key, CONTENT, "application/zstd", "x")
    assert (await rescan(store, scans)).changed == [broken.id]


async def test_a_store_that_is_away_makes_nothing_missing(catalogue: Store, own_s3: S3Server) -> None:
    bucket = bucket_block(own_s3, own_s3.bucket(), connect_timeout=0.5, timeout=2)
    store, rows = BackupStore(bucket), Backups(catalogue)
    manifest = await kept(store)
    await rescan(store, BackupScans(catalogue))
    own_s3.kill()
    with pytest.raises(StoreUnavailable):
        await rescan(store, BackupScans(catalogue))
    assert (await rows.get(manifest.id)).status == "good"
