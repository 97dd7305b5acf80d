"""A bucket, on a real S3 server: saved, emptied, put back, compared; and what can go wrong on the way."""

import asyncio
import hashlib
import random
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard
from pydantic import SecretStr

from blocks import bucket_objects
from blocks.bucket_backups import SavedBucket
from blocks.pipe import store_part
from blocks.pipe_reading import reading_part
from blocks.storage_folder import ObjectFolder
from core.backups.errors import BackupDamaged, PlaceRefused, PlaceUnavailable, RestoreFailed, TargetNotEmpty
from core.backups.manifest import PartRecord
from core.backups.place import Fingerprint
from tests.s3 import S3Server

FOLDER = "files/2026/01/31/020000Z-abc/"


def place(s3: S3Server, bucket: str, prefix: str = "", secret: str | None = None) -> SavedBucket:
    return SavedBucket(
        name="sources.test",
        bucket=bucket,
        prefix=prefix,
        endpoint=s3.url,
        access_key=SecretStr(s3.user),
        secret_key=SecretStr(secret or s3.password),
    )


def fill(s3: S3Server, bucket: str) -> None:
    draw = random.Random(1)
    client = s3.client()
    client.put_object(Bucket=bucket, Key="a.txt", Body=b"text", ContentType="text/plain", Metadata={"name": "first"})
    client.put_object(Bucket=bucket, Key="empty", Body=b"")
    client.put_object(Bucket=bucket, Key="deep/订单 und Bücher (1).pdf", Body=b"pdf", ContentType="application/pdf")
    client.put_object(Bucket=bucket, Key="deep/" + "long" * 50 + ".bin", Body=bytes(512))
    client.put_object(Bucket=bucket, Key="large.bin", Body=draw.randbytes(20_000_000), ContentType="image/png")
    for number in range(60):
        client.put_object(Bucket=bucket, Key=f"many/{number:03}", Body=draw.randbytes(number * 37))


def seen(s3: S3Server, bucket: str) -> dict[str, tuple[object, ...]]:
    """Everything in a bucket, as a client reads it."""
    client, found = s3.client(), dict[str, tuple[object, ...]]()
    for each in client.list_objects_v2(Bucket=bucket).get("Contents", []):
        if each["Key"].endswith("/"):
            continue  # this server shows folders that became empty
        answer = client.get_object(Bucket=bucket, Key=each["Key"])
        body = hashlib.sha256(answer["Body"].read()).hexdigest()
        found[each["Key"]] = (each["Size"], body, answer["ContentType"], answer["Metadata"].get("name"))
    return found


@pytest.fixture
def filled(s3: S3Server) -> str:
    bucket = s3.bucket()
    fill(s3, bucket)
    return bucket


@pytest.fixture
def store(tmp_path: Path) -> ObjectFolder:
    return ObjectFolder(folder=tmp_path / "store")


async def saved(source: SavedBucket, store: ObjectFolder) -> tuple[Sequence[PartRecord], Fingerprint]:
    async with source.dumping(await source.inspect()) as dump:
        return [await store_part(part, store, FOLDER) for part in dump.parts], dump.fingerprint


async def put_back(target: SavedBucket, records: Sequence[PartRecord], store: ObjectFolder, only: str | None = None) -> None:
    for record in records:
        async with reading_part(record, store) as stream:
            await target.restore(record.name, record.format, stream, only)


async def test_what_is_destroyed_comes_back(s3: S3Server, filled: str, store: ObjectFolder) -> None:
    before = seen(s3, filled)
    assert len(before) == 65
    source = place(s3, filled)
    found = await source.inspect()
    assert (found.empty, found.size) == (False, sum(int(str(each[0])) for each in before.values()))
    records, fingerprint = await saved(source, store)
    assert fingerprint.counts == {"objects": 65}
    assert fingerprint.checksums.keys() == {"/", *before}
    assert fingerprint.checksums["/"] == f"bytes:{found.size}"
    await source.clear()
    assert (await source.inspect()).empty
    await put_back(source, records, store)
    assert seen(s3, filled) == before
    assert await source.fingerprint(fingerprint) == fingerprint
    s3.client().put_object(Bucket=filled, Key="many/007", Body=bytes(7 * 37))
    differing = await source.fingerprint(fingerprint)
    assert differing.counts == fingerprint.counts
    assert {key for key, word in fingerprint.checksums.items() if differing.checksums[key] != word} == {"many/007"}


