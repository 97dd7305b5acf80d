"""A tool of the tests' own, what it works with, and calls of it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from blocks.storage_folder import ObjectFolder
from core.charts.chart import Chart, Picture
from core.databases import Rows
from core.errors import StoreUnavailable, ToolBusy, ToolFailed
from core.files import BaseLinks, ListedObject, StoredObject
from core.ids import new_id
from core.keeping import Keeper
from core.store.base import Store
from core.store.files import Files
from core.store.processes import Processes
from core.store.tool_runs import ToolRuns
from core.tools.calls import ToolCall
from core.tools.shelf import Shelf
from core.tools.tool import Bench, File, Output, Tool, Words
from flows.holding import OpenRuns
from flows.tools import ToolCalls

How = Literal["works", "waits", "waits and says", "fails", "breaks", "is busy once", "is busy", "lies"]


class Stamping(BaseModel):
    """What to stamp, and how it goes."""

    word: str
    how: How = "works"


class FolderWithTroubles:
    """A real folder, away for the first ``away`` puts."""

    def __init__(self, folder: Path) -> None:
        self.away = 0
        self.puts = 0
        self._folder = ObjectFolder(folder=folder)

    async def put(self, key: str, data: bytes | AsyncIterator[bytes], media_type: str, name: str) -> int:
        self.puts += 1
        if self.puts <= self.away:
            raise StoreUnavailable("The store does not answer.")
        return await self._folder.put(key, data, media_type, name)

    async def head(self, key: str) -> StoredObject:
        return await self._folder.head(key)

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        return self._folder.read(key, start, end)

    def list(self, prefix: str = "") -> AsyncGenerator[Sequence[ListedObject], None]:
        return self._folder.list(prefix)

    async def remove(self, keys: Sequence[str]) -> None:
        await self._folder.remove(keys)


class NoBench:
    """The tests' tool needs none."""

    async def draw(self, chart: Chart) -> Picture:
        raise AssertionError(chart)

    async def query(self, database: str, sql: str) -> Rows:
        raise AssertionError(database, sql)


class Workshop:
    """``runs`` counts how often the tool ran, by word; ``go_on`` lets those go on that wait."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.rows = ToolRuns(store)
        self.folder = FolderWithTroubles(folder)
        self.keeper = Keeper(Files(store), self.folder, BaseLinks("http://files.test"), days=15, max_bytes=1_000_000)
        self.runs: dict[str, int] = {}
        self.go_on = asyncio.Event()
        self.boot_ids: list[str] = []
        self.tool = Tool(
            id="testing/stamp",
            name=Words("盖章", "Stamp"),
            description=Words("盖章", "Stamps a word."),
            version="1",
            inputs=Stamping,
            outputs=(
                Output("stamp", "string", Words("章", "stamp"), Words("图", "The picture.")),
                Output("word", "string", Words("字", "word"), Words("字", "The word.")),
            ),
            run=self._stamp,
        )

    async def process(self, open_runs: OpenRuns | None = None) -> ToolCalls:
        """The calls of one more process, which is alive."""
        boot_id = new_id()
        self.boot_ids.append(boot_id)
        await Processes(self.store).renew(boot_id, "api")
        return ToolCalls(boot_id, self.rows, NoBench(), self.keeper, open_runs, Shelf((), (self.tool,)))

    async def _stamp(self, inputs: Stamping, _bench: Bench) -> Mapping[str, Any]:
        tried = self.runs[inputs.word] = self.runs.get(inputs.word, 0) + 1
        match inputs.how:
            case "waits":
                await self.go_on.wait()
            case "waits and says":
                await self.go_on.wait()
                return {"stamp": inputs.word, "word": inputs.word}
            case "fails":
                raise ToolFailed("There is no ink left; fill it up.")
            case "breaks":
                raise ZeroDivisionError("a mistake in the tool")
            case "is busy":
                raise ToolBusy("Too many stamps wait.")
            case "is busy once" if tried == 1:
                raise ToolBusy("Too many stamps wait.")
            case "lies":
                return {"stamp": object(), "word": inputs.word}
            case _:
                pass
        return {"stamp": File("stamp.svg", "image/svg+xml", b"<svg/>"), "word": inputs.word}


def a_call(word: str = "paid", how: How = "works", **more: Any) -> ToolCall:
    return ToolCall("testing/stamp", {"word": word, "how": how}, **{"source": "api", "token_id": "token"} | more)
