"""Radar charts: one spoke for each label, one outline for each series."""

import math
from collections.abc import Sequence

from core.charts.kinds.courses import dash
from core.charts.scale import Scale, scale
from core.charts.scene import Dots, Point, Shape
from core.charts.sheet import LINE, Entry, Sheet

_RINGS = 4


def draw(sheet: Sheet) -> None:
    chart, size = sheet.chart, sheet.size
    names = sheet.names()
    marked: list[Entry] = [
        Entry(series.name or str(at + 1), sheet.colour(at), "line", dash(sheet, at)) for at, series in enumerate(chart.series)
    ]
    sheet.legend(marked)
    values = scale([value for series in chart.series for value in series.values if value is not None], _RINGS)
    area = sheet.area
    beside = min(0.26 * area.width, max(sheet.width(name) for name in names)) + 0.6 * size
    radius = max(12.0, min(area.height / 2 - 2 * size, area.width / 2 - beside))
    centre = (area.left + area.right) / 2, (area.top + area.bottom) / 2
    spokes = _spokes(len(names))
    _web(sheet, values, spokes, centre, radius)
    _names(sheet, names, spokes, centre, radius)
    for at, series in enumerate(chart.series):
        known = [(spoke, value) for spoke, value in zip(spokes, series.values, strict=True) if value is not None]
        points = [_at(centre, radius * values.share(value), spoke) for spoke, value in known]
        colour = sheet.colour(at)
        # Over many outlines, fills would only cloud each other.
        if len(chart.series) <= 4:
            sheet.scene.add(Shape("outline fill", [points] if points else [], fill=colour, opacity=0.12))
        width = 2.2 * sheet.unit
        sheet.scene.add(Shape("outline", [points] if points else [], stroke=colour, width=width, dash=dash(sheet, at)))
        sheet.scene.add(Dots("point", points, 3 * sheet.unit, colour))


def _spokes(count: int) -> list[float]:
    """Directions in radians, clockwise from twelve o'clock."""
    return [2 * math.pi * at / count for at in range(count)]


def _at(centre: Point, radius: float, spoke: float) -> Point:
    return centre[0] + radius * math.sin(spoke), centre[1] - radius * math.cos(spoke)


def _web(sheet: Sheet, values: Scale, spokes: Sequence[float], centre: Point, radius: float) -> None:
    rings = [[_at(centre, radius * values.share(tick), spoke) for spoke in spokes] for tick in values.ticks[1:]]
    lines = [[centre, _at(centre, radius, spoke)] for spoke in spokes]
    sheet.scene.add(
        Shape("grid", rings, stroke=sheet.theme.grid),
        Shape("grid", lines, stroke=sheet.theme.grid, closed=False),
    )
    for tick, label in zip(values.ticks, values.labels, strict=True):
        x, y = _at(centre, radius * values.share(tick), 0.0)
        sheet.write("tick", label, x - 0.4 * sheet.size, y, "end", size=sheet.small, colour=sheet.theme.muted)


def _names(sheet: Sheet, names: Sequence[str], spokes: Sequence[float], centre: Point, radius: float) -> None:
    """Each name at the end of its spoke, in two lines where it is long; where spokes are close, every second, third, …"""
    area, size = sheet.area, sheet.size
    every = math.ceil(1.4 * size * len(names) / (2 * math.pi * (radius + size)))
    for name, spoke in list(zip(names, spokes, strict=True))[::every]:
        side = math.sin(spoke)
        x, y = _at(centre, radius + (0.8 + 0.6 * abs(math.cos(spoke))) * size, spoke)
        room = area.width if abs(side) < 0.1 else (area.right - x if side > 0 else x - area.left)
        lines = sheet.ruler.balanced(name, size, room, 1 if abs(side) < 0.1 else 2)
        for row, line in enumerate(lines):
            height = y + (row - (len(lines) - 1) / 2) * LINE * size
            sheet.write("category", line, x, height, "middle" if abs(side) < 0.1 else "start" if side > 0 else "end")
