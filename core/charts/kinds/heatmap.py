"""Heatmaps: a row of cells for each series, a column for each label, and a colour for each value."""

import math
from collections import defaultdict
from collections.abc import Sequence

from core.charts.axes import Bands, Plot, plot
from core.charts.scale import short
from core.charts.scene import Point, Shape, rectangle
from core.charts.sheet import Sheet
from core.charts.theme import blend, contrast

_LEVELS = 32
"""Shades of the ramp."""
_NAMED = 600
"""Cells that may bear their value, at most."""

Row = Sequence[float | None]


def draw(sheet: Sheet) -> None:
    chart = sheet.chart
    known = [value for series in chart.series for value in series.values if value is not None]
    shades = _Shades(sheet, min(known), max(known))
    shades.legend()
    rows = [series.name or str(at + 1) for at, series in enumerate(chart.series)]
    made = plot(sheet, Bands(sheet.names(), all_wanted=False), Bands(rows))
    every = math.ceil(1.5 * len(chart.series[0].values) / made.box.width)
    _cells(sheet, made, [_merged(series.values, every) for series in chart.series], shades)


class _Shades:
    """The colour of each value: one ramp, or two that meet at zero where there are values on both sides of it."""

    def __init__(self, sheet: Sheet, low: float, high: float) -> None:
        self._sheet = sheet
        self._low, self._high = low, high
        self._far = max(abs(low), abs(high)) if low < 0 < high else 0.0

    def shade(self, value: float) -> str:
        theme = self._sheet.theme
        if self._far:
            far = theme.below if value < 0 else theme.ramp[1]
            return blend(theme.ramp[0], far, _level(abs(value) / self._far))
        span = self._high - self._low
        return blend(*theme.ramp, _level((value - self._low) / span) if span else 0.5)

    def legend(self) -> None:
        """The ramp with its ends' values, at the right above the cells."""
        sheet, area, steps = self._sheet, self._sheet.area, 24
        if self._sheet.chart.height < 200:
            return
        ends = [short(self._low), short(self._high)]
        wide, high = 120 * sheet.unit, 9 * sheet.unit
        right = area.right - sheet.width(ends[1]) - 6 * sheet.unit
        left, y = right - wide, area.top + 0.6 * sheet.size
        sheet.write("legend", ends[0], left - 6 * sheet.unit, y, "end", colour=sheet.theme.muted)
        sheet.write("legend", ends[1], right + 6 * sheet.unit, y, colour=sheet.theme.muted)
        for step in range(steps):
            value = self._low + (self._high - self._low) * (step + 0.5) / steps
            x = left + wide * step / steps
            piece = rectangle(x, y - high / 2, x + wide / steps + 0.5, y + high / 2)
            sheet.scene.add(Shape("ramp", [piece], fill=self.shade(value)))
        area.top += 1.9 * sheet.size


def _level(share: float) -> float:
    return round(share * (_LEVELS - 1)) / (_LEVELS - 1)


def _merged(values: Row, every: int) -> Row:
    """Where columns are narrower than a pixel, the mean of each ``every`` neighbours."""
    if every <= 1:
        return values
    merged: list[float | None] = []
    for start in range(0, len(values), every):
        known = [value for value in values[start : start + every] if value is not None]
        merged.append(math.fsum(known) / len(known) if known else None)
    return merged


def _cells(sheet: Sheet, made: Plot, rows: Sequence[Row], shades: _Shades) -> None:
    """All cells of one colour as one shape, then their values where they have room."""
    box, size = made.box, sheet.size
    wide, high = box.width / len(rows[0]), box.height / len(rows)
    gap = 2.0 if min(wide, high) >= 10 else 0.0
    coloured: dict[str, list[Sequence[Point]]] = defaultdict(list)
    named = len(rows) * len(rows[0]) <= _NAMED and high >= 1.5 * size
    for at, row in enumerate(rows):
        top, bottom = round(box.top + at * high), round(box.top + (at + 1) * high) - gap
        for place, value in enumerate(row):
            if value is None:
                continue
            left, right = round(box.left + place * wide), round(box.left + (place + 1) * wide) - gap
            colour = shades.shade(value)
            coloured[colour].append(rectangle(left, top, right, bottom))
            if named and sheet.width(short(value)) + 0.6 * size <= wide:
                ink = max("#1b1e23", "#ffffff", key=lambda ink: contrast(ink, colour))
                sheet.write("value", short(value), (left + right) / 2, (top + bottom) / 2, "middle", colour=ink)
    cells = [Shape("cell", rings, fill=colour) for colour, rings in coloured.items()]
    # The values were written first, to measure; they are to be seen above the cells.
    sheet.scene.marks[:] = [*cells, *sheet.scene.marks]
