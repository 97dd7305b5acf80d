"""Charts against ECharts' server-side SVG, in one run: ``python -m tests.benchmarks.charts [--rounds 200] [--memory 10000]``.

ECharts is installed once by npm into the temporary directory and renders in a Node process of its own, timed there. Ours is
timed twice: ``draw`` in this process, and a ``Studio``'s answer, which a tool waits for. With ``--memory`` so many charts go
through the studio, and what its workers use is printed at the start, the middle and the end.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import psutil
import uvloop

from core.charts.chart import Chart
from core.charts.draw import draw
from core.charts.studio import Studio
from core.settings_charts import ChartSettings

SCRIPT = Path(__file__).with_name("echarts.mjs")
MONTHS = [f"{month} 月" for month in range(1, 13)]
WARM = 20


@dataclass
class Case:
    """One chart, as each side is asked for it, and the milliseconds of each answer."""

    name: str
    chart: Chart
    option: Mapping[str, Any]
    echarts: list[float] = field(default_factory=list)
    drawn: list[float] = field(default_factory=list)
    studio: list[float] = field(default_factory=list)
    sizes: tuple[int, int] = (0, 0)

    def row(self) -> str:
        theirs, ours, waited = median(self.echarts), median(self.drawn), median(self.studio)
        late = quantiles(self.studio, n=20)[-1]
        times = f"{theirs:9.2f} {ours:9.2f} {waited:9.2f} {late:9.2f}"
        return f"{self.name:26} {times}  {ours / theirs:6.2f} {waited / theirs:6.2f}  {self.sizes[0]:8} {self.sizes[1]:8}"


def waves(count: int, scale: float = 100) -> list[float]:
    return [round(scale * (1 + (at * 7919 % 97) / 97), 1) for at in range(count)]


def basic(kind: str, labels: Sequence[str]) -> Case:
    """What FastGPT's base chart is asked for: 400 by 300, one series."""
    values = waves(len(labels))
    wanted = {"type": kind, "title": "销量", "labels": labels, "series": [{"values": values}], "style": "fastgpt"}
    data = [{"name": name, "value": value} for name, value in zip(labels, values, strict=True)] if kind == "pie" else values
    option: dict[str, Any] = {
        "title": {"text": "销量"},
        "backgroundColor": "#f5f5f5",
        "tooltip": {},
        "xAxis": {"type": "category", "data": labels},
        "yAxis": {"type": "value"},
        "series": [{"name": "Sample", "type": kind, "data": data}],
    }
    return Case(f"base {kind}, {len(labels)}", Chart.model_validate(wanted | {"width": 400, "height": 300}), option)


def rich(name: str, wanted: Mapping[str, Any], **option: Any) -> Case:
    """800 by 500, with a title."""
    title = {"title": {"text": "Report"}, "legend": {}}
    return Case(name, Chart.model_validate({"title": "Report"} | dict(wanted)), title | option)


def cases() -> list[Case]:
    axes = {"xAxis": {"type": "category", "data": MONTHS}, "yAxis": {"type": "value"}}
    series = [{"name": f"区域 {at}", "values": waves(12, 40 + at)} for at in range(3)]
    theirs = [{"name": one["name"], "data": one["values"]} for one in series]
    points = list(zip(waves(500), waves(500, 7), strict=True))
    hours = [str(hour) for hour in range(24)]
    cells = [[hour, day, waves(24, day + 1)[hour]] for day in range(7) for hour in range(24)]
    rows = [{"name": f"day {day}", "values": waves(24, day + 1)} for day in range(7)]
    return [
        *(basic(kind, list("ABC")) for kind in ("bar", "line", "pie")),
        *(basic(kind, MONTHS) for kind in ("bar", "line", "pie")),
        rich(
            "stacked bars, 3 x 12",
            {"type": "bar", "stacked": True, "labels": MONTHS, "series": series},
            **axes,
            series=[one | {"type": "bar", "stack": "all"} for one in theirs],
        ),
        rich(
            "areas, 3 x 12",
            {"type": "area", "labels": MONTHS, "series": series},
            **axes,
            series=[one | {"type": "line", "areaStyle": {}} for one in theirs],
        ),
        rich(
            "scatter, 500",
            {"type": "scatter", "series": [{"x": [x for x, _ in points], "values": [y for _, y in points]}]},
            xAxis={},
            yAxis={},
            series=[{"type": "scatter", "data": points}],
        ),
        rich(
            "radar, 3 x 12",
            {"type": "radar", "labels": MONTHS, "series": series},
            radar={"indicator": [{"name": name} for name in MONTHS]},
            series=[{"type": "radar", "data": [{"name": one["name"], "value": one["values"]} for one in series]}],
        ),
        rich(
            "heatmap, 7 x 24",
            {"type": "heatmap", "labels": hours, "series": rows},
            xAxis={"type": "category", "data": hours},
            yAxis={"type": "category", "data": [row["name"] for row in rows]},
            visualMap={"min": 0, "max": 15},
            series=[{"type": "heatmap", "data": cells}],
        ),
    ]


