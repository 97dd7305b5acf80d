"""The studio with its real worker processes: limits of time, memory and number, deaths on either side, and a clean end."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import psutil
import pytest
import uvloop

from core.charts import studio as studios
from core.charts.chart import Chart
from core.charts.draw import draw
from core.charts.studio import Studio
from core.errors import ToolBusy, ToolFailed, ToolInterrupted, ToolTimedOut
from core.settings_charts import ChartSettings
from tests.waiting import eventually

ROOT = Path(__file__).parents[3]


def bars(count: int = 3, title: str = "销量", **more: Any) -> Chart:
    labels, values = [f"类{at}" for at in range(count)], [float(at % 17 + 1) for at in range(count)]
    return Chart.model_validate({"type": "bar", "title": title, "labels": labels, "series": [{"values": values}]} | more)


def heavy() -> Chart:
    """Takes most of a second and more than a hundred megabytes."""
    return bars(1000, series=[{"values": [1.0] * 1000}] * 100)


def workers(of: psutil.Process | None = None) -> list[psutil.Process]:
    found = []
    for child in (of or psutil.Process()).children():
        with suppress(psutil.ZombieProcess):
            found += [child] if "core.charts.worker" in child.cmdline() else []
    return found


def open_in(process: psutil.Process) -> list[str]:
    """What its file descriptors are, as Linux names them."""
    return [link.readlink().name for link in Path(f"/proc/{process.pid}/fd").iterdir()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that matplotlib looks for fonts once."""
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def warm(folder: Path) -> Iterator[Studio]:
    """One studio of one worker for the tests that leave it alive; each of them has an event loop of its own."""
    studio = Studio(ChartSettings(workers=1), folder)
    studio.start()
    yield studio
    asyncio.run(studio.aclose())
    assert workers() == []


@asynccontextmanager
async def studio_of(folder: Path, settings: ChartSettings) -> AsyncIterator[tuple[Studio, psutil.Process]]:
    """A studio with its first worker, which is ready; nothing of it is left afterwards."""
    studio = Studio(settings, folder)
    before = set(workers())
    try:
        await studio.draw(bars())
        (worker,) = set(workers()) - before
        yield studio, worker
    finally:
        await studio.aclose()
    assert set(workers()) <= before


async def test_a_chart_comes_out_as_it_is_drawn_in_this_process(warm: Studio) -> None:
    for chart in (bars(), bars(format="png"), bars(type="pie", title="<b>&</b>")):
        assert await warm.draw(chart) == draw(chart)


async def test_a_worker_is_nice_and_gets_nothing_of_ours(warm: Studio) -> None:
    await warm.draw(bars())
    (worker,) = workers()
    assert worker.nice() >= psutil.Process().nice() + 5
    assert worker.environ().keys() == {"PYTHONPATH", "MPLCONFIGDIR", "OPENBLAS_NUM_THREADS", "LC_ALL"}
    assert len([kind for kind in open_in(worker) if kind.startswith(("socket:", "pipe:"))]) == 1  # the one to us


async def test_a_hundred_at_once_are_drawn_by_one_worker_beside_the_event_loop(warm: Studio) -> None:
    await warm.draw(bars())
    drawing = asyncio.gather(*(warm.draw(bars(title=f"{at}")) for at in range(100)))
    longest = 0.0
    while not drawing.done():
        before = perf_counter()
        await asyncio.sleep(0)
        longest = max(longest, perf_counter() - before)
    pictures = await drawing
    assert all(f">{at}<".encode() in picture.data for at, picture in enumerate(pictures))
    assert len(workers()) == 1
    assert longest < 1.0


async def test_a_caller_that_leaves_does_no_harm(warm: Studio) -> None:
    callers = [asyncio.create_task(warm.draw(bars())) for _ in range(20)]
    await asyncio.sleep(0)
    for caller in callers[1:]:
        caller.cancel()
    ends = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(end) for end in ends[1:]] == [asyncio.CancelledError] * 19
    assert await warm.draw(bars()) == ends[0]


