"""Courses over an axis of categories: lines, and areas under them, stacked or not."""

from collections.abc import Sequence

from core.charts.axes import Plot
from core.charts.chart import Series
from core.charts.scene import Dots, Point, Shape
from core.charts.sheet import Entry, Sheet

Heights = Sequence[float | None]

_DASHES: tuple[tuple[float, ...], ...] = ((), (6.0, 3.0), (2.0, 2.0), (8.0, 3.0, 2.0, 3.0))
"""Once the palette is used up, its colours return with another dash."""


def dash(sheet: Sheet, at: int) -> tuple[float, ...]:
    turn = at // len(sheet.theme.palette) % len(_DASHES)
    return tuple(length * sheet.unit for length in _DASHES[turn])


def entry(sheet: Sheet, at: int, series: Series, *, area: bool) -> Entry:
    name = series.name or str(at + 1)
    return Entry(name, sheet.colour(at), "square" if area else "line", () if area else dash(sheet, at))


def line(sheet: Sheet, made: Plot, at: int, heights: Heights) -> None:
    """Series number ``at`` as a line with a gap where a value is missing, and dots where there is room to tell them apart."""
    pieces = _pieces(made, heights)
    width = (2.5 if len(heights) <= 200 else 1.5) * sheet.unit
    courses = [piece for piece in pieces if len(piece) > 1]
    colour = sheet.colour(at)
    sheet.scene.add(
        Shape("line", courses, stroke=colour, width=width, dash=dash(sheet, at), closed=False),
    )
    lone = [piece[0] for piece in pieces if len(piece) == 1]
    roomy = made.box.width / len(heights) >= 14 * sheet.unit
    points = [point for piece in pieces for point in piece] if roomy else lone
    sheet.scene.add(Dots("point", points, 3.5 * sheet.unit, colour))
    if sheet.chart.style == "fastgpt":
        sheet.scene.add(Dots("hollow", points, 1.8 * sheet.unit, sheet.theme.background))


def area(sheet: Sheet, made: Plot, at: int, spans: Sequence[tuple[float, float] | None], *, stacked: bool) -> None:
    """Series number ``at`` as what lies between the ends of its spans, filled; with a line on top unless it is stacked."""
    columns = made.columns()
    fills = []
    for indices in _stretches(spans):
        ends = [(columns[index], span) for index in indices if (span := spans[index])]
        upper = [(x, made.y(span[1])) for x, span in ends]
        if len(ends) > 1:
            fills.append([*upper, *((x, made.y(span[0])) for x, span in reversed(ends))])
    sheet.scene.add(Shape("area", fills, fill=sheet.colour(at), opacity=0.78 if stacked else 0.22))
    if not stacked:
        line(sheet, made, at, [span[1] if span else None for span in spans])


def _pieces(made: Plot, heights: Heights) -> list[list[Point]]:
    columns = made.columns()
    return [[(columns[index], made.y(heights[index] or 0.0)) for index in indices] for indices in _stretches(heights)]


def _stretches(values: Sequence[object]) -> list[list[int]]:
    """Indices of the values there are, in runs without a gap."""
    runs: list[list[int]] = [[]]
    for index, value in enumerate(values):
        if value is not None:
            runs[-1].append(index)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]
