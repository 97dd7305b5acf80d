"""A day's load as fast as it goes: ``python -m tests.benchmarks.replay [--turns 100000] [--sessions 1000] [--burst 2000]``.

Says the mean first token, errors, turns a second, the growth of both databases and of every process's memory, and how long after
a burst Prefect knows all of its turns.
"""

import argparse
import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from statistics import mean, median, quantiles
from time import perf_counter, sleep
from uuid import uuid4

import uvloop

from tests.benchmarks.client import Line, Reply
from tests.benchmarks.processes import Pilothouse, fake_upstream, pilothouse
from tests.upstream.behaviours import text_of

CAUGHT_UP_WITHIN = 1800.0


class Replay:
    """Turns over sessions, each session's one after another."""

    def __init__(self, house: Pilothouse, at_once: int) -> None:
        self.house, self.at_once = house, at_once
        self.firsts: list[float] = []
        self.errors: Counter[str] = Counter()
        self.sessions: asyncio.Queue[str] = asyncio.Queue()

    def line(self) -> Line:
        return Line("127.0.0.1", self.house.port, self.house.token)

    async def open(self, count: int) -> None:
        async with self.line() as line:
            for _ in range(count):
                made = await line.post("/chat/sessions", {"sessionId": f"replay-{uuid4()}"})
                assert made.status == 201, made.body
                self.sessions.put_nowait(made.json()["sessionId"])

    async def turns(self, count: int) -> float:
        """Seconds that these turns took."""
        left, began = iter(range(count)), perf_counter()

        async def caller() -> None:
            line = self.line()
            for at in left:
                session = await self.sessions.get()
                try:
                    reply = await line.post(f"/chat/{session}", {"messages": [{"role": "user", "content": f"Question {at}?"}]})
                    self.note(reply)
                except (OSError, asyncio.IncompleteReadError) as error:
                    self.errors[type(error).__name__] += 1
                    await line.aclose()
                self.sessions.put_nowait(session)
                if at and at % 5000 == 0:
                    print(f"  {at} turns, {at / (perf_counter() - began):.0f}/s, {shown(self.house.memory())}", flush=True)
            await line.aclose()

        await asyncio.gather(*(caller() for _ in range(self.at_once)))
        return perf_counter() - began

    def note(self, reply: Reply) -> None:
        if reply.status != 200:
            self.errors[f"status {reply.status}"] += 1
        elif not reply.ended or reply.text != text_of():
            self.errors["not whole"] += 1
        else:
            self.firsts.append(reply.first)


def shown(memory: dict[str, float]) -> str:
    return " ".join(f"{part} {used:.0f} MB" for part, used in memory.items())


async def replay(house: Pilothouse, turns: int, sessions: int, at_once: int) -> None:
    run = Replay(house, at_once)
    await run.open(sessions)
    await run.turns(min(turns, 200))  # warm
    run.firsts.clear()
    before, sizes, done = house.memory(), house.sizes(), finished(house)
    seconds = await run.turns(turns)
    after, grown, done = house.memory(), house.sizes(), finished(house) - done
    print(f"\n{turns} turns over {sessions} sessions, {at_once} at once: {turns / seconds:.0f}/s, {seconds:.0f} s")
    average, middle, p95 = (1000 * value for value in (mean(run.firsts), median(run.firsts), quantiles(run.firsts, n=20)[-1]))
    print(f"first token: mean {average:.0f} ms (under 500), median {middle:.0f}, p95 {p95:.0f}")
    print(f"errors: {dict(run.errors) or 'none'}; turns done in our database: {done} of {turns}")
    for name, was, now in zip(("ours", "Prefect's"), sizes, grown, strict=True):
        print(f"database {name}: {was:.0f} -> {now:.0f} MB ({(now - was) / turns * 1000:.1f} kB a turn)")
    for part, now in after.items():
        print(f"memory {part}: {before.get(part, 0):.0f} -> {now:.0f} MB")


async def burst(house: Pilothouse, turns: int, at_once: int) -> None:
    caught_up(house)
    run, known, done = Replay(house, at_once), house.task_runs(), finished(house)
    await run.open(200)
    seconds = await run.turns(turns)
    print(f"\nburst of {turns}: {seconds:.1f} s, errors: {dict(run.errors) or 'none'}")
    print(f"done in our database: {finished(house) - done} of {turns}")
    began = perf_counter()
    seen_by_prefect(house, known + turns)
    print(f"in Prefect: {house.task_runs() - known} of {turns} task runs, {perf_counter() - began:.1f} s after the last answer")
    caught_up(house)
    print(f"all settled {perf_counter() - began:.1f} s after the last answer, {dropped(house)} dropped")


def finished(house: Pilothouse) -> int:
    return house.query("SELECT count(*) FROM pilothouse.turns WHERE status = 'done'")


def dropped(house: Pilothouse) -> int:
    return house.query("SELECT count(*) FROM pilothouse.turns WHERE tracked IS false")


def seen_by_prefect(house: Pilothouse, task_runs: int) -> None:
    deadline = perf_counter() + CAUGHT_UP_WITHIN
    while house.task_runs() < task_runs and perf_counter() < deadline:
        sleep(0.5)


def caught_up(house: Pilothouse) -> None:
    """Until no turn waits any more for its run to be seen in Prefect."""
    began = perf_counter()
    waiting = "SELECT count(*) FROM pilothouse.turns WHERE tracked IS NULL AND task_run_id IS NOT NULL"
    while (left := house.query(waiting)) and perf_counter() - began < CAUGHT_UP_WITHIN:
        sleep(1)
    print(f"Prefect caught up after {perf_counter() - began:.0f} s, {left} turns still unseen")


async def both(house: Pilothouse, options: argparse.Namespace) -> None:
    if options.turns:
        await replay(house, options.turns, options.sessions, options.at_once)
    if options.burst:
        await burst(house, options.burst, options.at_once)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=100_000)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--burst", type=int, default=2000)
    parser.add_argument("--keep", type=Path, help="a directory to work in that is left as it is, to look into afterwards")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pilothouse-replay-") as temporary:
        folder = options.keep or Path(temporary)
        with fake_upstream(folder) as upstream, pilothouse(folder, upstream) as house:
            uvloop.run(both(house, options))


if __name__ == "__main__":
    main()
