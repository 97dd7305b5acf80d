"""Charts with more labels, longer names or larger numbers than there is room for."""

from typing import Any

import pytest

from core.charts.chart import Chart
from core.charts.draw import compose, draw
from core.charts.scene import Label, Shape
from tests.core.charts.pictures import Svg, collisions, cut_off, parsed

BASE: dict[str, Any] = {"width": 400, "height": 300, "style": "fastgpt"}


def seen(kind: str, labels: list[str], values: list[float], **more: Any) -> Svg:
    asked = {"type": kind, "labels": labels, "series": [{"values": values}]} | more
    picture = parsed(draw(Chart.model_validate(asked)).data)
    assert collisions(picture) == []
    assert cut_off(picture) == []
    return picture


def written(labels: list[str], **more: Any) -> list[Label]:
    """The names under a bar chart."""
    asked = {"type": "bar", "labels": labels, "series": [{"values": list(range(1, len(labels) + 1))}]} | more
    return compose(Chart.model_validate(asked)).labels("category")


def test_short_names_stand_side_by_side() -> None:
    names = written([f"Q{at}" for at in range(1, 9)])
    assert [name.text for name in names] == [f"Q{at}" for at in range(1, 9)]
    assert {(name.angle, name.y) for name in names} == {(0, names[0].y)}


def test_longer_names_are_broken_into_lines() -> None:
    names = written(["北京市朝阳区建国路", "上海市浦东新区世纪大道", "广州市天河区体育西路"], **BASE)
    assert [name.text for name in names] == ["北京市朝阳区建国路", "上海市浦东新", "区世纪大道", "广州市天河", "区体育西路"]
    assert {name.angle for name in names} == {0}
    assert len({name.y for name in names}) == 2


def test_long_names_of_many_bars_are_turned_and_cut() -> None:
    names = written([f"A rather long category name number {at}" for at in range(14)])
    assert len(names) == 14
    assert {name.angle for name in names} == {45}
    assert all("…" in name.text for name in names)
    assert names[13].text.endswith("number 13"), "cut where they do not differ"


@pytest.mark.parametrize(("count", "every"), [(60, 6), (366, 40), (10_000, 400)])
def test_of_many_names_only_every_so_manieth_is_shown(count: int, every: int) -> None:
    shown = [name.text for name in written([f"Item {at}" for at in range(count)])]
    assert shown == [f"Item {at}" for at in range(0, count, every)]


def test_many_lying_bars_are_named_now_and_then() -> None:
    shown = [name.text for name in written([f"Item {at}" for at in range(100)], horizontal=True)]
    assert shown == [f"Item {at}" for at in range(0, 100, 4)]


def test_many_slices_are_listed_with_their_shares_and_the_rest_is_counted() -> None:
    picture = seen("pie", [f"Part {at}" for at in range(40)], [1.0] * 40)
    assert {"Part 0", "2.5%", "+17"} <= set(picture.words)
    assert "Part 39" not in picture.words
    assert picture.words[-1] == "42.5%", "what those not named have together"


def test_tiny_slices_are_named_apart_from_each_other() -> None:
    picture = seen("donut", ["Big", "a", "b", "c", "d"], [1000, 1, 1, 1, 1])
    assert {"Big 99.6%", "a 0.1%", "b 0.1%", "c 0.1%", "d 0.1%"} <= set(picture.words)


def test_a_legend_without_room_for_all_series_counts_the_rest() -> None:
    series = [{"name": f"Series number {at}", "values": [at, at + 1]} for at in range(50)]
    scene = compose(Chart.model_validate({"type": "line", "labels": ["a", "b"], "series": series}))
    said = [label.text for label in scene.labels("legend")]
    assert said[:2] == ["Series number 0", "Series number 1"]
    assert said[-1] == f"+{50 - (len(said) - 1)}"
    assert len(scene.shapes("swatch")) == len(said) - 1


def test_a_long_title_is_broken_and_then_cut() -> None:
    picture = seen("bar", ["a"], [1], title="很长的标题" * 20, **BASE)
    assert picture.words[0] == "很长的标题" * 3 + "很长的"
    assert picture.words[1].endswith("…")


def test_large_numbers_are_shortened() -> None:
    picture = seen("bar", ["a", "b"], [3_400_000, 12_500])
    assert {"3.4M", "12.5k", "0", "3.5M"} <= set(picture.words)
    billions = seen("line", ["a", "b"], [1.5e9, 4.5e9], **BASE)
    assert {"0", "6B"} <= set(billions.words)


def test_dense_heatmaps_show_means_of_neighbours() -> None:
    values = [float(at % 2) for at in range(10_000)]
    scene = compose(Chart.model_validate({"type": "heatmap", "series": [{"values": values}, {"values": values}]}))
    cells = [mark for mark in scene.shapes("cell") if isinstance(mark, Shape)]
    assert 500 < sum(len(shade.rings) for shade in cells) < 1_500, "no narrower than a pixel"
    assert len(cells) <= 2, "every mean is about a half"


@pytest.mark.parametrize("size", [(200, 150), (2400, 150), (200, 2400)])
@pytest.mark.parametrize("kind", ["line", "bar", "pie", "heatmap", "radar", "funnel"])
def test_odd_sizes_hold_what_they_can(kind: str, size: tuple[int, int]) -> None:
    seen(kind, ["January", "February", "三月", "April"], [1, 20_000, 3, 4], title="Monthly sales", width=size[0], height=size[1])
