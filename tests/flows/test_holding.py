"""Which work waits for which flow runs: none for a server that is busy opening others, none for one that fails to open."""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial

import pytest

from flows.holding import OPENING_AT_ONCE, Inbox, OpenRuns, current
from flows.presence import Presence
from tests.waiting import eventually

ITEMS = 20


class Opening:
    """Stands in for a flow: its runs open when they are told to, or fail to."""

    def __init__(self) -> None:
        self.name = "opening"
        self.inboxes: list[Inbox] = []
        self.go_on = asyncio.Event()
        self.fails = False
        self.work_on = asyncio.Event()
        self.work_on.set()
        self.done: list[tuple[int, str | None]] = []

    async def __call__(self, key: str, /) -> int:
        inbox = current.get()
        assert inbox is not None
        self.inboxes.append(inbox)
        number = len(self.inboxes)
        await self.go_on.wait()
        if self.fails:
            raise RuntimeError("no flow run to be had")
        inbox.flow_run_id = f"run {number} of {key}"
        inbox.opened.set()
        while (work := await inbox.next()) is not None:
            await work()
        return 0

    async def piece(self, number: int) -> None:
        await self.work_on.wait()
        inbox = current.get()
        self.done.append((number, None if inbox is None else inbox.flow_run_id))


@pytest.fixture
async def flow() -> Opening:
    return Opening()


@pytest.fixture
async def runs(flow: Opening) -> AsyncGenerator[OpenRuns, None]:
    presence = Presence("http://127.0.0.1:9/api")
    presence.up = True
    open_runs = OpenRuns(presence, idle=60, items=ITEMS)
    yield open_runs
    flow.go_on.set()
    await open_runs.aclose()


async def test_only_some_flow_runs_open_at_once(runs: OpenRuns, flow: Opening) -> None:
    given = [runs.inbox(flow, f"s{n}") for n in range(10)]
    assert [inbox is not None for inbox in given] == [True] * OPENING_AT_ONCE + [False] * (10 - OPENING_AT_ONCE)
    await eventually(lambda: len(flow.inboxes) == OPENING_AT_ONCE, what="the first ones are opening")
    assert runs.inbox(flow, "s0") is given[0], "one that is opening is waited for, not opened again"
    assert runs.opening()

    assert given[0] is not None
    given[0].opened.set()
    assert runs.inbox(flow, "s9") is not None, "there is room for another once one has opened"


async def test_nobody_waits_long_for_one_that_opens_late(runs: OpenRuns, flow: Opening) -> None:
    async with asyncio.timeout(30):
        assert await runs.place(flow, "late", 0.01) is None
    flow.go_on.set()
    found = await runs.place(flow, "late", 5)
    assert found is flow.inboxes[0], "it opened all the same, for those who came later"


async def test_nobody_waits_for_one_that_fails_to_open(runs: OpenRuns, flow: Opening) -> None:
    flow.fails = True
    flow.go_on.set()
    async with asyncio.timeout(30):
        assert await runs.place(flow, "broken", 60) is None
    assert runs.ids() == set()


async def test_nothing_opens_while_prefect_is_away(flow: Opening) -> None:
    assert await OpenRuns(Presence("http://127.0.0.1:9/api"), idle=60, items=ITEMS).place(flow, "away", 5) is None
    assert flow.inboxes == []


async def test_the_next_run_is_open_before_one_is_full_and_both_are_known(runs: OpenRuns, flow: Opening) -> None:
    flow.go_on.set()
    flow.work_on.clear()
    numbers = range(ITEMS + 5)
    for number in numbers:
        inbox = await runs.place(flow, "busy", 5)
        assert inbox is not None
        if number == ITEMS:
            assert runs.ids() == {"run 1 of busy", "run 2 of busy"}, "the full one still holds what it was given"
        inbox.put(partial(flow.piece, number))
        await asyncio.sleep(0)
        if number == ITEMS - 1:
            assert len(flow.inboxes) == 2, "opened before it is needed"
    flow.work_on.set()
    await eventually(lambda: len(flow.done) == len(numbers), what="all pieces done")
    assert flow.done == [(number, f"run {1 if number < ITEMS else 2} of busy") for number in numbers]
    await eventually(lambda: "run 1 of busy" not in runs.ids(), what="the full run has ended")


async def test_a_full_run_goes_on_until_there_is_another(runs: OpenRuns, flow: Opening) -> None:
    flow.go_on.set()
    first = await runs.place(flow, "busy", 5)
    assert first is not None
    flow.go_on.clear()
    async with asyncio.timeout(30):
        for number in range(ITEMS * 2):
            assert await runs.place(flow, "busy", 60) is first, "nobody waits for the other to open"
            first.put(partial(flow.piece, number))
    flow.go_on.set()
    (other,) = await eventually(lambda: flow.inboxes[1:], what="the other opens")
    await other.opens(5)
    assert await runs.place(flow, "busy", 5) is other
    await eventually(lambda: runs.ids() == {"run 2 of busy"}, what="the first one has ended")
    assert len(flow.done) == ITEMS * 2


async def test_what_a_lost_run_did_not_take_is_done_on_its_own(runs: OpenRuns, flow: Opening) -> None:
    inbox = runs.inbox(flow, "lost")
    assert inbox is not None
    inbox.put(partial(flow.piece, 1))
    flow.fails = True
    flow.go_on.set()
    await eventually(lambda: flow.done == [(1, None)], what="the piece is done, in no run")
    assert inbox.closed


async def test_a_silent_run_ends_and_another_is_opened(flow: Opening) -> None:
    presence = Presence("http://127.0.0.1:9/api")
    presence.up = True
    runs = OpenRuns(presence, idle=0.05, items=ITEMS)
    flow.go_on.set()
    first = await runs.place(flow, "quiet", 5)
    await eventually(lambda: runs.ids() == set(), what="the silent run has ended")
    assert await runs.place(flow, "quiet", 5) is not first
    await runs.aclose()
