"""What stands over an axis of categories: bars, lines, areas, or a mix of them."""

from collections import defaultdict
from collections.abc import Sequence

from core.charts.axes import Bands, baseline, plot, ticks_for
from core.charts.chart import Chart, Series
from core.charts.kinds.bars import Span, bars, have_room, make_room, values
from core.charts.kinds.courses import area, entry, line
from core.charts.scale import Scale, scale
from core.charts.sheet import Entry, Sheet

_APART = 10
"""Lines that are so many times larger or smaller than the bars below them get an axis of their own, at the right."""


def draw(sheet: Sheet) -> None:
    chart = sheet.chart
    kinds = [_kind(chart, series) for series in chart.series]
    spans = [_spans(chart, kinds, at) for at in range(len(kinds))] if not chart.stacked else _stacked(chart, kinds)
    apart = _far_apart(kinds, spans)
    sheet.legend([_entry(sheet, at, kind, apart and kind == "line") for at, kind in enumerate(kinds)])
    lying = chart.horizontal and chart.type == "bar"
    valued = have_room(sheet, lying)
    if valued:
        make_room(sheet, lying)
    left = _scale(sheet, [row for row, kind in zip(spans, kinds, strict=True) if not (apart and kind == "line")], lying)
    right = _scale(sheet, [row for row, kind in zip(spans, kinds, strict=True) if kind == "line"], lying) if apart else None
    if lying:
        made = plot(sheet, left, Bands(sheet.names()))
    else:
        edge = "bar" not in kinds and chart.style != "fastgpt"
        made = plot(sheet, Bands(sheet.names(), all_wanted="bar" in kinds, edge=edge), left, right=right)
    bars(sheet, made, [(at, spans[at]) for at, kind in enumerate(kinds) if kind == "bar"])
    for at, kind in enumerate(kinds):
        if kind == "area":
            area(sheet, made, at, spans[at], stacked=chart.stacked)
    baseline(sheet, made)
    for at, kind in enumerate(kinds):
        if kind == "line":
            line(sheet, made.on(right) if right else made, at, chart.series[at].values)
    if valued:
        values(sheet, made, chart.series[0].values)


def _kind(chart: Chart, series: Series) -> str:
    return (series.type or "bar") if chart.type == "mixed" else chart.type


def _spans(chart: Chart, kinds: Sequence[str], at: int) -> list[Span | None]:
    """From where to where each value reaches; of a line only where it is."""
    line = kinds[at] == "line"
    return [None if value is None else (value if line else 0.0, value) for value in chart.series[at].values]


def _stacked(chart: Chart, kinds: Sequence[str]) -> list[list[Span | None]]:
    """As ``_spans``, but bars of one sign stand on each other, and so do areas, where a missing value counts as nothing."""
    tops: dict[tuple[str, bool, int], float] = defaultdict(float)
    stacked: list[list[Span | None]] = []
    for number, (series, kind) in enumerate(zip(chart.series, kinds, strict=True)):
        if kind == "line":
            stacked.append(_spans(chart, kinds, number))
            continue
        row: list[Span | None] = []
        for at, value in enumerate(series.values):
            if value is None and kind == "bar":
                row.append(None)
                continue
            key = kind, kind == "bar" and (value or 0.0) < 0, at
            row.append((tops[key], tops[key] + (value or 0.0)))
            tops[key] += value or 0.0
        stacked.append(row)
    return stacked


def _far_apart(kinds: Sequence[str], spans: Sequence[Sequence[Span | None]]) -> bool:
    """Whether the lines and all else are of such different size that one axis would lay one of them flat."""
    largest = {True: 0.0, False: 0.0}
    for kind, row in zip(kinds, spans, strict=True):
        largest[kind == "line"] = max(largest[kind == "line"], *(abs(end) for span in row if span for end in span), 0.0)
    low, high = sorted(largest.values())
    return 0.0 < low <= high / _APART


def _entry(sheet: Sheet, at: int, kind: str, elsewhere: bool) -> Entry:
    series = sheet.chart.series[at]
    if kind == "bar":
        return Entry(series.name or str(at + 1), sheet.colour(at))
    made = entry(sheet, at, series, area=kind == "area")
    return Entry(f"{made.name} →", made.colour, made.mark, made.dash) if elsewhere else made


def _scale(sheet: Sheet, spans: Sequence[Sequence[Span | None]], lying: bool) -> Scale:
    chart = sheet.chart
    # Bars and areas lie if they do not begin at zero; a line may show where its values are.
    waste = 0.67 if chart.type == "line" and chart.style != "fastgpt" else 1.0
    length = 0.75 * (sheet.area.width if lying else sheet.area.height)
    ends = [end for row in spans for span in row if span for end in span]
    return scale(ends, ticks_for(length, sheet.unit, wide=lying), waste)
