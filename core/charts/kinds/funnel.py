"""Funnels: the stages in their order, each as wide as its value, with its share of the first."""

from itertools import pairwise

from core.charts.axes import Bands
from core.charts.categories import along_side
from core.charts.scale import short
from core.charts.scene import Point, Shape, rectangle
from core.charts.sheet import Sheet
from core.charts.theme import blend, contrast

_HIGH = 0.74
"""The share of a row that its bar takes."""


def draw(sheet: Sheet) -> None:
    chart, area, size = sheet.chart, sheet.area, sheet.size
    names, values = sheet.names(), chart.series[0].values
    room = 0.3 * area.width
    left = area.left + min(room, max(sheet.width(name) for name in names)) + size
    centres = Bands(names).centres(area.top, area.bottom)
    along_side(sheet, names, centres, left - size, room)
    widest = max(value for value in values if value is not None)
    said = [None if value is None else _said(value, values[0]) for value in values]
    # A value too wide for its bar stands beside it.
    spare = max(sheet.width(text) for text in said if text) + size
    middle, reach = (left + area.right - spare) / 2, (area.right - spare - left) / 2
    half = area.height / len(values) * _HIGH / 2
    colour = sheet.colour(0)
    bars = [(centre, reach * (value or 0.0) / widest) for centre, value in zip(centres, values, strict=True)]
    sheet.scene.add(Shape("slope", _slopes(bars, middle, half), fill=blend(colour, sheet.theme.background, 0.78)))
    for (centre, wide), text in zip(bars, said, strict=True):
        if text is None:
            continue
        sheet.scene.add(Shape("stage", [rectangle(middle - wide, centre - half, middle + wide, centre + half)], fill=colour))
        if 2 * half < size:
            continue
        if sheet.width(text) + size <= 2 * wide:
            ink = max("#1b1e23", "#ffffff", key=lambda ink: contrast(ink, colour))
            sheet.write("value", text, middle, centre, "middle", colour=ink)
        else:
            sheet.write("value", text, middle + wide + 0.5 * size, centre)


def _slopes(bars: list[tuple[float, float]], middle: float, half: float) -> list[list[Point]]:
    """What joins each bar to the next."""
    return [
        [(middle - one, y + half), (middle + one, y + half), (middle + other, below - half), (middle - other, below - half)]
        for (y, one), (below, other) in pairwise(bars)
    ]


def _said(value: float, first: float | None) -> str:
    return f"{short(value)} · {100 * value / first:.3g}%" if first else short(value)
