"""What a folder and a bucket have in common: objects kept whole with type and name, read in parts, listed, removed."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from blocks.storage_bucket import ObjectBucket
from blocks.storage_folder import ObjectFolder
from core.errors import NotFound
from core.files import ObjectStore
from tests.s3 import S3Server

MIB = 1024 * 1024
Made = Callable[[], ObjectStore]


def bucket_block(s3: S3Server, name: str, **more: object) -> ObjectBucket:
    values = {"endpoint": s3.url, "bucket": name, "access_key": s3.user, "secret_key": s3.password, "part_bytes": 5 * MIB}
    return ObjectBucket.model_validate(values | more)


@pytest.fixture(params=["folder", "bucket", "prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return ObjectFolder(folder=tmp_path / "objects")
    s3: S3Server = request.getfixturevalue("s3")
    return bucket_block(s3, s3.bucket(), prefix="ours/here/" if request.param == "prefix" else "")


async def content(store: ObjectStore, key: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in store.read(key, start, end)])


async def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [one.key async for page in store.list(prefix) for one in page]


async def chunks(total: int, size: int = 700_001) -> AsyncGenerator[bytes, None]:
    """Bytes in which no two places look alike."""
    for start in range(0, total, size):
        yield block(start, min(start + size, total))


def block(start: int, end: int) -> bytes:
    first = start // 32
    text = b"".join(hashlib.sha256(number.to_bytes(8)).digest() for number in range(first, (end + 31) // 32))
    return text[start - first * 32 : end - first * 32]


async def test_an_object_is_kept_with_its_type_and_name(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    assert await store.put("a/b-1.svg", b"<svg/>", "image/svg+xml", '销量 100%;"x".svg') == 6
    found = await store.head("a/b-1.svg")
    assert (found.key, found.size, found.media_type, found.name) == ("a/b-1.svg", 6, "image/svg+xml", '销量 100%;"x".svg')
    assert before < found.modified_at < datetime.now(UTC) + timedelta(seconds=2)
    assert await content(store, "a/b-1.svg") == b"<svg/>"


async def test_put_again_takes_the_place_of_what_was_there(store: ObjectStore) -> None:
    await store.put("one", b"longer than the other", "text/plain", "one.txt")
    await store.put("one", b"short", "text/html", "two.html")
    assert await content(store, "one") == b"short"
    found = await store.head("one")
    assert (found.media_type, found.name) == ("text/html", "two.html")
    assert await keys(store) == ["one"]


async def test_an_empty_object_is_one_too(store: ObjectStore) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        for _ in range(0):
            yield b""

    assert await store.put("empty", b"", "text/plain", "e") == 0
    assert await store.put("emptied", nothing(), "text/plain", "e") == 0
    assert await content(store, "empty") == await content(store, "emptied") == b""
    assert (await store.head("emptied")).size == 0


@pytest.mark.parametrize("total", [1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB, 12 * MIB + 7])
async def test_a_stream_of_any_length_arrives_as_it_was(store: ObjectStore, total: int) -> None:
    assert await store.put("stream", chunks(total), "application/octet-stream", "stream") == total
    assert (await store.head("stream")).size == total
    found = hashlib.sha256()
    async with aclosing(store.read("stream")) as reading:
        async for chunk in reading:
            assert len(chunk) <= MIB
            found.update(chunk)
    expected = hashlib.sha256(b"".join([chunk async for chunk in chunks(total)]))
    assert found.digest() == expected.digest()


async def test_a_range_is_read_without_the_rest(store: ObjectStore) -> None:
    total = 2 * MIB
    await store.put("big", chunks(total), "application/octet-stream", "big")
    for start, end in (
        (0, 1),
        (5, 5),
        (100, 700_000),
        (total - 3, None),
        (total - 3, total + 50),
        (total, None),
        (total + 9, None),
    ):
        upto = min(total, total if end is None else end)
        assert await content(store, "big", start, end) == block(min(start, upto), upto), (start, end)


async def test_what_is_not_there_is_not_found(store: ObjectStore) -> None:
    with pytest.raises(NotFound):
        await store.head("no/such")
    with pytest.raises(NotFound):
        await content(store, "no/such")


async def test_a_listing_comes_in_pages_and_by_prefix(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("blocks.storage_folder", "blocks.storage_bucket"):
        monkeypatch.setattr(f"{module}.PAGE", 2)
    names = ["a/1", "a/2", "a/3", "ab", "b/1"]
    for number, name in enumerate(names):
        await store.put(name, b"x" * number, "text/plain", "x")
    pages = [page async for page in store.list()]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert {one.key: one.size for page in pages for one in page} == {name: size for size, name in enumerate(names)}
    assert sorted(await keys(store, "a/")) == ["a/1", "a/2", "a/3"]
    assert sorted(await keys(store, "a")) == ["a/1", "a/2", "a/3", "ab"]
    assert await keys(store, "none") == []


async def test_removing_counts_what_is_gone_as_removed(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blocks.storage_bucket.PAGE", 2)
    for name in ("one", "two", "three", "stays"):
        await store.put(name, b"x", "text/plain", "x")
    await store.remove(["one", "two", "never", "three"])
    await store.remove(["one"])
    await store.remove([])
    assert await keys(store) == ["stays"]


async def test_a_source_that_fails_leaves_nothing_and_the_old_object_as_it_was(store: ObjectStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for chunk in chunks(11 * MIB):
            yield chunk
        raise OSError("the dump ended early")

    await store.put("one", b"old", "text/plain", "x")
    for key in ("one", "new"):
        with pytest.raises(OSError, match="the dump ended early"):
            await store.put(key, broken(), "text/plain", "x")
    assert await keys(store) == ["one"]
    assert await content(store, "one") == b"old"