def test_any_event_loop_in_any_thread_may_draw(warm: Studio) -> None:
    drawn: list[bytes] = []

    async def one() -> None:
        drawn.append((await warm.draw(bars())).data)

    threads = [threading.Thread(target=run, args=(one(),)) for run in (uvloop.run, asyncio.run)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert drawn == [draw(bars()).data] * 2


async def test_a_chart_that_takes_too_long_ends_and_the_next_one_is_drawn(folder: Path) -> None:
    async with studio_of(folder, ChartSettings(workers=1, time_limit=0.3)) as (studio, worker):
        worker.suspend()
        began = monotonic()
        with pytest.raises(ToolTimedOut, match=r"within 0\.3 s; draw fewer"):
            await studio.draw(bars())
        assert monotonic() - began < 20
        assert (await studio.draw(bars())).media_type == "image/svg+xml"
        assert worker not in workers()


async def test_a_worker_killed_in_the_middle_fails_its_chart_alone(folder: Path) -> None:
    async with studio_of(folder, ChartSettings(workers=1)) as (studio, worker):
        used = worker.cpu_times().user
        middle, behind = asyncio.create_task(studio.draw(heavy())), asyncio.create_task(studio.draw(bars()))
        await eventually(lambda: worker.cpu_times().user > used + 0.1, what="the chart is begun")
        worker.kill()
        with pytest.raises(ToolFailed, match="ended from outside or ran out of memory"):
            await middle
        assert await behind == draw(bars())


async def test_a_worker_killed_while_idle_is_replaced_without_a_word(folder: Path) -> None:
    async with studio_of(folder, ChartSettings(workers=1)) as (studio, worker):
        worker.kill()
        assert await studio.draw(bars()) == draw(bars())


async def test_memory_is_limited(folder: Path) -> None:
    tight = ChartSettings.model_construct(**ChartSettings(workers=1).model_dump() | {"memory_limit": 110})
    async with studio_of(folder, tight) as (studio, _):
        with pytest.raises(ToolFailed, match=r"more than 110 MB|ran out of memory"):
            await studio.draw(heavy())
        assert await studio.draw(bars()) == draw(bars())


async def test_beyond_the_queue_a_caller_hears_that_all_are_busy(folder: Path) -> None:
    async with studio_of(folder, ChartSettings(workers=1, queue=2, time_limit=1)) as (studio, worker):
        worker.suspend()
        waiting = [asyncio.create_task(studio.draw(bars())) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ToolBusy) as refused:
            await studio.draw(bars())
        assert refused.value.retry_after
        worker.resume()
        assert await asyncio.gather(*waiting) == [draw(bars())] * 2
        assert await studio.draw(bars()) == draw(bars())


async def test_nobody_waits_longer_than_the_wait_limit(folder: Path) -> None:
    async with studio_of(folder, ChartSettings(workers=1, wait_limit=0.1, time_limit=0.3)) as (studio, worker):
        worker.suspend()
        first, second = asyncio.create_task(studio.draw(bars())), asyncio.create_task(studio.draw(bars()))
        with pytest.raises(ToolTimedOut):
            await first
        with pytest.raises(ToolBusy):
            await second


async def test_spare_workers_come_when_charts_wait_and_leave_when_none_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studios, "SPARE", 0.3)
    async with studio_of(folder, ChartSettings(workers=2)) as (studio, worker):
        others = set(workers()) - {worker}
        await asyncio.gather(*(studio.draw(heavy()) for _ in range(2)))
        (spare,) = set(workers()) - others - {worker}
        await eventually(lambda: spare.status() == psutil.STATUS_ZOMBIE, what="the spare worker leaves")
        assert worker in workers()
        assert await asyncio.gather(*(studio.draw(bars()) for _ in range(4))) == [draw(bars())] * 4


async def test_the_end_does_not_wait_for_charts(folder: Path) -> None:
    studio, others = Studio(ChartSettings(workers=1), folder), set(workers())
    await studio.draw(bars())
    (worker,) = set(workers()) - others
    worker.suspend()
    waiting = [asyncio.create_task(studio.draw(bars())) for _ in range(3)]
    await asyncio.sleep(0)
    began = monotonic()
    await studio.aclose()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert monotonic() - began < 20
    assert {type(end) for end in ends} <= {ToolInterrupted, asyncio.CancelledError}
    with pytest.raises(ToolInterrupted):
        await studio.draw(bars())


PARENT = """
import asyncio, sys
from pathlib import Path
from core.charts.chart import Chart
from core.charts.studio import Studio
from core.settings_charts import ChartSettings

async def main():
    studio = Studio(ChartSettings(workers=1, time_limit=60), Path(sys.argv[1]))
    chart = {"type": "bar", "labels": list(map(str, range(1000))), "series": [{"values": [1.0] * 1000}] * 100}
    await studio.draw(Chart.model_validate({"type": "bar", "series": [{"values": [1.0]}]}))
    print("ready", flush=True)
    while sys.stdin.readline():
        await studio.draw(Chart.model_validate(chart))

asyncio.run(main())
"""


@pytest.mark.parametrize("at_work", [False, True])
async def test_workers_do_not_outlive_a_parent_that_is_killed(folder: Path, at_work: bool) -> None:
    command = [sys.executable, "-c", PARENT, str(folder)]
    pipe = subprocess.PIPE
    parent = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe)
    assert parent.stdin
    assert parent.stdout
    try:
        assert await parent.stdout.readline() == b"ready\n"
        (worker,) = workers(psutil.Process(parent.pid))
        if at_work:
            used = worker.cpu_times().user
            parent.stdin.write(b"\n" * 100)
            await parent.stdin.drain()
            await eventually(lambda: worker.cpu_times().user > used + 0.1, what="a chart is begun")
        parent.kill()
        await parent.wait()
        await eventually(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, what="the worker ends")
    finally:
        if parent.returncode is None:
            parent.kill()
            await parent.wait()
