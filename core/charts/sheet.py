"""The sheet that a chart is drawn on: its title and legend at the top, and the room that they leave."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.charts.chart import Chart
from core.charts.scene import MIDDLE, Anchor, Dots, Label, Scene, Shape, rectangle
from core.charts.text import Ruler
from core.charts.theme import Theme, theme_of

LINE = 1.35
"""Of the font size: from one line of a text to the next."""


@dataclass(slots=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a legend: what the mark beside ``name`` looks like in the chart."""

    name: str
    colour: str
    mark: Literal["square", "line", "dot"] = "square"
    dash: tuple[float, ...] = ()


class Sheet:
    """What a kind of chart draws on. ``area`` is the room left; ``unit`` grows with large pictures, so that texts do too."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.theme: Theme = theme_of(chart)
        self.ruler = Ruler(chart.format)
        self.unit = max(1.0, min(chart.width / 800, chart.height / 500))
        self.size = 12 * self.unit
        self.small = 11 * self.unit
        margin = (16 if chart.width >= 360 else 10) * self.unit
        self.margin = margin
        self.scene = Scene(chart.width, chart.height, self.theme.background)
        self.area = Box(margin, margin, chart.width - margin, chart.height - margin)
        self._title()

    def names(self) -> list[str]:
        """The chart's labels, or its values' numbers from 1."""
        return self.chart.labels or [str(at + 1) for at in range(len(self.chart.series[0].values))]

    def colour(self, at: int) -> str:
        return self.theme.palette[at % len(self.theme.palette)]

    def width(self, text: str, size: float | None = None) -> float:
        return self.ruler.width(text, size or self.size)

    def write(
        self,
        role: str,
        text: str,
        x: float,
        y: float,
        anchor: Anchor = "start",
        *,
        size: float | None = None,
        colour: str | None = None,
        bold: bool = False,
        angle: float = 0.0,
    ) -> bool:
        """Whether there was room for ``text`` with the middle of its capitals at ``y``."""
        size = size or self.size
        width = self.ruler.width(text, size, bold)
        baseline = y if angle else y + MIDDLE * size
        return self.scene.write(Label(role, text, x, baseline, size, colour or self.theme.text, width, anchor, angle, bold))

    def _title(self) -> None:
        chart, area = self.chart, self.area
        if not chart.title:
            return
        size = (18 if chart.width >= 360 or chart.style == "fastgpt" else 15) * self.unit
        most = 2 if chart.height >= 250 else 1
        for line in self.ruler.lines(chart.title, size, area.width, most, bold=True):
            self.write("title", line, area.left, area.top + size / 2, size=size, colour=self.theme.title, bold=True)
            area.top += LINE * size
        area.top += 8 * self.unit

    def legend(self, entries: Sequence[Entry]) -> None:
        """Rows of ``entries`` below the title, a third of the sheet at most; those that have no room are counted instead."""
        if len(entries) < 2 or self.chart.height < 180:
            return
        swatch, gap, row = 11 * self.unit, 18 * self.unit, 1.6 * self.size
        rows = max(1, int(self.area.height * 0.22 / row))
        longest = min(self.area.width - swatch, 220 * self.unit) - 6 * self.unit
        left, y = self.area.left, self.area.top + row / 2
        for at, entry in enumerate(entries):
            name = self.ruler.cut(entry.name, self.size, longest)
            more = f"+{len(entries) - at - 1}"
            wide = swatch + 6 * self.unit + self.width(name)
            # On the last row there must be room to count those after it.
            spare = self.width(more) + gap if rows == 1 and at + 1 < len(entries) else 0.0
            if left + wide + spare > self.area.right and left > self.area.left:
                if rows == 1:
                    self.write("legend", f"+{len(entries) - at}", left, y, colour=self.theme.muted)
                    break
                rows, left, y = rows - 1, self.area.left, y + row
            self.swatch(entry, left, y, swatch)
            self.write("legend", name, left + swatch + 6 * self.unit, y)
            left += wide + gap
        self.area.top = y + row / 2 + 8 * self.unit

    def swatch(self, entry: Entry, left: float, y: float, size: float) -> None:
        """The mark of one entry, ``size`` wide, around the height ``y``."""
        if entry.mark == "line":
            line = [((left, y), (left + size, y))]
            self.scene.add(Shape("swatch", line, stroke=entry.colour, width=2.5 * self.unit, dash=entry.dash, closed=False))
        elif entry.mark == "dot":
            self.scene.add(Dots("swatch", [(left + size / 2, y)], size * 0.42, entry.colour))
        else:
            square = rectangle(left, y - size / 2, left + size, y + size / 2)
            self.scene.add(Shape("swatch", [square], fill=entry.colour))
