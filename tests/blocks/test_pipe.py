"""The pipe into a store and back: what opens it, what is refused, what is left behind, how much memory it takes."""

import asyncio
import hashlib
import io
import random
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager
from pathlib import Path
from typing import IO, ClassVar

import psutil
import pyrage  # type: ignore[import-untyped]
import pytest
from pydantic import SecretStr

from blocks.pipe import Effort, store_part
from blocks.pipe_reading import reading_part, verify_part
from blocks.storage_bucket import ObjectBucket
from blocks.storage_folder import ObjectFolder
from core.backups.errors import BackupDamaged, DumpFailed
from core.backups.manifest import PartRecord
from core.backups.place import Part, Stream
from core.errors import ConfigurationInvalid, StoreRefused
from tests.s3 import S3Server
from tests.waiting import eventually

WORDS = ["the", "answer", "of", "a", "model", "to", "question", "about", "orders", "订单", "回答", "invoices", "发票", "Shanghai"]
FOLDER = "chat/2026/01/31/020000Z-abc/"


def text(size: int, seed: int = 1) -> bytes:
    """Words in no order; ``size`` bytes."""
    draw = random.Random(seed)
    return " ".join(draw.choices(WORDS, k=size // 4)).encode()[:size]


class Rolling(io.RawIOBase):
    """``count`` times a megabyte that cannot be compressed and ``block``; as a tool's output, read once."""

    def __init__(self, block: bytes, count: int) -> None:
        super().__init__()
        self.block, self.left, self.digest, self.draw = block, count, hashlib.sha256(), random.Random(count)

    def read(self, size: int = -1, /) -> bytes:
        if not self.left:
            return b""
        self.left -= 1
        chunk = self.draw.randbytes(1_000_000) + self.block
        self.digest.update(chunk)
        return chunk


@contextmanager
def opened(stream: Stream, error: Exception | None = None) -> Iterator[Stream]:
    yield stream
    if error is not None:
        raise error


def part(data: bytes, name: str = "chat.pgdump", packed: bool = False) -> Part:
    return Part(name, "any", lambda: opened(io.BytesIO(data)), packed)


@pytest.fixture
def store(tmp_path: Path) -> ObjectFolder:
    return ObjectFolder(folder=tmp_path / "store")


@pytest.fixture
def key() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


async def read_back(record: PartRecord, store: ObjectFolder, identity: pyrage.x25519.Identity | None = None) -> bytes:
    secret = SecretStr(f"# made for a test\n{identity}\n") if identity is not None else None
    async with reading_part(record, store, secret) as stream:
        return await asyncio.to_thread(stream.read)


async def stored_keys(store: ObjectFolder) -> list[str]:
    async with aclosing(store.list()) as pages:
        return [each.key async for page in pages for each in page]


@pytest.mark.parametrize("fast", [False, True])
async def test_what_goes_in_comes_out_again(store: ObjectFolder, fast: bool) -> None:
    data = text(5_000_000)
    record = await store_part(part(data), store, FOLDER, effort=Effort.of(fast))
    assert record.key == f"{FOLDER}chat.pgdump.zst"
    assert (record.plain_size, record.compression, record.encryption) == (len(data), "zstd", "none")
    kept = (store.folder / record.key).read_bytes()
    assert (record.size, record.sha256) == (len(kept), hashlib.sha256(kept).hexdigest())
    assert record.size < len(data) / 3
    assert await read_back(record, store) == data
    await verify_part(record, store)


async def test_a_packed_part_is_not_compressed_again(store: ObjectFolder) -> None:
    record = await store_part(part(b"packed" * 1000, "files.tar", packed=True), store, FOLDER)
    assert (record.key, record.compression, record.size) == (f"{FOLDER}files.tar", "none", 6000)
    assert (store.folder / record.key).read_bytes() == b"packed" * 1000
    assert await read_back(record, store) == b"packed" * 1000


async def test_either_of_two_keys_opens_it_and_another_does_not(store: ObjectFolder, key: pyrage.x25519.Identity) -> None:
    second = pyrage.x25519.Identity.generate()
    data = text(3_000_000)
    record = await store_part(part(data), store, FOLDER, recipients=[str(key.to_public()), str(second.to_public())])
    assert (record.key, record.encryption) == (f"{FOLDER}chat.pgdump.zst.age", "age")
    kept = (store.folder / record.key).read_bytes()
    assert kept.startswith(b"age-encryption.org/v1\n")
    assert kept.count(b"-> X25519 ") == 2
    assert await read_back(record, store, key) == data
    assert await read_back(record, store, second) == data
    with pytest.raises(BackupDamaged, match="other keys"):
        await read_back(record, store, pyrage.x25519.Identity.generate())
    with pytest.raises(ConfigurationInvalid, match=r"backups\.identity"):
        await read_back(record, store)
    await verify_part(record, store)


async def test_stock_programs_open_it(store: ObjectFolder, tmp_path: Path, key: pyrage.x25519.Identity) -> None:
    if missing := [program for program in ("age", "zstd") if shutil.which(program) is None]:
        pytest.skip(f"not installed: {missing}")
    data = text(2_000_000)
    record = await store_part(part(data), store, FOLDER, recipients=[str(key.to_public())])
    (tmp_path / "key.txt").write_text(str(key))
    command = f"age -d -i '{tmp_path}/key.txt' '{store.folder}/{record.key}' | zstd -d"
    done = await asyncio.to_thread(
        subprocess.run, ["/bin/bash", "-o", "pipefail", "-c", command], capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == data


async def test_ssh_keys_open_it_too(store: ObjectFolder, tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("not installed: ssh-keygen")
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")]
    await asyncio.to_thread(subprocess.run, command, check=True, timeout=60)
    record = await store_part(part(b"secret"), store, FOLDER, recipients=[(tmp_path / "key.pub").read_text()])
    async with reading_part(record, store, SecretStr((tmp_path / "key").read_text())) as stream:
        assert await asyncio.to_thread(stream.read) == b"secret"


@pytest.mark.parametrize("recipient", ["age1nonsense", "somebody", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1QQQQ"])
async def test_a_recipient_that_is_none_is_told_before_anything_runs(store: ObjectFolder, recipient: str) -> None:
    def never() -> AbstractContextManager[Stream]:
        raise AssertionError("the part was opened")

    with pytest.raises(ConfigurationInvalid, match=r"backups\.recipients") as raised:
        await store_part(Part("x", "any", never), store, FOLDER, recipients=[recipient])
    assert "1QQQQ" not in raised.value.message


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_dump_that_fails_at_its_very_end_is_not_kept(
    store: ObjectFolder, key: pyrage.x25519.Identity, encrypted: bool
) -> None:
    failing = Part("chat.pgdump", "any", lambda: opened(io.BytesIO(text(9_000_000)), DumpFailed("the tool ended with 1")))
    with pytest.raises(DumpFailed, match="ended with 1"):
        await store_part(failing, store, FOLDER, recipients=[str(key.to_public())] if encrypted else [])
    assert await stored_keys(store) == []
    assert [file for file in store.folder.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_stream_that_breaks_is_not_kept(store: ObjectFolder, key: pyrage.x25519.Identity, encrypted: bool) -> None:
    class Breaking(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            raise DumpFailed("the connection broke")

    failing = Part("chat.pgdump", "any", lambda: opened(Breaking()))
    with pytest.raises(DumpFailed, match="the connection broke"):
        await store_part(failing, store, FOLDER, recipients=[str(key.to_public())] if encrypted else [])
    assert await stored_keys(store) == []


async def test_an_empty_dump_is_not_kept(store: ObjectFolder) -> None:
    with pytest.raises(DumpFailed, match="nothing came out"):
        await store_part(part(b""), store, FOLDER)
    assert await stored_keys(store) == []


class Full(ObjectFolder):
    """A store that takes the first chunk and has no room for the next."""

    _block_type_slug: ClassVar[str | None] = "full-folder"

    async def put(self, key: str, data: bytes | AsyncIterator[bytes], media_type: str, name: str) -> int:
        assert not isinstance(data, bytes)
        await anext(data)
        raise StoreRefused("No space left.")


async def test_a_store_that_fails_ends_the_tool(tmp_path: Path) -> None:
    rolling = Rolling(b"", 1000)
    with pytest.raises(StoreRefused, match="No space"):
        await store_part(Part("chat.pgdump", "any", lambda: opened(rolling)), Full(folder=tmp_path), FOLDER)
    assert rolling.left > 900
    await eventually(lambda: not any("backup-pipe" in thread.name for thread in threading.enumerate()))


async def test_a_bucket_takes_it_in_parts_and_keeps_nothing_of_a_failed_one(s3: S3Server) -> None:
    name = s3.bucket()
    user, password = SecretStr(s3.user), SecretStr(s3.password)
    bucket = ObjectBucket(bucket=name, endpoint=s3.url, access_key=user, secret_key=password, part_bytes=5 << 20)
    data = random.Random(1).randbytes(12_000_000)
    record = await store_part(part(data), bucket, FOLDER)
    async with reading_part(record, bucket) as stream:
        assert await asyncio.to_thread(stream.read) == data
    failing = Part("late.pgdump", "any", lambda: opened(io.BytesIO(data), DumpFailed("the tool ended with 1")))
    with pytest.raises(DumpFailed):
        await store_part(failing, bucket, FOLDER)
    assert [each["Key"] for each in s3.client().list_objects_v2(Bucket=name)["Contents"]] == [record.key]
    assert s3.client().list_multipart_uploads(Bucket=name).get("Uploads", []) == []


async def test_a_cancelled_part_ends_a_read_that_waits(store: ObjectFolder) -> None:
    class Waiting(io.RawIOBase):
        def __init__(self) -> None:
            super().__init__()
            self.asked, self.told = threading.Event(), threading.Event()

        def read(self, size: int = -1, /) -> bytes:
            self.asked.set()
            assert self.told.wait(20)
            return b""

        def stop(self) -> None:
            self.told.set()

    waiting = Waiting()
    storing = asyncio.create_task(store_part(Part("chat.pgdump", "any", lambda: opened(waiting)), store, FOLDER))
    await eventually(waiting.asked.is_set)
    storing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await storing
    assert waiting.told.is_set()
    assert await stored_keys(store) == []


def flip(data: bytes) -> bytes:
    return data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]


@pytest.mark.parametrize("harm", [flip, lambda data: data[:-1], lambda data: data[: len(data) // 2], lambda data: b""])
@pytest.mark.parametrize("encrypted", [False, True])
async def test_harmed_bytes_are_noticed(
    store: ObjectFolder, key: pyrage.x25519.Identity, harm: Callable[[bytes], bytes], encrypted: bool
) -> None:
    record = await store_part(part(text(3_000_000)), store, FOLDER, recipients=[str(key.to_public())] if encrypted else [])
    path = store.folder / record.key
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(BackupDamaged):
        await read_back(record, store, key)
    with pytest.raises(BackupDamaged):
        await verify_part(record, store)


async def test_what_a_reader_leaves_unread_is_checked_too(store: ObjectFolder) -> None:
    record = await store_part(part(text(3_000_000)), store, FOLDER)
    async with reading_part(record, store) as stream:
        assert len(await asyncio.to_thread(stream.read, 10)) == 10
    path = store.folder / record.key
    path.write_bytes(flip(path.read_bytes()))
    with pytest.raises(BackupDamaged):
        async with reading_part(record, store) as stream:
            await asyncio.to_thread(stream.read, 10)


async def test_a_reader_that_fails_leaves_no_thread(store: ObjectFolder, key: pyrage.x25519.Identity) -> None:
    record = await store_part(part(random.Random(1).randbytes(30_000_000)), store, FOLDER, recipients=[str(key.to_public())])

    async def read_and_fail() -> None:
        async with reading_part(record, store, SecretStr(str(key))) as stream:
            await asyncio.to_thread(stream.read, 10)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await read_and_fail()
    await eventually(lambda: not any("backup-" in thread.name for thread in threading.enumerate()))


async def test_a_part_that_is_gone_is_told(store: ObjectFolder) -> None:
    record = await store_part(part(b"data"), store, FOLDER)
    await store.remove([record.key])
    with pytest.raises(BackupDamaged, match="not in the store"):
        await read_back(record, store)


async def test_memory_stays_flat_and_progress_is_told(store: ObjectFolder, key: pyrage.x25519.Identity) -> None:
    rolling = Rolling(text(1_000_000), 160)
    told: list[tuple[int, int]] = []
    process = psutil.Process()
    before, peak = process.memory_info().rss, 0

    def progress(read: int, written: int) -> None:
        nonlocal peak
        told.append((read, written))
        peak = max(peak, process.memory_info().rss)

    record = await store_part(
        Part("chat.pgdump", "any", lambda: opened(rolling)),
        store,
        FOLDER,
        recipients=[str(key.to_public())],
        effort=Effort.of(fast=True),
        progress=progress,
    )
    assert record.plain_size >= 320_000_000
    assert record.size > 160_000_000
    assert told[-1][0] == record.plain_size
    assert told == sorted(told)
    assert peak - before < 100_000_000
    digest = hashlib.sha256()

    def hash_all(stream: IO[bytes]) -> None:
        nonlocal peak
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
            peak = max(peak, process.memory_info().rss)

    async with reading_part(record, store, SecretStr(str(key))) as stream:
        await asyncio.to_thread(hash_all, stream)
    assert digest.digest() == rolling.digest.digest()
    assert peak - before < 100_000_000


async def test_a_quiet_pipe_makes_way_and_a_fast_one_does_not(store: ObjectFolder) -> None:
    found: list[int] = []

    @contextmanager
    def asking() -> Iterator[Stream]:
        with subprocess.Popen(["nice"], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            said = process.stdout.read()
            found.append(int(said))
            yield io.BytesIO(said)

    for fast in (False, True):
        await store_part(Part("nice.txt", "any", asking), store, FOLDER, effort=Effort.of(fast))
    assert found[0] - found[1] == 10
