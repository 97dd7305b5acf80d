"""Chart runs as FastGPT asks for them, and chat beside them: ``python -m tests.benchmarks.tools [--runs 2000]``.

Every process is its own: ``pilothouse up`` with everything on (files in a folder, all runs tracked by Prefect), the fake upstream
that answers a chat turn at once, and the load, all on this machine. ``--runs 10000`` shows whether memory stays flat.
"""

import argparse
import asyncio
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter

import orjson
import uvloop

from tests.benchmarks.chat import QUESTION, ms, opened, p95, whole
from tests.benchmarks.client import Line, Reply, unchunked
from tests.benchmarks.processes import Pilothouse, fake_upstream, pilothouse

AT_ONCE = 16
WARM = 100
TURNS = 200
LOOKS = 5
"""Looks at the memory, evenly spread over the runs."""
RECORDING = 600.0
"""Seconds that Prefect has to record what was run."""
TYPES = ("柱状图", "折线图", "饼图")
MONTHS = [f"{month}月" for month in range(1, 13)]


def chart(number: int) -> dict[str, object]:
    """A request as FastGPT sends it; no two are the same."""
    values = [(number * 7 + month * 13) % 97 + 1 for month in range(12)]
    inputs = {"title": f"销量 {number}", "xAxis": MONTHS, "yAxis": values, "chartType": TYPES[number % 3]}
    return {"toolId": "drawing/baseChart", "inputs": inputs, "systemVar": {"time": "2025-01-01 00:00:00"}}


def link(reply: Reply) -> str:
    """The picture's, from the last frame of the stream."""
    frames = [orjson.loads(line[6:]) for line in unchunked(reply).split(b"\n") if line.startswith(b"data: {")]
    if reply.status != 200 or not frames or frames[-1]["type"] != "response":
        raise SystemExit(f"not a chart: {reply.status} {reply.body[-500:]!r}")
    return str(frames[-1]["data"]["output"]["chartUrl"])


class Load:
    """Distinct chart runs, ``AT_ONCE`` at a time; ``seconds`` that each took."""

    def __init__(self, house: Pilothouse) -> None:
        self.house = house
        self.seconds: list[float] = []
        self.links: set[str] = set()
        self._numbers = count()

    async def run(self, runs: int) -> float:
        """Runs a second."""
        self.seconds.clear()
        began, left = perf_counter(), iter(range(runs))
        await asyncio.gather(*(self._caller(left) for _ in range(AT_ONCE)))
        return runs / (perf_counter() - began)

    @asynccontextmanager
    async def beside(self) -> AsyncGenerator[None, None]:
        """Chart runs for as long as the block runs."""
        ended = False
        callers = asyncio.gather(*(self._caller(iter(lambda: ended, True)) for _ in range(AT_ONCE)))
        try:
            yield
        finally:
            ended = True
            await callers

    async def _caller(self, left: Iterator[object]) -> None:
        async with Line("127.0.0.1", self.house.port, self.house.token) as line:
            for _ in left:
                reply = await line.post("/tool/runstream", chart(next(self._numbers)))
                self.seconds.append(reply.total)
                self.links.add(link(reply))


async def first_tokens(house: Pilothouse, turns: int) -> list[float]:
    """Of chat turns in an open conversation, one at a time."""
    async with Line("127.0.0.1", house.port, house.token) as line:
        session = await opened(line)
        return [whole(await line.post(f"/chat/{session}", QUESTION)).first for _ in range(turns)]


async def recorded(house: Pilothouse) -> float:
    """Seconds until Prefect knows each run of ours that is done as a completed task run."""
    began = perf_counter()
    ids = [str(number) for (number,) in house.rows("SELECT task_run_id FROM pilothouse.tool_runs WHERE status = 'done'")]
    while (known := house.task_runs(ids)) < len(ids):
        if perf_counter() - began > RECORDING:
            raise SystemExit(f"Prefect knows {known} of {len(ids)} runs")
        await asyncio.sleep(1)
    return perf_counter() - began


def memory(house: Pilothouse) -> str:
    workers = " + ".join(f"{used:.0f}" for used in house.worker_memory())
    return f"API {house.api_memory():.0f} MB, workers {workers} MB"


async def measure(house: Pilothouse, runs: int, turns: int) -> None:
    load = Load(house)
    await load.run(WARM)
    idle = await first_tokens(house, turns)

    print(f"\nafter {WARM} runs: {memory(house)}", flush=True)
    used, began, speeds, seconds = house.cpu(), perf_counter(), [], []
    for look in range(1, LOOKS + 1):
        speeds.append(await load.run(runs // LOOKS))
        seconds += load.seconds
        print(f"after {WARM + look * (runs // LOOKS)} runs: {memory(house)}, {speeds[-1]:.1f} runs/s", flush=True)
    took = perf_counter() - began
    spent = {part: (after - used.get(part, 0.0)) / took for part, after in house.cpu().items()}

    print(f"\nchart runs at {AT_ONCE} at a time: {len(seconds) / took:.1f} a second (at least 50)")
    print(f"a run: {ms(median(seconds)).strip()} ms median, {ms(p95(seconds)).strip()} ms p95")
    print("processor, cores: " + ", ".join(f"{part} {share:.2f}" for part, share in spent.items()))

    async with load.beside():
        busy = await first_tokens(house, turns)
    times = f"idle {ms(median(idle)).strip()} ms, {ms(p95(idle)).strip()} ms p95"
    print(f"\nfirst token, {times}; while charts are drawn {ms(median(busy)).strip()} ms, {ms(p95(busy)).strip()} ms p95")
    print(f"ratio: {median(busy) / median(idle):.2f} median, {p95(busy) / p95(idle):.2f} p95 (at most 1.5)")

    done = house.query("SELECT count(*) FROM pilothouse.tool_runs WHERE status = 'done'")
    inside = house.query("SELECT count(*) FROM pilothouse.tool_runs WHERE status = 'done' AND flow_run_id IS NOT NULL")
    files = house.query("SELECT count(*) FROM pilothouse.files")
    caught_up = await recorded(house)
    print(f"\n{done} runs done, {len(load.links)} different links, {files} files, {inside} inside a flow run;")
    print(f"all of them known to Prefect {caught_up:.0f} s after the last")
    print("memory, MB: " + ", ".join(f"{part} {megabytes:.0f}" for part, megabytes in house.memory().items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="chart runs")
    parser.add_argument("--turns", type=int, default=TURNS, help="chat turns, idle and beside the charts")
    parser.add_argument("--folder", type=Path, help="keeps logs and data there; default: a temporary directory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as temporary, ExitStack() as stack:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        upstream = stack.enter_context(fake_upstream(folder))
        house = stack.enter_context(pilothouse(folder, upstream))
        uvloop.run(measure(house, options.runs, options.turns))


if __name__ == "__main__":
    main()
