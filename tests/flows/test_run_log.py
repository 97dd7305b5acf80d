"""One run's events for many readers: resumable exactly here, by time elsewhere; bounded."""

import asyncio

import orjson
import pytest

from core.runs import Cursor, RunEvent
from flows import run_log
from flows.run_log import RunLog


async def read(log: RunLog, after: str | None = None) -> list[RunEvent]:
    return [event async for batch in log.follow(Cursor.parse(after), 5) for event in batch]


def filled(*events: tuple[str, int]) -> RunLog:
    log = RunLog()
    for kind, at in events:
        log.append(kind, at, {"at": at})  # type: ignore[arg-type]
    log.end()
    return log


async def test_every_reader_gets_all_and_resumes_at_any_event() -> None:
    log = filled(("state", 1), ("log", 5), ("log", 4), ("progress", 6), ("state", 7), ("result", 0))
    whole = await read(log)
    assert [event.kind for event in whole] == ["state", "log", "log", "progress", "state", "result"]
    for place, event in enumerate(whole):
        assert await read(log, event.id) == whole[place + 1 :]


async def test_another_process_goes_on_by_what_was_seen_of_each_kind() -> None:
    here = filled(("state", 1), ("log", 2), ("log", 4), ("progress", 3))
    seen = (await read(here))[2].id
    there = filled(("state", 1), ("state", 3), ("log", 2), ("log", 4), ("log", 6), ("result", 0))
    rest = [(event.kind, orjson.loads(event.data)["at"]) for event in await read(there, seen)]
    assert rest == [("state", 3), ("log", 6), ("result", 0)]


@pytest.mark.parametrize(
    "text", [None, "", "7", "a.b.c.d.e", "a.1.2.3", "a.1.2.3.-4", "a.1.2.3.4.5", "a.1.2.3.٤", f"a.1.2.3.{10**50}"]
)
async def test_what_is_no_id_of_ours_starts_at_the_beginning(text: str | None) -> None:
    log = filled(("state", 1), ("result", 0))
    assert len(await read(log, text)) == 2


async def test_a_waiting_reader_is_woken_and_silence_beats() -> None:
    log = RunLog()
    batches = log.follow(Cursor(), 0.01)
    assert await anext(batches) == []
    waiting = asyncio.ensure_future(anext(log.follow(Cursor(), 10)))
    await asyncio.sleep(0)
    log.append("state", 1, {})
    assert [event.kind for event in await waiting] == ["state"]


async def test_memory_is_bounded_and_a_late_reader_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "HELD", 100)
    log = filled(*(("log", at) for at in range(1, 1_001)))
    events = await read(log)
    assert len(events) <= 102
    assert b"earlier events are left out" in events[0].data
    assert orjson.loads(events[-1].data) == {"at": 1_000}
    assert await read(log, events[-1].id) == []
