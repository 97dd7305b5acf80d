"""A bench that draws in this process or by a studio, for tests of what comes before and after the drawing."""

from collections.abc import Mapping
from typing import Any

from core.charts.chart import Chart, Picture
from core.charts.draw import draw
from core.charts.studio import Studio
from core.databases import Rows
from core.errors import InputInvalid
from core.tools.tool import Tool


class DrawingBench:
    """``charts`` are those that were asked for."""

    def __init__(self, studio: Studio | None = None) -> None:
        self.charts: list[Chart] = []
        self._studio = studio

    async def draw(self, chart: Chart) -> Picture:
        self.charts.append(chart)
        return await self._studio.draw(chart) if self._studio else draw(chart)

    async def query(self, database: str, sql: str) -> Rows:
        raise InputInvalid("There is no database here.")


async def used(tool: Tool, **inputs: Any) -> tuple[Mapping[str, Any], Chart]:
    """What the tool gave, and the chart it drew."""
    bench = DrawingBench()
    output = await tool.run(tool.checked(inputs), bench)
    return output, bench.charts[0]
