"""Pictures of each kind, looked at: every label is there, as many marks as there are values, axes only where they belong."""

import math
import re
from io import BytesIO
from typing import Any, get_args

import pytest
from PIL import Image

from core.charts.chart import Chart, ChartType
from core.charts.draw import compose, draw
from core.charts.scene import Dots, Scene, Sector, Shape
from tests.core.charts.pictures import Svg, collisions, cut_off, parsed

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun"]
TWO: list[dict[str, Any]] = [
    {"name": "North", "values": [12, 15, 14, 18, None, 25]},
    {"name": "South", "values": [22, 21, 20, 17, 15, 12]},
]
LAST: dict[str, Any] = {"name": "乙", "values": [4, 3, 2, 1]}
ONE_EACH: dict[str, dict[str, Any]] = {
    "line": {"labels": MONTHS, "series": TWO},
    "bar": {"labels": MONTHS, "series": TWO},
    "pie": {"labels": ["华东", "华南", "华北"], "series": [{"values": [50, 30, 20]}]},
    "donut": {"labels": ["Search", "Direct", "Mail"], "series": [{"values": [50, 30, 20]}]},
    "scatter": {"series": [{"name": "A", "x": [1, 2, None, 4], "values": [3, 5, 4, None]}, {"name": "B", "values": [1, 2]}]},
    "area": {"labels": MONTHS, "series": TWO},
    "histogram": {"series": [{"values": [1, 2, 2, 3, 3, 3, 4, 4, 5, None]}]},
    "box": {"series": [{"name": "Mon", "values": [1, 2, 3, 4, 30]}, {"name": "Tue", "values": [2, 3, 4, 5, 6]}]},
    "radar": {"labels": ["速度", "安全", "价格", "舒适"], "series": [{"name": "甲", "values": [1, 2, 3, 4]}, LAST]},
    "heatmap": {"labels": ["Mon", "Tue"], "series": [{"name": "8:00", "values": [1, 2]}, {"name": "9:00", "values": [None, 4]}]},
    "mixed": {"labels": MONTHS, "series": [TWO[0], TWO[1] | {"type": "line"}]},
    "funnel": {"labels": ["Visited", "Paid", "Renewed"], "series": [{"values": [1000, 250, 50]}]},
}  # fmt: skip
WORDS: dict[str, list[str]] = {
    "line": [*MONTHS, "North", "South", "0", "20"],
    "bar": [*MONTHS, "North", "South", "0", "20"],
    "pie": ["华东 50%", "华南 30%", "华北 20%"],
    "donut": ["Search 50%", "Direct 30%", "Mail 20%"],
    "scatter": ["A", "B"],
    "area": [*MONTHS, "North", "South", "0", "20"],
    "histogram": ["1", "5"],
    "box": ["Mon", "Tue"],
    "radar": ["速度", "安全", "价格", "舒适", "甲", "乙", "0", "4"],
    "heatmap": ["Mon", "Tue", "8:00", "9:00", "1", "2", "4"],
    "mixed": [*MONTHS, "North", "South"],
    "funnel": ["Visited", "Paid", "Renewed", "1,000 · 100%", "250 · 25%", "50 · 5%"],
}
MARKS: dict[str, dict[str, int]] = {
    "line": {"line": 2, "point": 11, "axis": 1},
    "bar": {"bar": 11, "axis": 1},
    "pie": {"slice": 3, "axis": 0, "grid": 0},
    "donut": {"slice": 3, "axis": 0, "grid": 0},
    "scatter": {"point": 4},
    "area": {"area": 2, "line": 2, "axis": 1},
    "histogram": {"bar": 4, "axis": 1},
    "box": {"box": 2, "median": 2, "outlier": 1},
    "radar": {"outline": 2, "outline fill": 2, "point": 8},
    "heatmap": {"cell": 3, "axis": 0},
    "mixed": {"bar": 5, "line": 1, "axis": 1},
    "funnel": {"stage": 3, "slope": 2, "axis": 0},
}


def chart(kind: str, **more: Any) -> Chart:
    return Chart.model_validate({"type": kind, "title": "Title 标题"} | ONE_EACH[kind] | more)


def seen(asked: Chart) -> Svg:
    return parsed(draw(asked).data)


def counted(scene: Scene, role: str) -> int:
    """Rings, dots and sectors that stand for ``role``."""
    found = 0
    for mark in scene.shapes(role):
        found += len(mark.rings) if isinstance(mark, Shape) else len(mark.points) if isinstance(mark, Dots) else 1
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [(800, 500), (400, 300), (1600, 1000)], ids=["usual", "small", "large"])
@pytest.mark.parametrize("kind", get_args(ChartType))
def test_all_texts_are_there_and_can_be_read(kind: str, size: tuple[int, int], theme: str) -> None:
    picture = seen(chart(kind, width=size[0], height=size[1], theme=theme))
    assert {"Title 标题", *WORDS[kind]} <= set(picture.words)
    assert collisions(picture) == []
    assert cut_off(picture) == []
    assert picture.size == size


@pytest.mark.parametrize("kind", get_args(ChartType))
def test_there_are_as_many_marks_as_values(kind: str) -> None:
    scene = compose(chart(kind))
    assert {role: counted(scene, role) for role in MARKS[kind]} == MARKS[kind]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", get_args(ChartType))
