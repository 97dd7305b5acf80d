"""Samples: points over two axes of values, histograms, and box plots."""

import math
from bisect import bisect_right
from collections.abc import Sequence

from core.charts.axes import Bands, Plot, baseline, plot, ticks_for
from core.charts.scale import bins, scale
from core.charts.scene import Dots, Point, Shape, rectangle
from core.charts.sheet import Entry, Sheet

_BINS = 40
"""Bins of a histogram, at most."""
_WASTE = 0.3
"""The share of an axis that may be empty for the sake of showing zero."""


def scatter(sheet: Sheet) -> None:
    """Each series as dots, smaller and fainter the more there are."""
    chart = sheet.chart
    clouds: list[list[Point]] = []
    for series in chart.series:
        across = series.x or [float(at) for at in range(1, len(series.values) + 1)]
        clouds.append([(x, y) for x, y in zip(across, series.values, strict=True) if x is not None and y is not None])
    sheet.legend([Entry(series.name or str(at + 1), sheet.colour(at), "dot") for at, series in enumerate(chart.series)])
    area, unit = sheet.area, sheet.unit
    xs, ys = [x for cloud in clouds for x, _ in cloud], [y for cloud in clouds for _, y in cloud]
    across_scale = scale(xs, ticks_for(0.9 * area.width, unit, wide=True), _WASTE)
    made = plot(sheet, across_scale, scale(ys, ticks_for(0.8 * area.height, unit), _WASTE))
    count = len(xs)
    radius = (4.5 if count <= 100 else 3.0 if count <= 1000 else 1.5) * unit
    for at, cloud in enumerate(clouds):
        points = [(made.x(x), made.y(y)) for x, y in cloud]
        sheet.scene.add(Dots("point", points, radius, sheet.colour(at), 0.8 if count <= 1000 else 0.5))


def histogram(sheet: Sheet) -> None:
    """How many samples fall between one edge and the next (the last bin holds its upper edge too); all series share the edges."""
    chart = sheet.chart
    samples = [sorted(value for value in series.values if value is not None) for series in chart.series]
    edges = bins([value for sample in samples for value in sample], _bins_for(max(samples, key=len)))
    counts = [_counted(sample, edges.ticks) for sample in samples]
    sheet.legend([Entry(series.name or str(at + 1), sheet.colour(at)) for at, series in enumerate(chart.series)])
    heights = scale([float(count) for row in counts for count in row], ticks_for(0.75 * sheet.area.height, sheet.unit))
    made = plot(sheet, edges, heights, upright=False)
    between = list(zip(edges.ticks, edges.ticks[1:], strict=False))
    gap = 1.0 if made.box.width / len(between) >= 6 else 0.0
    for at, row in enumerate(counts):
        rings = [
            rectangle(made.x(left) + gap / 2, made.y(count), made.x(right) - gap / 2, made.box.bottom)
            for (left, right), count in zip(between, row, strict=True)
            if count
        ]
        sheet.scene.add(Shape("bar", rings, fill=sheet.colour(at), opacity=1.0 if len(counts) == 1 else 0.55))
    baseline(sheet, made)


def _bins_for(sample: Sequence[float]) -> int:
    """As Freedman and Diaconis have it, but between Sturges' number and ``_BINS``."""
    sturges = math.ceil(math.log2(len(sample))) + 1
    spread = _quantile(sample, 0.75) - _quantile(sample, 0.25)
    width = 2 * spread / math.cbrt(len(sample))
    if width <= 0 or (sample[-1] - sample[0]) / _BINS > width:
        return _BINS if width > 0 else min(sturges, _BINS)
    return max(min(sturges, _BINS), math.ceil((sample[-1] - sample[0]) / width))


def _counted(sample: Sequence[float], edges: Sequence[float]) -> list[int]:
    counts = [0] * (len(edges) - 1)
    for value in sample:
        counts[min(max(bisect_right(edges, value) - 1, 0), len(counts) - 1)] += 1
    return counts


def box(sheet: Sheet) -> None:
    """For each series the middle half of its samples with their median; whiskers to the last sample within one and a half of
    its length, and dots for those beyond."""
    chart = sheet.chart
    names = [series.name or (chart.labels[at] if chart.labels else str(at + 1)) for at, series in enumerate(chart.series)]
    samples = [sorted(value for value in series.values if value is not None) for series in chart.series]
    values = scale([value for sample in samples for value in sample], ticks_for(0.75 * sheet.area.height, sheet.unit), _WASTE)
    made = plot(sheet, Bands(names), values)
    centres = made.columns()
    width = min(0.5 * made.box.width / len(names), 80 * sheet.unit)
    for centre, sample in zip(centres, samples, strict=True):
        if sample:
            _one_box(sheet, made, centre, width / 2, sample)


def _one_box(sheet: Sheet, made: Plot, centre: float, half: float, sample: Sequence[float]) -> None:
    low, middle, high = (_quantile(sample, share) for share in (0.25, 0.5, 0.75))
    fence = 1.5 * (high - low)
    within = [value for value in sample if low - fence <= value <= high + fence]
    colour, unit = sheet.colour(0), sheet.unit
    ends = [made.y(value) for value in (min(within[0], low), low, high, max(within[-1], high))]
    whiskers = [((centre, ends[0]), (centre, ends[1])), ((centre, ends[2]), (centre, ends[3]))]
    caps = [((centre - half / 2, y), (centre + half / 2, y)) for y in (ends[0], ends[3])]
    sheet.scene.add(
        Shape("whisker", [*whiskers, *caps], stroke=colour, width=1.5 * unit, closed=False),
        Shape("box", [rectangle(centre - half, ends[2], centre + half, ends[1])], fill=colour, opacity=0.3),
        Shape("frame", [rectangle(centre - half, ends[2], centre + half, ends[1])], stroke=colour, width=1.5 * unit),
        Shape("median", [((centre - half, made.y(middle)), (centre + half, made.y(middle)))], stroke=colour, width=3 * unit),
    )
    beyond = [(centre, made.y(value)) for value in sample if not low - fence <= value <= high + fence]
    sheet.scene.add(Dots("outlier", beyond, 3 * unit, colour, 0.7))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Linear between the neighbours, as numpy and spreadsheets have it."""
    place = share * (len(ordered) - 1)
    before = math.floor(place)
    after = min(before + 1, len(ordered) - 1)
    return ordered[before] + (ordered[after] - ordered[before]) * (place - before)
