"""Logins at 50 a second beside chat, against chat alone, in one run: ``python -m tests.benchmarks.logins [--seconds 20]``.

What counts is how long a first token takes meanwhile: at most 1.5 times as long. Logins are sent at their rate whatever becomes
of those before them; chat asks one question after another, and the two ways take turns, so that a slow moment meets both.
"""

import argparse
import asyncio
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter

import uvloop

from tests.benchmarks.chat import IN_ONE_SESSION, QUESTION, ms, opened, p95, whole
from tests.benchmarks.client import Line
from tests.benchmarks.processes import Pilothouse, fake_upstream, pilothouse

ACCOUNTS = 40
ROUNDS = 4
PASSWORD = "a password of this benchmark"
LIMIT = 1.5
PAUSE = 0.05
"""Seconds between an answer and the next question, as several people asking now and then."""


@dataclass
class Logins:
    """What became of those that were sent. ``seconds`` of each that was answered with a token."""

    seconds: list[float] = field(default_factory=list)
    refused: dict[int, int] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Bench:
    """One run against a started Pilothouse."""

    def __init__(self, house: Pilothouse, rate: float) -> None:
        self.house, self.rate, self.logins = house, rate, Logins()
        self._lines: list[Line] = []

    def line(self, token: str = "") -> Line:
        return Line("127.0.0.1", self.house.port, token or self.house.token)

    async def accounts(self) -> None:
        line = self.line()
        for number in range(ACCOUNTS):
            made = await line.post("/admin/users", {"email": f"user{number}@example.com", "password": PASSWORD})
            assert made.status == 201, made.body

    async def asked(self, seconds: float) -> list[float]:
        """First tokens of questions one after another for so long."""
        line, session = self.line(), ""
        firsts: list[float] = []
        end = perf_counter() + seconds
        while perf_counter() < end:
            if len(firsts) % IN_ONE_SESSION == 0:
                session = await opened(line, until_tracked=False)
            firsts.append(whole(await line.post(f"/chat/{session}", QUESTION)).first)
            await asyncio.sleep(PAUSE)
        return firsts

    async def log_in(self, number: int) -> None:
        line = self._lines.pop() if self._lines else self.line("none")
        body = {"email": f"user{number % ACCOUNTS}@example.com", "password": PASSWORD}
        reply = await line.post("/auth/login", body)
        if reply.status == 200:
            self.logins.seconds.append(reply.total)
        else:
            self.logins.refused[reply.status] = self.logins.refused.get(reply.status, 0) + 1
        self._lines.append(line)

    async def keep_logging_in(self) -> None:
        """At the rate, until cancelled."""
        began, sent = perf_counter(), 0
        while True:
            for _ in range(int((perf_counter() - began) * self.rate) - sent):
                task = asyncio.create_task(self.log_in(sent))
                self.logins.tasks.add(task)
                task.add_done_callback(self.logins.tasks.discard)
                sent += 1
            await asyncio.sleep(0.01)

    async def beside(self, seconds: float) -> list[float]:
        """First tokens while logins come."""
        coming = asyncio.create_task(self.keep_logging_in())
        await asyncio.sleep(1.0)
        firsts = await self.asked(seconds)
        coming.cancel()
        await asyncio.wait({coming})
        await asyncio.gather(*self.logins.tasks)
        return firsts


async def measure(bench: Bench, seconds: float) -> None:
    await bench.accounts()
    await bench.asked(3.0)  # warm
    alone: list[float] = []
    beside: list[float] = []
    took = 0.0
    for _ in range(ROUNDS):
        alone += await bench.asked(seconds / ROUNDS)
        began = perf_counter()
        beside += await bench.beside(seconds / ROUNDS)
        took += perf_counter() - began
    done = bench.logins.seconds
    print(f"\n{'':22} {'questions':>9}  first token ms: median, p95")
    for name, firsts in (("chat alone", alone), (f"beside {bench.rate:.0f} logins/s", beside)):
        print(f"{name:22} {len(firsts):9}  {ms(median(firsts))} {ms(p95(firsts))}")
    print(f"logins: {len(done)} done, {len(done) / took:.1f}/s until the last was answered, refused {bench.logins.refused or 0}")
    print(f"        {ms(median(done))} ms median, {ms(p95(done))} ms p95")
    print(f"first token beside logins against alone: {median(beside) / median(alone):.2f} (at most {LIMIT})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the two ways, in all")
    parser.add_argument("--rate", type=float, default=50.0, help="logins a second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as temporary, ExitStack() as stack:
        upstream = stack.enter_context(fake_upstream(Path(temporary)))
        house = stack.enter_context(pilothouse(Path(temporary), upstream))
        uvloop.run(measure(Bench(house, options.rate), options.seconds))


if __name__ == "__main__":
    main()