def test_a_png_shows_the_chart_in_its_size(kind: str, theme: str) -> None:
    asked = chart(kind, format="png", theme=theme, width=640, height=420)
    drawn = draw(asked)
    assert drawn.media_type == "image/png"
    with Image.open(BytesIO(drawn.data)) as picture:
        assert (picture.size, picture.mode, picture.format) == ((640, 420), "RGB", "PNG")
        colours = picture.getcolors(maxcolors=640 * 420)
    assert colours
    common = {colour: count for count, colour in colours}
    background, series = (rgb(each) for each in (compose(asked).background, "#0072b2" if theme == "light" else "#56a8e0"))
    assert background in sorted(common, key=lambda colour: common[colour])[-2:]
    assert kind in {"heatmap", "scatter"} or common[series] > 60
    assert sum(common.values()) - common[background] > 2_000


def rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:], 16)


def test_bars_are_as_high_as_their_values() -> None:
    picture = seen(Chart.model_validate({"type": "bar", "labels": ["a", "b", "c"], "series": [{"values": [10, 20, -5]}]}))
    heights = [max(ys) - min(ys) for ys in ([y for _, y in points(ring)] for ring in picture.fills("#0072b2"))]
    assert heights[1] / heights[0] == pytest.approx(2, rel=0.02)
    assert heights[2] / heights[0] == pytest.approx(0.5, rel=0.02)


def test_stacked_bars_stand_on_each_other_and_negative_ones_hang() -> None:
    asked = {"type": "bar", "stacked": True, "labels": ["a", "b"], "series": [{"values": [2, -1]}, {"values": [3, -2]}]}
    picture = seen(Chart.model_validate(asked))
    # The legend's squares come first.
    (_, first, below), (_, second, lower) = (
        [[y for _, y in points(ring)] for ring in picture.fills(c)] for c in ("#0072b2", "#bf4b00")
    )
    assert max(second) == pytest.approx(min(first))
    assert min(lower) == pytest.approx(max(below))
    assert (max(second) - min(second)) / (max(first) - min(first)) == pytest.approx(1.5, rel=0.02)


def test_lying_bars_reach_to_the_right_from_the_top_down() -> None:
    asked = {"type": "bar", "horizontal": True, "labels": ["first", "second"], "series": [{"values": [10, 30]}]}
    picture = seen(Chart.model_validate(asked))
    first, second = (points(ring) for ring in picture.fills("#0072b2"))
    assert max(y for _, y in first) < min(y for _, y in second)
    lengths = [max(x for x, _ in bar) - min(x for x, _ in bar) for bar in (first, second)]
    assert lengths[1] / lengths[0] == pytest.approx(3, rel=0.02)
    assert {"first", "second", "10", "30"} <= set(picture.words)


def test_slices_have_their_values_shares_and_a_donut_a_hole() -> None:
    for kind in ("pie", "donut"):
        slices = [mark for mark in compose(chart(kind)).marks if isinstance(mark, Sector)]
        assert [each.end - each.start for each in slices] == pytest.approx([180, 108, 72])
        assert all((each.inner > 0) == (kind == "donut") for each in slices)


def test_a_line_much_larger_or_smaller_than_the_bars_has_its_own_axis() -> None:
    asked = {"type": "mixed", "labels": ["Q1", "Q2"], "series": [{"name": "Sales", "values": [120_000, 135_000]}]}
    rate = {"name": "Growth", "type": "line", "values": [0.05, 0.12]}
    picture = seen(Chart.model_validate(asked | {"series": [*asked["series"], rate]}))
    assert {"Growth →", "150k", "0.12"} <= set(picture.words)
    _, line = (points(each) for each in picture.strokes("#bf4b00")[:2])  # after the legend's
    ys = [y for _, y in line]
    assert max(ys) - min(ys) > 100, "it is not laid flat by the bars' scale"


def test_a_histogram_counts_every_sample_once() -> None:
    scene = compose(Chart.model_validate({"type": "histogram", "series": [{"values": [float(at % 7) for at in range(700)]}]}))
    (bars,) = (mark for mark in scene.shapes("bar") if isinstance(mark, Shape))
    heights = [bar[2][1] - bar[0][1] for bar in bars.rings]
    # Six bins of one value, and a last one that holds its upper edge too.
    assert len(heights) == 6
    assert heights[5] / heights[0] == pytest.approx(2)


def points(ring: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] (-?[\d.]+) (-?[\d.]+)", ring)]


def test_a_box_shows_the_quartiles() -> None:
    scene = compose(Chart.model_validate({"type": "box", "series": [{"values": [0, 10, 20, 30, 40, 100]}]}))
    (box,), (median,), (outlier,) = (scene.shapes(role) for role in ("box", "median", "outlier"))
    assert isinstance(box, Shape)
    assert isinstance(median, Shape)
    assert isinstance(outlier, Dots)
    (_, top), (_, _), (_, bottom), _ = box.rings[0]
    per_unit = (bottom - top) / 25  # from 12.5 to 37.5
    assert (bottom - median.rings[0][0][1]) / per_unit == pytest.approx(12.5)
    assert (bottom - outlier.points[0][1]) / per_unit == pytest.approx(87.5)


def test_a_point_beside_gaps_is_still_seen() -> None:
    scene = compose(Chart.model_validate({"type": "line", "series": [{"values": [None, 5, None] * 100}]}))
    assert counted(scene, "point") == 100
    assert counted(scene, "line") == 0
    assert all(math.isfinite(x) for mark in scene.shapes("point") if isinstance(mark, Dots) for x, _ in mark.points)
