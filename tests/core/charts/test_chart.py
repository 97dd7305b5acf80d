"""What may be drawn, and how a refusal names the field that stands in the way."""

import math
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from core.charts.chart import MAX_LABELS, MAX_POINTS, MAX_SERIES, MAX_TEXT, Chart, ChartType

BAR: dict[str, Any] = {"type": "bar", "labels": ["A", "B"], "series": [{"values": [1, 2]}]}


def refusal(asked: dict[str, Any]) -> str:
    """Where and why, in one line."""
    with pytest.raises(ValidationError) as refused:
        Chart.model_validate(asked)
    return "; ".join(f"{'.'.join(map(str, error['loc']))} {error['msg']}" for error in refused.value.errors())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"type": "gauge"}, "type Input should be"),
        ({"series": []}, "series List should have at least 1 item"),
        ({"series": [{"values": [1, "many"]}]}, "series.0.values.1 Input should be a valid number"),
        ({"series": [{"values": [1, 2, 3]}]}, "series.0.values has 3 items, but labels has 2"),
        (
            {"labels": [], "series": [{"values": [1]}, {"values": [1, 2]}]},
            "series.1.values has 2 items, but series.0.values has 1",
        ),
        ({"series": [{"values": [None, math.nan]}]}, "series hold no number"),
        ({"series": [{"values": [1, 1e101]}]}, "series.0.values Value error, item 1 is beyond ±1e+100"),
        ({"series": [{"values": [1, 10**400]}]}, "series.0.values.1"),
        ({"series": [{"values": [1, 2], "type": "line"}]}, "series.0.type is for mixed charts only"),
        ({"series": [{"values": [1, 2], "x": [1, 2]}]}, "series.0.x is for scatter charts only"),
        ({"type": "pie", "series": [{"values": [1, -2]}]}, "series.0.values holds a negative number"),
        ({"type": "funnel", "series": [{"values": [0, 0]}]}, "series.0.values holds nothing above 0"),
        ({"type": "donut", "series": [{"values": [1, 2]}] * 2}, "series must hold one series for a donut chart, not 2"),
        ({"type": "scatter"}, "labels have no place in a scatter chart"),
        ({"type": "box"}, "labels have no place in a box chart"),
        (
            {"type": "scatter", "labels": [], "series": [{"values": [1, 2], "x": [1]}]},
            "series.0.x has 1 items, but its values are 2",
        ),
        ({"type": "radar"}, "series.0.values must hold 3 to 60 numbers"),
        ({"width": 100}, "width Input should be greater than or equal to 200"),
        ({"height": 10_000}, "height Input should be less than or equal to 2400"),
        ({"labels": [["A"], "B"]}, "labels.0 Input should be a valid string"),
        ({"colour": "red"}, "colour Extra inputs are not permitted"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_names_the_field(changed: dict[str, Any], said: str) -> None:
    assert said in refusal(BAR | changed)


def test_a_chart_has_bounds() -> None:
    long = [1.0] * (MAX_POINTS // 4)
    assert "series hold more than 100,000 values together" in refusal({"type": "histogram", "series": [{"values": long}] * 5})
    assert "series.0.values List should have at most 100000" in refusal({"type": "scatter", "series": [{"values": long * 5}]})
    assert "labels List should have at most 10000" in refusal(BAR | {"labels": ["A"] * (MAX_LABELS + 1)})
    assert "has more than 10,000 items" in refusal({"type": "line", "series": [{"values": [1.0] * (MAX_LABELS + 1)}]})
    assert "series List should have at most 100" in refusal(BAR | {"series": BAR["series"] * (MAX_SERIES + 1)})
    full = Chart.model_validate({"type": "histogram", "series": [{"values": long}] * 4})
    assert sum(len(series.values) for series in full.series) == MAX_POINTS


def test_infinite_values_count_as_missing() -> None:
    chart = Chart.model_validate(BAR | {"series": [{"values": [math.inf, 2]}]})
    assert chart.series[0].values == [None, 2.0]
    cloud = Chart.model_validate({"type": "scatter", "series": [{"values": [1, 2], "x": [math.nan, 5]}]})
    assert cloud.series[0].x == [None, 5.0]


def test_numbers_may_be_labels_and_digits_values() -> None:
    chart = Chart.model_validate(BAR | {"labels": [2024, 2.5], "series": [{"values": ["3", "4.5"]}]})
    assert (chart.labels, chart.series[0].values) == (["2024", "2.5"], [3.0, 4.5])


def test_texts_are_one_line_that_any_reader_can_take() -> None:
    chart = Chart.model_validate(BAR | {"title": "a\x00\x1b b\n\tc\u202e d\ud800", "labels": ["x" * 1000, " y "]})
    assert chart.title == "a b c d"
    assert chart.labels == ["x" * (MAX_TEXT - 1) + "…", "y"]


def test_names_come_in_camel_case_or_ours() -> None:
    assert (
        Chart.model_validate(BAR | {"xTitle": "Month"}).x_title
        == Chart.model_validate(BAR | {"x_title": "Month"}).x_title
        == "Month"
    )


@pytest.mark.parametrize("kind", get_args(ChartType))
def test_labels_may_be_left_out(kind: str) -> None:
    assert Chart.model_validate({"type": kind, "series": [{"values": [1, 2, 3]}]}).labels == []
