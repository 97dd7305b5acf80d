"""Keeping a file: row first, then bytes, then a link; what is left when one of them fails."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from blocks.storage_folder import ObjectFolder
from core.config import DatabaseSettings
from core.errors import NotFound, StoreUnavailable, ToolFailed
from core.files import KEY, BaseLinks, ListedObject, StoredObject
from core.keeping import Keeper
from core.store.base import Store
from core.store.files import Files
from core.tools.tool import File

CHART = File("销量.svg", "image/svg+xml", b"<svg/>")


@dataclass
class Moody:
    """A folder that is away now and then; while it writes, the session ``ending`` is deleted."""

    real: ObjectFolder
    url: str
    away: bool = False
    ending: str = ""

    async def put(self, key: str, data: bytes | AsyncIterator[bytes], media_type: str, name: str) -> int:
        if self.away:
            raise StoreUnavailable("away")
        if self.ending:
            with psycopg.connect(self.url) as connection:
                connection.execute("DELETE FROM pilothouse.files WHERE session_id = %s", [self.ending])
        return await self.real.put(key, data, media_type, name)

    async def head(self, key: str) -> StoredObject:
        return await self.real.head(key)

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        return self.real.read(key, start, end)

    def list(self, prefix: str = "") -> AsyncGenerator[Sequence[ListedObject], None]:
        return self.real.list(prefix)

    async def remove(self, keys: Sequence[str]) -> None:
        await self.real.remove(keys)


@pytest.fixture
async def rows(database_url: str) -> AsyncIterator[Files]:
    store = Store.from_settings(DatabaseSettings(url=SecretStr(database_url)))
    yield Files(store)
    await store.aclose()


@pytest.fixture
def folder(tmp_path: Path, database_url: str) -> Moody:
    return Moody(ObjectFolder(folder=tmp_path / "files"), database_url)


@pytest.fixture
def keeper(rows: Files, folder: Moody) -> Keeper:
    return Keeper(rows, folder, BaseLinks("http://host/files"), days=15, max_bytes=1000)


def kept_keys(folder: Moody) -> list[str]:
    return sorted(path.name for path in folder.real.folder.glob("[!.]*"))


async def content(keeper: Keeper, key: str) -> bytes:
    return b"".join([chunk async for chunk in keeper.read(key)])


async def test_a_file_gets_a_link_that_nobody_guesses(keeper: Keeper, database_url: str) -> None:
    kept = keeper.taken(CHART, tool_run_id="run-1")
    url = await keeper.keep(kept)
    assert url == f"http://host/files/{kept.key}"
    assert KEY.fullmatch(kept.key)
    record = await keeper.find(kept.key)
    assert (record.name, record.media_type, record.size) == ("销量.svg", "image/svg+xml", 6)
    assert await content(keeper, kept.key) == b"<svg/>"
    with psycopg.connect(database_url) as connection:
        query = "SELECT tool_run_id, session_id, extract(day FROM expires_at - created_at)::int FROM pilothouse.files"
        assert connection.execute(query).fetchall() == [("run-1", None, 15)]


async def test_nothing_about_a_file_on_its_way_opens_it(keeper: Keeper) -> None:
    kept = keeper.taken(CHART)
    assert str(kept) == f"file-{kept.key[:6]}"


async def test_a_file_that_is_too_large_is_refused(keeper: Keeper, folder: Moody) -> None:
    keeper.taken(replace(CHART, data=b"x" * 1000))
    with pytest.raises(ToolFailed, match=r"1001 bytes.*files\.max_bytes"):
        keeper.taken(replace(CHART, data=b"x" * 1001))
    assert not folder.real.folder.exists()


async def test_kept_again_after_a_failure_it_is_the_same_file(keeper: Keeper, rows: Files, folder: Moody) -> None:
    kept = keeper.taken(CHART)
    folder.away = True
    with pytest.raises(StoreUnavailable):
        await keeper.keep(kept)
    assert await rows.known([kept.key]) == {kept.key}  # nothing lies in the store that no row knows
    with pytest.raises(NotFound):
        await content(keeper, kept.key)
    folder.away = False
    urls = [await keeper.keep(kept), await keeper.keep(kept)]
    assert urls[0] == urls[1]
    assert kept_keys(folder) == [kept.key]


async def test_a_session_deleted_meanwhile_keeps_no_file(keeper: Keeper, folder: Moody) -> None:
    folder.ending = "gone"
    with pytest.raises(NotFound, match="was deleted"):
        await keeper.keep(keeper.taken(CHART, session_id="gone"))
    assert kept_keys(folder) == []


async def test_what_cannot_be_a_key_asks_nobody(folder: Moody) -> None:
    store = Store.from_settings(DatabaseSettings(url=SecretStr("postgresql://127.0.0.1:9/none")))
    keeper = Keeper(Files(store), folder, BaseLinks("http://host"), days=1, max_bytes=1)
    for key in ("", "chart.svg", "../x", "0" * 32 + "-", "0" * 32 + "-" + "a" * 100, "A" * 32 + "-a"):
        with pytest.raises(NotFound):
            await keeper.find(key)
    await store.aclose()


async def test_a_sessions_files_are_dropped_whatever_their_number(keeper: Keeper, rows: Files, folder: Moody) -> None:
    def of(number: int) -> str | None:
        return "ours" if number % 2 else None

    kept = [keeper.taken(CHART, of(number)) for number in range(8)]
    for one in kept:
        await rows.add(one.key, name="x", media_type="image/png", size=1, days=1, session_id=one.session_id)
        await folder.put(one.key, b"x", "image/png", "x")
    real = rows.of_session

    async def two_at_a_time(session_id: str, limit: int = 2) -> Sequence[str]:
        return await real(session_id, limit)

    rows.of_session = two_at_a_time  # type: ignore[method-assign,assignment]
    assert await keeper.drop_session("ours") == 4
    assert kept_keys(folder) == sorted(one.key for one in kept if one.session_id is None)
    assert await keeper.drop_session("ours") == 0


async def test_many_files_at_once(keeper: Keeper, folder: Moody) -> None:
    urls = await asyncio.gather(*(keeper.keep(keeper.taken(CHART)) for _ in range(40)))
    assert len(set(urls)) == 40
    assert len(kept_keys(folder)) == 40
