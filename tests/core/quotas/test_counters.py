"""Reserve and settle: exact, whoever counts and however many at once; nothing lost with a process or a server."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy import text

from blocks.valkey import connect
from blocks.valkey_counters import ValkeyCounters
from core.errors import QuotaSpent
from core.ids import new_id
from core.quotas.gate import Gate
from core.quotas.limits import clock, span
from core.settings_quotas import QuotaSettings
from core.store.base import Store
from core.store.processes import Processes
from core.store.quotas import Quotas, StoreCounters
from core.store.turns import NewTurn, Outcome, Turns

BEGUN: list["Process"] = []
QUESTION = [{"role": "user", "content": "hello"}]


@pytest.fixture(params=["database", "valkey"])
async def valkey(request: pytest.FixtureRequest, valkey_url: str) -> AsyncIterator[Redis | None]:
    """A client of an empty Valkey where that is to count."""
    if request.param == "database":
        yield None
        return
    client = connect(valkey_url)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture(autouse=True)
async def ended() -> AsyncIterator[None]:
    """Every process of a test lets go of its connection."""
    yield
    while BEGUN:
        await BEGUN.pop().gate.aclose()


class Process:
    """A process with a gate of its own."""

    def __init__(self, store: Store, valkey: Redis | None, **quotas: Any) -> None:
        self.store = store
        self.id = new_id()
        shared = None if valkey is None else ValkeyCounters(valkey, StoreCounters(store))
        self.gate = Gate(self.id, QuotaSettings(**quotas), "Asia/Shanghai", store, shared)
        self.turns = Turns(store)

    async def begin(self) -> "Process":
        await Processes(self.store).renew(self.id, "api")
        BEGUN.append(self)
        return self

    async def take(self, workspace: str = "default", token: str | None = "t1") -> str | None:
        """The id of a turn that was let in, None for one that was not."""
        turn = NewTurn(new_id(), None, self.id, QUESTION, {}, workspace=workspace, token_id=token)
        try:
            await self.gate.turn(turn.id, workspace, token, QUESTION, 50)
        except QuotaSpent:
            return None
        await self.turns.begin(turn)
        return turn.id

    async def end(self, turn_id: str, tokens: int = 10, *, failed: bool = False) -> None:
        said = None if failed else {"content": "hi"}
        status = "failed" if failed else "done"
        await self.turns.finish(turn_id, self.id, 1, Outcome(status, message=said, prompt_tokens=tokens))  # type: ignore[arg-type]
        await self.gate.settle(turn_id, turns=int(not failed), tokens=tokens)


async def lapse(store: Store, process: Process) -> None:
    late = text("UPDATE pilothouse.processes SET lease_until = now() - interval '1 minute' WHERE boot_id = :id")
    async with store.single() as connection:
        await connection.execute(late, {"id": process.id})


async def taken(process: Process, most: int = 40) -> int:
    """How many more turns are let in, one after the other."""
    count = 0
    while count < most and await process.take() is not None:
        count += 1
    return count


async def test_of_many_at_once_exactly_as_many_as_may_are_let_in(store: Store, valkey: Redis | None) -> None:
    two = [await Process(store, valkey, turns_per_day=10, turns_per_month=100).begin() for _ in range(2)]
    answers = await asyncio.gather(*(two[number % 2].take() for number in range(30)))
    assert len([answer for answer in answers if answer is not None]) == 10
    for number, turn in enumerate(answers):
        if turn is not None:
            await two[number % 2].end(turn, failed=number < 6)
    failed = len([answer for answer in answers[:6] if answer is not None])
    assert await taken(two[0]) == failed, "a turn that failed gives its place back, and only such a one"


async def test_nothing_is_held_where_one_of_the_limits_is_spent(store: Store, valkey: Redis | None) -> None:
    process = await Process(store, valkey, turns_per_day=5, tokens={"t1": {"turns_per_month": 2}, "t2": {"streams": 1}}).begin()
    assert await taken(process) == 2
    first = await process.take(token="t2")
    assert first is not None
    assert await process.take(token="t2") is None, "one at a time"
    await process.end(first)
    assert [await process.take(token="t3") is not None for _ in range(4)] == [True, True, False, False]
    assert await process.take("research", "t3") is not None, "another workspace has its own"


async def test_tokens_count_as_they_were_not_as_they_were_guessed(store: Store, valkey: Redis | None) -> None:
    process = await Process(store, valkey, tokens_per_day=200).begin()
    turns = [turn for _ in range(10) if (turn := await process.take()) is not None]
    assert len(turns) == 4, "about 55 each are held"
    for turn in turns:
        await process.end(turn, tokens=40)
    last = await process.take()
    assert last is not None
    await process.end(last, tokens=45)
    with pytest.raises(QuotaSpent, match="tokens_per_day") as refused:
        await process.gate.turn(new_id(), "default", None, QUESTION)
    assert refused.value.retry_after is not None
    now = clock("Asia/Shanghai")
    assert abs(refused.value.retry_after - (span("day", now)[1] - now).total_seconds()) < 10


async def test_what_a_dead_process_held_is_given_back_at_once_when_its_lease_is_over(store: Store, valkey: Redis | None) -> None:
    quotas: dict[str, Any] = {"turns_per_day": 3, "streams": 3}
    dead = await Process(store, valkey, **quotas).begin()
    living = await Process(store, valkey, **quotas).begin()
    ended = await dead.take()
    assert ended is not None
    await dead.end(ended)
    assert await taken(dead) == 2
    assert await taken(living) == 0
    await lapse(store, dead)
    living.gate._tended_at = 0.0
    assert await taken(living) == 0, "it is only too busy to renew its lease: its connection is there"
    await dead.gate.aclose()
    living.gate._tended_at = 0.0
    assert await taken(living) == 2, "what ended stays counted"


async def test_limits_set_at_run_time_win_and_count_what_was_used_before(store: Store, valkey: Redis | None) -> None:
    process = await Process(store, valkey).begin()
    for _ in range(3):
        turn = await process.take()
        assert turn is not None
        await process.end(turn)
    await Quotas(store).set("workspace", "default", {"turns_per_day": 5}, "me")
    process.gate.forget()
    assert await taken(process) == 2
    assert (await process.gate.limits()).of("workspace", "default")["turns_per_day"].origin == "admin"
    await Quotas(store).set("workspace", "default", {"turns_per_day": "off"}, "me")
    process.gate.forget()
    assert await taken(process, 3) == 3


async def test_counters_that_are_lost_come_back_from_the_ledger_and_from_what_is_held(store: Store, valkey: Redis | None) -> None:
    process = await Process(store, valkey, turns_per_day=6).begin()
    turns = [await process.take() for _ in range(4)]
    assert turns[0] is not None
    await process.end(turns[0])
    if valkey is not None:
        await valkey.flushdb()
    else:
        await StoreCounters(store).adopt(process.id, [], anew=True)
    assert await taken(process) == 2
    for turn in turns[1:]:
        assert turn is not None
        await process.end(turn, failed=True)
    assert await taken(process) == 3


async def test_the_database_counts_while_valkey_is_away_and_valkey_again_after_it(store: Store, valkey_url: str) -> None:
    client = connect(valkey_url)
    await client.flushdb()
    process = await Process(store, client, turns_per_day=6).begin()
    held = [await process.take(), await process.take()]
    gone = connect("redis://127.0.0.1:1/0")
    shared = process.gate._shared
    process.gate._shared = ValkeyCounters(gone, StoreCounters(store))
    third = await process.take()
    assert third is not None
    assert held[0] is not None
    await process.end(held[0])
    process.gate._shared, process.gate._away_until = shared, 0.0
    await process.end(third)
    assert await taken(process) == 3
    await client.aclose()
    await gone.aclose()


@given(st.lists(st.tuples(st.sampled_from(["take", "end", "fail"]), st.integers(0, 5)), max_size=25))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_is_taken_and_ended_no_more_is_let_in_than_may_and_nothing_is_lost(
    store: Store, valkey: Redis | None, steps: list[tuple[str, int]]
) -> None:
    name = f"w{new_id()[-8:]}"
    process = await Process(store, valkey, workspaces={name: {"turns_per_month": 4, "streams": 3}}).begin()
    running: list[str] = []
    done = 0
    for step, which in steps:
        if step == "take":
            turn = await process.take(name)
            assert (turn is not None) == (done + len(running) < 4 and len(running) < 3)
            running += [turn] if turn is not None else []
        elif running:
            await process.end(running.pop(which % len(running)), failed=step == "fail")
            done += step == "end"


def test_days_and_months_are_those_of_the_zone() -> None:
    shanghai = ZoneInfo("Asia/Shanghai")
    since, until = span("day", datetime(2026, 11, 30, 0, 30, tzinfo=shanghai))
    assert (since.isoformat(), until - since) == ("2026-11-29T16:00:00+00:00", timedelta(days=1))
    since, until = span("month", datetime(2026, 12, 31, 23, 59, tzinfo=shanghai))
    assert (since.isoformat(), until.isoformat()) == ("2026-11-30T16:00:00+00:00", "2026-12-31T16:00:00+00:00")
    berlin = ZoneInfo("Europe/Berlin")
    since, until = span("day", datetime(2026, 10, 25, 12, 0, tzinfo=berlin))
    assert until - since == timedelta(hours=25), "the day on which the clocks go back"
