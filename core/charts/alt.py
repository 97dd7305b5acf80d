"""A chart in words, for those who cannot see it: in Chinese if its own texts are, else in English."""

import re
from collections.abc import Iterable

from core.charts.chart import SAMPLED, SLICED, Chart, ChartType
from core.charts.scale import short

_CHINESE = re.compile("[\u4e00-\u9fff]")
_KINDS: dict[ChartType, tuple[str, str]] = {
    "line": ("折线图", "Line chart"),
    "bar": ("柱状图", "Bar chart"),
    "pie": ("饼图", "Pie chart"),
    "donut": ("环形图", "Donut chart"),
    "scatter": ("散点图", "Scatter chart"),
    "area": ("面积图", "Area chart"),
    "histogram": ("直方图", "Histogram"),
    "box": ("箱线图", "Box plot"),
    "radar": ("雷达图", "Radar chart"),
    "heatmap": ("热力图", "Heatmap"),
    "mixed": ("组合图", "Mixed chart"),
    "funnel": ("漏斗图", "Funnel chart"),
}
_MOST = 8
"""Values said one by one; of more, the range is said."""
_NAMED = 5


def alt(chart: Chart) -> str:
    """One line of a few hundred characters: the kind, the title, and the values of a small chart or the ranges of a large one."""
    chinese = any(_CHINESE.search(text) for text in (chart.title, *chart.labels[:_MOST], *(one.name for one in chart.series)))
    kind = _KINDS[chart.type][0 if chinese else 1]
    title = "" if not chart.title else f"“{_cut(chart.title, 80)}”" if chinese else f" “{_cut(chart.title, 80)}”"
    parts = [_series(chart, at, chinese) for at in range(min(_NAMED, len(chart.series)))]
    if len(chart.series) > _NAMED:
        rest = len(chart.series) - _NAMED
        parts.append(f"另有 {rest} 个系列" if chinese else f"{rest} more series")
    said = ("；" if chinese else "; ").join(part for part in parts if part)
    return f"{kind}{title}{'：' if chinese else ': '}{said}{'。' if chinese else '.'}"


def _series(chart: Chart, at: int, chinese: bool) -> str:
    one = chart.series[at]
    name = _cut(one.name, 40) if chart.type not in SLICED else ""
    labels = chart.labels or [str(place + 1) for place in range(len(one.values))]
    known = [value for value in one.values if value is not None]
    if not known:
        said = "无数据" if chinese else "no values"
    elif chart.type not in SAMPLED and len(one.values) <= _MOST and len(chart.series) <= _NAMED:
        pairs = ((_cut(label, 24), value) for label, value in zip(labels, one.values, strict=True) if value is not None)
        said = _joined((f"{label} {short(value)}" for label, value in pairs), chinese)
    else:
        low, high = short(min(known)), short(max(known))
        said = f"{len(known)} 个值，{low} 至 {high}" if chinese else f"{len(known)} values from {low} to {high}"
    return f"{name}{'：' if chinese else ': '}{said}" if name and len(chart.series) > 1 else said


def _joined(parts: Iterable[str], chinese: bool) -> str:
    return ("，" if chinese else ", ").join(parts)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
