"""Bars over categories: side by side or stacked, standing or lying; with lines and areas over them in a mixed chart."""

from collections.abc import Sequence

from core.charts.axes import Bands, Plot, baseline, plot, ticks_for
from core.charts.chart import Chart, Series
from core.charts.kinds.courses import area, entry, line
from core.charts.scale import Scale, scale, short
from core.charts.scene import Point, Shape, rectangle
from core.charts.sheet import Entry, Sheet

Span = tuple[float, float]
_FILLED = 0.72
"""The share of a band that its bars take."""
_GREATEST = 96
"""Pixels that one bar is wide at most."""


def draw(sheet: Sheet) -> None:
    """A bar, line, area or mixed chart: what stands over categories."""
    chart = sheet.chart
    kinds = [_kind(chart, series) for series in chart.series]
    spans = _spans(chart, kinds)
    entries = [
        Entry(series.name or str(at + 1), sheet.colour(at)) if kind == "bar" else entry(sheet, at, series, area=kind == "area")
        for at, (series, kind) in enumerate(zip(chart.series, kinds, strict=True))
    ]
    sheet.legend(entries)
    names = names_of(chart)
    lying = chart.horizontal and chart.type == "bar"
    valued = _valued(sheet, names, lying)
    if valued and not lying:
        sheet.area.top += sheet.size
    made = _plot(sheet, names, _scale(sheet, spans, lying), kinds, lying)
    bars = [at for at, kind in enumerate(kinds) if kind == "bar"]
    for place, at in enumerate(bars):
        _bars(sheet, made, at, spans[at], place, 1 if chart.stacked else len(bars))
    for at, kind in enumerate(kinds):
        if kind == "area":
            floors = [span[0] if span else 0.0 for span in spans[at]] if chart.stacked else None
            heights = [span[1] if span else None for span in spans[at]]
            area(sheet, made, at, heights, floors)
    baseline(sheet, made)
    for at, kind in enumerate(kinds):
        if kind == "line":
            line(sheet, made, at, chart.series[at].values)
    if valued:
        _values(sheet, made, chart.series[0].values)


def names_of(chart: Chart) -> list[str]:
    return chart.labels or [str(at + 1) for at in range(len(chart.series[0].values))]


def _kind(chart: Chart, series: Series) -> str:
    return (series.type or "bar") if chart.type == "mixed" else chart.type


def _spans(chart: Chart, kinds: Sequence[str]) -> list[list[Span | None]]:
    """From where to where each value reaches. Stacked, bars of one sign stand on each other, and so do areas, where a missing
    value counts as nothing; a line is never stacked."""
    spans: list[list[Span | None]] = []
    tops: dict[tuple[str, bool], list[float]] = {}
    for series, kind in zip(chart.series, kinds, strict=True):
        if not chart.stacked or kind == "line":
            spans.append([None if value is None else (0.0, value) for value in series.values])
            continue
        row: list[Span | None] = []
        for at, value in enumerate(series.values):
            top = tops.setdefault((kind, kind == "bar" and (value or 0.0) < 0), [0.0] * len(series.values))
            row.append(None if value is None and kind == "bar" else (top[at], top[at] + (value or 0.0)))
            top[at] += value or 0.0
        spans.append(row)
    return spans


def _scale(sheet: Sheet, spans: Sequence[Sequence[Span | None]], lying: bool) -> Scale:
    chart = sheet.chart
    # Bars and areas lie if they do not begin at zero; a line may show where its values are.
    waste = 0.67 if chart.type == "line" and chart.style != "fastgpt" else 1.0
    ends = [end for row in spans for span in row if span for end in (span[1:] if chart.type == "line" else span)]
    length = 0.75 * (sheet.area.width if lying else sheet.area.height)
    return scale(ends, ticks_for(length, sheet.unit, wide=lying), waste)


def _plot(sheet: Sheet, names: Sequence[str], values: Scale, kinds: Sequence[str], lying: bool) -> Plot:
    if lying:
        return plot(sheet, values, Bands(names))
    edge = "bar" not in kinds and sheet.chart.style != "fastgpt"
    return plot(sheet, Bands(names, all_wanted="bar" in kinds, edge=edge), values)


def _bars(sheet: Sheet, made: Plot, at: int, spans: Sequence[Span | None], place: int, beside: int) -> None:
    """Series number ``at``, in the given ``place`` of the ``beside`` that share a band."""
    lying = isinstance(made.upward, Bands)
    centres = made.rows() if lying else made.columns()
    band = (made.box.height if lying else made.box.width) / len(centres)
    group = min(_FILLED * band, _GREATEST * sheet.unit * beside)
    one = group / beside
    space = min(2.0, 0.12 * one) if beside > 1 else 0.0
    place = place if beside > 1 else 0
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


def _valued(sheet: Sheet, names: Sequence[str], lying: bool) -> bool:
    """Whether each bar has room for its value: those of one series, and few."""
    chart = sheet.chart
    if chart.type != "bar" or len(chart.series) > 1 or chart.style == "fastgpt":
        return False
    if lying:
        return sheet.area.height / len(names) > 1.4 * sheet.size
    widest = max(sheet.width(short(value)) for value in chart.series[0].values if value is not None)
    return widest + 0.5 * sheet.size < 0.88 * sheet.area.width / len(names) and sheet.area.height > 140


def _values(sheet: Sheet, made: Plot, values: Sequence[float | None]) -> None:
    """Each value at the end of its bar."""
    lying = isinstance(made.upward, Bands)
    gap = 0.8 * sheet.size
    for centre, value in zip(made.rows() if lying else made.columns(), values, strict=True):
        if value is None:
            continue
        side = -1 if value < 0 else 1
        if lying:
            x = made.x(value) + side * 0.5 * sheet.size
            sheet.write("value", short(value), x, centre, "end" if value < 0 else "start")
        else:
            sheet.write("value", short(value), centre, made.y(value) - side * gap, "middle")
