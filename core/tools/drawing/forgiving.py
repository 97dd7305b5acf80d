"""A chart as models write it, brought into the shape that the schema asks for; only what has one plain meaning is changed.

Known slips: arrays as JSON text, numbers as text, names of kinds in Chinese, null for what is left out, other libraries' words
(``datasets``, ``data``), one series without its frame, slices as name and value, points as pairs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from core.charts.chart import MAX_LABELS, MAX_POINTS, MAX_SERIES
from core.tools.drawing.reading import each, items, label, numbers, parsed

T = TypeVar("T")
SERIES = '[{"name": "Sales", "values": [1, 2, 3]}]'
LABELS = '["A", "B", "C"]'
VALUES = "[1, 2, 3]"
TYPES: Mapping[str, str] = {
    "柱状图": "bar", "柱形图": "bar", "条形图": "bar", "column": "bar", "折线图": "line", "曲线图": "line", "饼图": "pie",
    "环形图": "donut", "圆环图": "donut", "doughnut": "donut", "ring": "donut", "散点图": "scatter", "面积图": "area",
    "直方图": "histogram", "hist": "histogram", "箱线图": "box", "箱形图": "box", "boxplot": "box", "雷达图": "radar",
    "热力图": "heatmap", "热图": "heatmap", "组合图": "mixed", "混合图": "mixed", "combo": "mixed", "漏斗图": "funnel",
}  # fmt: skip
"""Other names of the kinds; ``… chart`` and ``… plot`` mean the same without that word."""
SAME: Mapping[str, str] = {
    "x_title": "xTitle", "y_title": "yTitle", "datasets": "series", "categories": "labels", "chartType": "type",
    "chart_type": "type",
}  # fmt: skip
SAME_IN_SERIES: Mapping[str, str] = {"data": "values", "label": "name"}


def forgiven(given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs in the schema's shape. Raises ``ValueError``: ``field: what is wrong``."""
    wanted = _renamed(given, SAME)
    wanted["type"] = _kind(wanted.get("type"))
    if "labels" in wanted:
        wanted["labels"] = _of("labels", lambda: each(label, items(wanted["labels"], LABELS, MAX_LABELS)))
    beside = {key: wanted.pop(key) for key in ("values", "data", "x") if key in wanted}
    series = _of("series", lambda: parsed(wanted.get("series", beside or None), SERIES))
    framed, count = _framed(wanted, series), 0
    wanted["series"] = []
    for at, one in enumerate(framed):
        wanted["series"].append(_one(at, one))
        count += len(wanted["series"][-1]["values"])
        if count > MAX_POINTS:
            raise ValueError(f"series: hold more than {MAX_POINTS:,} values together; send fewer, or sums of them")
    _kinds_fit(wanted)
    _positions_fit(wanted)
    return wanted


def _of(field: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error


def _renamed(given: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Without nulls; a key that the schema has wins over another word for it."""
    said = {key: value for key, value in given.items() if value is not None}
    return {names[key]: value for key, value in said.items() if key in names} | {
        key: value for key, value in said.items() if key not in names
    }


def _kind(name: object) -> object:
    if not isinstance(name, str):
        return name
    plain = name[:40].lower().strip()
    for word in ("chart", "plot", "graph"):
        plain = plain.removesuffix(word).rstrip(" _-") or plain
    return TYPES.get(plain, plain)


def _framed(wanted: dict[str, Any], series: object) -> list[object]:
    """``series`` as a list of one object each; slices that bring their names give ``labels``."""
    if isinstance(series, dict):
        framed = "values" in series or "data" in series
        series = [series] if framed else [{"name": str(name), "values": values} for name, values in series.items()]
    if not isinstance(series, list) or not series:
        raise ValueError(f"series: must be an array with at least one item; write it like {SERIES}")
    if all(isinstance(one, dict) and "value" in one for one in series):
        wanted.setdefault("labels", [str(one.get("name", one.get("label", ""))) for one in series])
        return [{"values": [one["value"] for one in series]}]
    if not any(isinstance(one, dict | list) for one in series) or (wanted["type"] == "scatter" and _points(series)):
        return [{"values": series}]
    if len(series) > MAX_SERIES:
        raise ValueError(f"series: has {len(series):,} items, but {MAX_SERIES} are the most; send fewer")
    return [{"values": one} if isinstance(one, list) else one for one in series]


def _one(at: int, given: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ValueError(f"series.{at}: must be an object; write series like {SERIES}")
    one = _renamed(given, SAME_IN_SERIES)
    if "values" not in one:
        raise ValueError(f"series.{at}.values: is missing; write series like {SERIES}")
    values = _of(f"series.{at}.values", lambda: items(one["values"], VALUES, MAX_POINTS))
    if "x" not in one and (points := _points(values)):
        one["x"], values = [x for x, _ in points], [y for _, y in points]
    one["values"] = _of(f"series.{at}.values", lambda: _cells(values))
    if "x" in one:
        one["x"] = _of(f"series.{at}.x", lambda: items(one["x"], VALUES, MAX_POINTS))
    if "type" in one:
        one["type"] = _kind(one["type"])
    return one


def _points(values: Iterable[object]) -> list[tuple[object, object]]:
    """``[x, y]`` or ``{"x": …, "y": …}`` each, or none at all."""
    points: list[tuple[object, object]] = []
    for value in values:
        if isinstance(value, dict) and {"x", "y"} <= value.keys():
            points.append((value["x"], value["y"]))
        elif isinstance(value, list) and len(value) == 2:
            points.append((value[0], value[1]))
        else:
            return []
    return points


def _cells(values: Sequence[object]) -> list[float | None]:
    """Numbers, and None where one is missing."""
    missing = {at for at, value in enumerate(values) if value is None or value == ""}
    read = numbers([0 if at in missing else value for at, value in enumerate(values)] if missing else values)
    return [None if at in missing else value for at, value in enumerate(read)]


def _kinds_fit(wanted: dict[str, Any]) -> None:
    """Series of several kinds make the chart a mixed one; elsewhere the kind of a series says nothing new."""
    several = any(one.get("type", wanted["type"]) != wanted["type"] for one in wanted["series"])
    if wanted["type"] in ("line", "bar", "area") and several:
        for one in wanted["series"]:
            one.setdefault("type", wanted["type"])
        wanted["type"] = "mixed"
    elif wanted["type"] != "mixed":
        for one in wanted["series"]:
            one.pop("type", None)


def _positions_fit(wanted: dict[str, Any]) -> None:
    """Positions are numbers in a scatter chart and names of categories elsewhere, wherever they were written."""
    for at, one in enumerate(wanted["series"]):
        if "x" not in one:
            continue
        place, positions = f"series.{at}.x", one.pop("x")
        if wanted["type"] == "scatter":
            one["x"] = _of(place, partial(_cells, positions))
        elif "labels" not in wanted:
            wanted["labels"] = _of(place, partial(each, label, positions))
    if wanted["type"] == "scatter" and "labels" in wanted:
        _labels_as_positions(wanted)


def _labels_as_positions(wanted: dict[str, Any]) -> None:
    try:
        positions = numbers(wanted["labels"])
    except ValueError:
        return
    if all(len(one["values"]) == len(positions) for one in wanted["series"]):
        for one in wanted["series"]:
            one.setdefault("x", positions)
        del wanted["labels"]
