"""The plot of a chart with two axes: its grid, ticks and names, and where a value or a category lies in it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.charts.categories import along_bottom, along_side, arrange
from core.charts.scale import Scale
from core.charts.scene import Anchor, Shape
from core.charts.sheet import LINE, Box, Sheet


@dataclass(frozen=True, slots=True)
class Bands:
    """Categories, each in a band of its own; or, with ``edge``, points from one end of the axis to the other.

    ``all_wanted`` where each name matters by itself (bars), rather than their order (a line).
    """

    names: Sequence[str]
    all_wanted: bool = True
    edge: bool = False
    downward: bool = False

    def centres(self, start: float, end: float) -> list[float]:
        count = len(self.names)
        band = (end - start) / count
        if not self.edge or count == 1:
            return [start + (at + 0.5) * band for at in range(count)]
        inset = math.copysign(min(abs(band) / 2, 24.0), end - start)
        step = (end - start - 2 * inset) / (count - 1)
        return [start + inset + at * step for at in range(count)]


Axis = Scale | Bands


@dataclass(frozen=True, slots=True)
class Plot:
    """The area inside the axes."""

    box: Box
    across: Axis
    upward: Axis

    def x(self, value: float) -> float:
        assert isinstance(self.across, Scale)
        return self.box.left + self.across.share(value) * self.box.width

    def y(self, value: float) -> float:
        assert isinstance(self.upward, Scale)
        return self.box.bottom - self.upward.share(value) * self.box.height

    def on(self, upward: Axis) -> "Plot":
        """The same area, with another axis of values."""
        return Plot(self.box, self.across, upward)

    def columns(self) -> list[float]:
        assert isinstance(self.across, Bands)
        return self.across.centres(self.box.left, self.box.right)

    def rows(self) -> list[float]:
        """Categories from the top down, as one reads."""
        assert isinstance(self.upward, Bands)
        return self.upward.centres(self.box.top, self.box.bottom)


def ticks_for(length: float, unit: float, wide: bool = False) -> int:
    """How many ticks an axis of ``length`` pixels bears; fewer where their labels stand side by side (``wide``)."""
    return max(2, min(8, round(length / ((95 if wide else 52) * unit))))


def plot(
    sheet: Sheet, across: Axis, upward: Axis, *, right: Scale | None = None, level: bool = True, upright: bool = True
) -> Plot:
    """Draws the axes into the sheet's area, with ``level`` and ``upright`` lines where they have ticks, and gives the plot.

    ``right`` is a second scale of values, whose ticks stand at the right.
    """
    _titles(sheet)
    area, size, gap = sheet.area, sheet.size, 8 * sheet.unit
    # Room for half a tick's label above the topmost line.
    area.top += 0.5 * sheet.small
    side_room = 0.36 * area.width
    names = upward.labels if isinstance(upward, Scale) else upward.names
    beside = min(side_room, max(map(sheet.width, names)))
    box = Box(area.left + (beside + gap if beside else 0.0), area.top, area.right, area.bottom)
    if right:
        box.right -= max(map(sheet.width, right.labels)) + gap
    if isinstance(across, Scale):
        # Half of the outermost labels reaches beyond the plot.
        box.right -= max(0.0, sheet.width(across.labels[-1]) / 2 - sheet.margin)
        box.left = max(box.left, area.left + sheet.width(across.labels[0]) / 2 - sheet.margin)
        box.bottom -= LINE * size + gap
    else:
        arranged = arrange(sheet, across.names, box.width / len(across.names), 0.34 * area.height, all_wanted=across.all_wanted)
        box.bottom -= arranged.depth + gap
        along_bottom(sheet, arranged, across.centres(box.left, box.right), box.bottom + gap)
    made = Plot(box, across, upward)
    if isinstance(upward, Scale):
        _side_ticks(sheet, made, upward, box.left - gap, "end")
    else:
        along_side(sheet, upward.names, made.rows(), box.left - gap, side_room)
    if right:
        _side_ticks(sheet, made.on(right), right, box.right + gap, "start")
    if isinstance(across, Scale):
        _bottom_ticks(sheet, made, across, gap)
    _grid(sheet, made, level, upright)
    return made


def _titles(sheet: Sheet) -> None:
    """The axes' names, level both: beside the first line of the plot's text, and below its middle."""
    area, small, chart = sheet.area, sheet.small, sheet.chart
    if area.height <= 120:
        return
    if chart.y_title:
        title = sheet.ruler.cut(chart.y_title, small, area.width)
        sheet.write("axis title", title, area.left, area.top + small / 2, size=small, colour=sheet.theme.muted)
        area.top += 1.9 * small
    if chart.x_title:
        title = sheet.ruler.cut(chart.x_title, small, area.width)
        middle = area.left + area.width / 2
        sheet.write("axis title", title, middle, area.bottom - small / 2, "middle", size=small, colour=sheet.theme.muted)
        area.bottom -= 1.9 * small


def _side_ticks(sheet: Sheet, made: Plot, scale: Scale, x: float, anchor: Anchor) -> None:
    step = made.box.height / max(1, len(scale.ticks) - 1)
    every = max(1, math.ceil(1.3 * sheet.size / step))
    for tick, label in list(zip(scale.ticks, scale.labels, strict=True))[::every]:
        sheet.write("tick", label, x, made.y(tick), anchor, colour=sheet.theme.muted)


def _bottom_ticks(sheet: Sheet, made: Plot, scale: Scale, gap: float) -> None:
    widest = max(sheet.width(label) for label in scale.labels) + sheet.size
    step = made.box.width / max(1, len(scale.ticks) - 1)
    every = max(1, math.ceil(widest / step))
    y = made.box.bottom + gap + LINE * sheet.size / 2
    for tick, label in list(zip(scale.ticks, scale.labels, strict=True))[::every]:
        sheet.write("tick", label, made.x(tick), y, "middle", colour=sheet.theme.muted)


def _grid(sheet: Sheet, made: Plot, level: bool, upright: bool) -> None:
    """Thin lines at the ticks, on whole pixels."""
    box = made.box
    lines = []
    if level and isinstance(made.upward, Scale):
        lines += [((box.left, y), (box.right, y)) for y in map(crisp, map(made.y, made.upward.ticks))]
    if upright and isinstance(made.across, Scale):
        lines += [((x, box.top), (x, box.bottom)) for x in map(crisp, map(made.x, made.across.ticks))]
    sheet.scene.add(Shape("grid", lines, stroke=sheet.theme.grid, closed=False))


def baseline(sheet: Sheet, made: Plot) -> None:
    """The line at zero (or else the lowest tick) of the values' axis, drawn over what stands on it."""
    box = made.box
    line = []
    if isinstance(made.upward, Scale):
        y = crisp(made.y(min(max(0.0, made.upward.low), made.upward.high)))
        line = [((box.left, y), (box.right, y))]
    elif isinstance(made.across, Scale):
        x = crisp(made.x(min(max(0.0, made.across.low), made.across.high)))
        line = [((x, box.top), (x, box.bottom))]
    sheet.scene.add(Shape("axis", line, stroke=sheet.theme.axis, closed=False))


def crisp(position: float) -> float:
    """The middle of the pixel that ``position`` falls in: a line of one pixel there is not blurred over two."""
    return math.floor(position) + 0.5
