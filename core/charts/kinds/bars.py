"""Bars over categories, side by side or stacked, standing or lying, and the values at their ends."""

from collections.abc import Sequence

from core.charts.axes import Bands, Plot
from core.charts.scale import short
from core.charts.scene import Point, Shape, rectangle
from core.charts.sheet import Sheet

Span = tuple[float, float]
"""From where to where on the values' axis."""
Values = Sequence[float | None]

_FILLED = 0.72
"""The share of a band that its bars take."""
_GREATEST = 96
"""Pixels that one bar is wide at most."""


def bars(sheet: Sheet, made: Plot, series: Sequence[tuple[int, Sequence[Span | None]]]) -> None:
    """All bars: of each series its number and its spans."""
    for place, (at, spans) in enumerate(series):
        if sheet.chart.stacked:
            _bars(sheet, made, at, spans, 0, 1)
        else:
            _bars(sheet, made, at, spans, place, len(series))


def _bars(sheet: Sheet, made: Plot, at: int, spans: Sequence[Span | None], place: int, beside: int) -> None:
    """Series number ``at``, in the given ``place`` of the ``beside`` that share a band."""
    lying = isinstance(made.upward, Bands)
    centres = made.rows() if lying else made.columns()
    band = (made.box.height if lying else made.box.width) / len(centres)
    group = min(_FILLED * band, _GREATEST * sheet.unit * beside)
    one = group / beside
    space = min(2.0, 0.12 * one) if beside > 1 else 0.0
    rings: list[Sequence[Point]] = []
    for centre, span in zip(centres, spans, strict=True):
        if span is None:
            continue
        start = centre - group / 2 + place * one + space / 2
        end = start + one - space
        if one >= 6:
            start, end = round(start), round(end)
        if lying:
            rings.append(rectangle(made.x(span[0]), start, made.x(span[1]), end))
        else:
            rings.append(rectangle(start, made.y(span[1]), end, made.y(span[0])))
    sheet.scene.add(Shape("bar", rings, fill=sheet.colour(at)))


def have_room(sheet: Sheet, lying: bool) -> bool:
    """Whether each bar has room for its value: those of one series, and few."""
    chart = sheet.chart
    if chart.type != "bar" or len(chart.series) > 1 or chart.style == "fastgpt":
        return False
    values = chart.series[0].values
    if lying:
        return sheet.area.height / len(values) > 1.5 * sheet.size
    widest = max(sheet.width(short(value)) for value in values if value is not None)
    return widest + 0.5 * sheet.size < 0.88 * sheet.area.width / len(values) and sheet.area.height > 140


def make_room(sheet: Sheet, lying: bool) -> None:
    """For the values beyond the ends of the longest bars."""
    if lying:
        sheet.area.right -= max(sheet.width(short(value)) for value in sheet.chart.series[0].values if value is not None)
    else:
        sheet.area.top += sheet.size


def values(sheet: Sheet, made: Plot, heights: Values) -> None:
    """Each value at the end of its bar."""
    lying = isinstance(made.upward, Bands)
    gap = 0.8 * sheet.size
    for centre, value in zip(made.rows() if lying else made.columns(), heights, strict=True):
        if value is None:
            continue
        side = -1 if value < 0 else 1
        if lying:
            x = made.x(value) + side * 0.5 * sheet.size
            sheet.write("value", short(value), x, centre, "end" if value < 0 else "start")
        else:
            sheet.write("value", short(value), centre, made.y(value) - side * gap, "middle")
