"""A chart in words."""

from typing import Any

from core.charts.alt import alt
from core.charts.chart import Chart


def said(**asked: Any) -> str:
    return alt(Chart.model_validate(asked))


def test_a_small_chart_is_told_value_by_value() -> None:
    assert (
        said(type="bar", title="Sales", labels=["A", "B"], series=[{"values": [1, 12_500]}]) == "Bar chart “Sales”: A 1, B 12.5k."
    )
    assert said(type="pie", labels=["甲", "乙"], series=[{"values": [30, 70]}]) == "饼图：甲 30，乙 70。"
    two = [{"name": "North", "values": [1, None]}, {"name": "South", "values": [3, 4]}]
    assert said(type="line", labels=["Q1", "Q2"], series=two) == "Line chart: North: Q1 1; South: Q1 3, Q2 4."


def test_of_a_large_chart_the_ranges_are_told() -> None:
    many = [{"name": f"S{at}", "values": [float(value) for value in range(100)]} for at in range(7)]
    told = said(type="line", series=many)
    assert told.startswith("Line chart: S0: 100 values from 0 to 99; S1: 100 values from 0 to 99;")
    assert told.endswith("; 2 more series.")
    assert said(type="histogram", title="身高", series=[{"values": [160.5, 180, None]}]) == "直方图“身高”：2 个值，160.5 至 180。"


def test_it_stays_short_however_long_the_texts_are() -> None:
    series = [{"name": "n" * 300, "values": [1e99] * 8}] * 100
    assert len(said(type="bar", title="t" * 300, labels=["l" * 300] * 8, series=series)) < 2_000