async def test_a_prefix_goes_under_another_one(s3: S3Server, filled: str, store: ObjectFolder) -> None:
    records, fingerprint = await saved(place(s3, filled, "many/"), store)
    assert fingerprint.counts["objects"] == 60
    target = place(s3, filled, "copies/")
    await put_back(target, records, store)
    assert await target.fingerprint(fingerprint) == fingerprint
    now = seen(s3, filled)
    assert len(now) == 125
    assert now["copies/059"] == now["many/059"]
    await target.clear()
    assert len(seen(s3, filled)) == 65


async def test_one_object_comes_back_alone(s3: S3Server, filled: str, store: ObjectFolder) -> None:
    before = seen(s3, filled)
    source = place(s3, filled)
    records, _ = await saved(source, store)
    for key in ("large.bin", "deep/订单 und Bücher (1).pdf"):
        with pytest.raises(TargetNotEmpty):
            await put_back(source, records, store, only=key)
        s3.client().delete_object(Bucket=filled, Key=key)
        await put_back(source, records, store, only=key)
    assert seen(s3, filled) == before
    with pytest.raises(RestoreFailed, match="no such object"):
        await put_back(source, records, store, only="nothing")
    with pytest.raises(TargetNotEmpty):
        await put_back(source, records, store)


async def test_only_some_of_many_are_summed(
    s3: S3Server, filled: str, store: ObjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_objects, "SAMPLED", 10)
    source = place(s3, filled)
    _, fingerprint = await saved(source, store)
    smallest = sorted(seen(s3, filled), key=lambda key: hashlib.sha256(key.encode()).digest())[:10]
    assert fingerprint.checksums.keys() == {"/", *smallest}
    assert await source.fingerprint(fingerprint) == fingerprint


async def test_stock_programs_unpack_it(s3: S3Server, filled: str, store: ObjectFolder, tmp_path: Path) -> None:
    (record, _), _ = await saved(place(s3, filled), store)
    plain = tmp_path / "objects.tar"
    with (store.folder / record.key).open("rb") as source, plain.open("wb") as target:
        zstandard.ZstdDecompressor().copy_stream(source, target)
    command = ["tar", "--warning=no-unknown-keyword", "-xf", str(plain), "-C", str(tmp_path)]
    process = await asyncio.create_subprocess_exec(*command, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"})
    assert await process.wait() == 0
    assert (tmp_path / "a.txt").read_bytes() == b"text"
    assert (tmp_path / "large.bin").stat().st_size == 20_000_000
    with tarfile.open(plain) as packed:
        assert len(packed.getnames()) == 65


async def test_harmed_bytes_are_noticed(s3: S3Server, filled: str, store: ObjectFolder) -> None:
    records, _ = await saved(place(s3, filled), store)
    path = store.folder / records[0].key
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(BackupDamaged):
        await put_back(place(s3, s3.bucket()), records, store)


async def test_wrong_keys_and_missing_buckets_are_told(s3: S3Server, filled: str) -> None:
    with pytest.raises(PlaceRefused, match="does not accept our key") as raised:
        await place(s3, filled, secret="not-the-secret").inspect()
    assert "not-the-secret" not in raised.value.message
    with pytest.raises(PlaceRefused, match="no bucket"):
        await place(s3, "no-such-bucket").inspect()


async def test_a_server_that_dies_leaves_no_backup(own_s3: S3Server, store: ObjectFolder) -> None:
    bucket = own_s3.bucket()
    fill(own_s3, bucket)
    source = place(own_s3, bucket)
    inspection = await source.inspect()
    async with source.dumping(inspection) as dump:
        own_s3.kill()
        with pytest.raises(PlaceUnavailable):
            await store_part(dump.parts[0], store, FOLDER)
    assert [file for file in store.folder.rglob("*") if file.is_file()] == []
