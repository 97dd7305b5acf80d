"""The set of databases that may be asked: which one is meant, and how many ask at a time."""

import asyncio
from pathlib import Path

import pytest

from blocks.databases import Databases
from blocks.deadlines import within
from blocks.mysql import MySQLDatabase
from blocks.postgres import PostgresDatabase
from core.config import Settings
from core.databases import AT_ONCE, Readable, Rows
from core.errors import DatabaseUnavailable, InputInvalid, ToolFailed

ANSWER = Rows(["n"], [[1]], truncated=False)


class Slow:
    """A database that answers when it is told to."""

    description = "Orders since 2019"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.running = self.most = 0
        self.answer = asyncio.Event()
        self.closed = False

    async def query(self, sql: str) -> Rows:
        self.asked.append(sql)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.answer.wait()
        finally:
            self.running -= 1
        return ANSWER

    async def aclose(self) -> None:
        self.closed = True


async def test_the_configuration_says_which_there_are(tmp_path: Path) -> None:
    section = {"description": "Orders", "rows": 7, "seconds": 3.0}
    urls = {"sales": "postgresql://reader:x@h/sales", "shop": "mariadb://reader:x@h/shop"}
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "databases": {name: {"url": url, **section} for name, url in urls.items()}}
    )
    databases = Databases.from_settings(settings)
    assert databases.offered == {"sales": "Orders", "shop": "Orders"}
    for name, kind in (("sales", PostgresDatabase), ("shop", MySQLDatabase)):
        block = kind.from_settings(name, settings.databases[name])
        assert (block.name, block.rows, block.seconds) == (name, 7, 3.0)
    await databases.aclose()


async def test_the_only_database_need_not_be_named() -> None:
    only = Slow()
    only.answer.set()
    databases = Databases({"sales": only})
    assert await databases.query("", "SELECT 1") == ANSWER
    assert await databases.query(" sales ", "SELECT 2") == ANSWER
    assert only.asked == ["SELECT 1", "SELECT 2"]
    await databases.aclose()
    assert only.closed


@pytest.mark.parametrize("name", ["", "sale", "SALES"])
async def test_an_unknown_name_is_answered_with_those_there_are(name: str) -> None:
    hidden: dict[str, Readable] = {"sales": Slow(), "shop": Slow()}
    with pytest.raises(InputInvalid, match=r"sales \(Orders since 2019\); shop") as refused:
        await Databases(hidden).query(name, "SELECT 1")
    assert refused.value.field == "database"


async def test_without_any_the_setting_is_named() -> None:
    with pytest.raises(ToolFailed, match=r"add \[databases\.NAME\]"):
        await Databases({}).query("", "SELECT 1")


async def test_no_more_ask_at_a_time_than_may_and_the_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Slow()
    databases = Databases({"sales": busy})
    asking = [asyncio.create_task(databases.query("sales", str(n))) for n in range(AT_ONCE * 3)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert busy.running == AT_ONCE
    monkeypatch.setattr("blocks.databases.WAIT", 0.01)
    with pytest.raises(DatabaseUnavailable, match="busy"):
        await databases.query("sales", "one too many")
    busy.answer.set()
    assert await asyncio.gather(*asking) == [ANSWER] * AT_ONCE * 3
    assert busy.most == AT_ONCE


async def test_a_deadline_holds_even_for_what_does_not_let_itself_be_cancelled() -> None:
    cancelled = 0

    async def stubborn() -> None:
        nonlocal cancelled
        while cancelled < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1
        raise asyncio.CancelledError

    with pytest.raises(TimeoutError):
        await within(0.01, stubborn())
    assert cancelled == 2


async def test_a_deadline_passes_on_what_comes_in_time() -> None:
    async def quick() -> int:
        return 7

    async def wrong() -> int:
        raise ToolFailed("It is wrong.")

    assert await within(1, quick()) == 7
    with pytest.raises(ToolFailed, match="wrong"):
        await within(1, wrong())