def installed(folder: Path) -> Path:
    """The folder that holds ``node_modules/echarts``."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise SystemExit("node and npm are needed to render with ECharts; or give --without-echarts")
    if not (folder / "node_modules" / "echarts" / "package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--loglevel=error", "echarts@6"]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return folder


class Echarts:
    """A Node process that renders one chart after another."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.memory, self.version = 0.0, ""

    async def render(self, case: Case) -> tuple[float, int]:
        """Milliseconds, as measured inside Node, and characters."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        asked = {"option": case.option, "width": case.chart.width, "height": case.chart.height}
        stdin.write(json.dumps(asked).encode() + b"\n")
        answer = json.loads(await stdout.readline())
        self.memory, self.version = answer["rss"] / 1e6, answer["version"]
        return float(answer["milliseconds"]), int(answer["characters"])


@asynccontextmanager
async def echarts(folder: Path) -> AsyncIterator[Echarts]:
    command = ["node", str(SCRIPT), str(installed(folder) / "package.json")]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        yield Echarts(process)
    finally:
        process.kill()
        await process.wait()


async def compare(studio: Studio, rounds: int, folder: Path) -> None:
    """Taking turns, so that a slow moment of the machine meets everyone."""
    compared = cases()
    async with echarts(folder) as theirs:
        for at in range(-WARM, rounds):
            for case in compared:
                rendered, characters = await theirs.render(case)
                began = perf_counter()
                picture = draw(case.chart)
                drawn = perf_counter()
                await studio.draw(case.chart)
                ended = perf_counter()
                if at >= 0:
                    case.echarts.append(rendered)
                    case.drawn.append((drawn - began) * 1000)
                    case.studio.append((ended - drawn) * 1000)
                    case.sizes = characters, len(picture.data)
        print(f"\nECharts {theirs.version} in Node, {theirs.memory:.0f} MB; {rounds} rounds, medians in milliseconds")
    ways, ratios = f"{'ECharts':>9} {'draw':>9} {'studio':>9} {'its p95':>9}", f"{'draw/E':>6} {'st./E':>6}"
    print(f"{'':26} {ways}  {ratios}  {'E bytes':>8} {'bytes':>8}")
    for case in compared:
        print(case.row())


async def in_process(studio: Studio, rounds: int) -> None:
    """Ours alone."""
    for case in cases():
        for at in range(-WARM, rounds):
            began = perf_counter()
            case.sizes = 0, len(draw(case.chart).data)
            drawn = perf_counter()
            await studio.draw(case.chart)
            if at >= 0:
                case.drawn.append((drawn - began) * 1000)
                case.studio.append((perf_counter() - drawn) * 1000)
        print(f"{case.name:26} draw {median(case.drawn):8.2f} ms, studio {median(case.studio):8.2f} ms, {case.sizes[1]} bytes")


async def many(studio: Studio, count: int) -> None:
    """So many charts, 32 at once, and the memory of the workers on the way."""
    charts = [case.chart for case in cases()]
    began, done = perf_counter(), 0
    for part in ("start", "middle", "end"):
        goal = {"start": min(500, count), "middle": count // 2, "end": count}[part]
        wanted = islice(cycle(charts), max(0, goal - done))

        async def caller(wanted: Any = wanted) -> None:
            for chart in wanted:
                await studio.draw(chart)

        await asyncio.gather(*(caller() for _ in range(32)))
        done = max(done, goal)
        used = ", ".join(f"{memory:.1f}" for memory in memories())
        print(
            f"{part:7} after {done:6} charts: workers {used} MB, this process {psutil.Process().memory_info().rss / 1e6:.1f} MB"
        )
    print(f"{count / (perf_counter() - began):.0f} charts a second")


def memories() -> list[float]:
    """Megabytes of each worker."""
    children = psutil.Process().children()
    return [child.memory_info().rss / 1e6 for child in children if "core.charts.worker" in child.cmdline()]


async def measure(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as temporary:
        studio = Studio(ChartSettings(workers=options.workers), Path(temporary))
        began = perf_counter()
        try:
            await studio.draw(cases()[0].chart)
            print(f"first chart of a studio that was not warm: {(perf_counter() - began) * 1000:.0f} ms")
            if options.without_echarts:
                await in_process(studio, options.rounds)
            elif options.rounds:
                await compare(studio, options.rounds, options.echarts_folder)
            if options.memory:
                await many(studio, options.memory)
        finally:
            await studio.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="charts of each kind on each side; 0 leaves the comparison out")
    parser.add_argument("--memory", type=int, default=0, help="charts to draw while looking at the workers' memory")
    parser.add_argument("--workers", type=int, default=None, help="of the studio; default: one less than there are cores")
    parser.add_argument("--without-echarts", action="store_true")
    cache = Path(tempfile.gettempdir()) / "pilothouse-echarts"
    parser.add_argument("--echarts-folder", type=Path, default=cache, help="keeps ECharts between runs")
    uvloop.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
