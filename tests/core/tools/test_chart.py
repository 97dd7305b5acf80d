"""The chart tool as models call it: the schema they get, the slips that are forgiven, the refusals they can act on."""

import json
from typing import Any

import pytest

from core.charts.chart import Chart
from core.errors import InputInvalid
from core.tools.drawing.chart import TOOL
from core.tools.tool import File
from tests.core.tools.bench import used


def chart_from(**inputs: Any) -> Chart:
    chart: Chart = TOOL.checked(inputs).chart()  # type: ignore[attr-defined]
    return chart


def same(chart: Chart, **wanted: Any) -> bool:
    return chart == Chart.model_validate(wanted)


async def test_the_picture_and_its_words_come_back() -> None:
    inputs = {"type": "line", "title": "Sales", "labels": ["Q1", "Q2"], "series": [{"name": "north", "values": [1, None]}]}
    output, chart = await used(TOOL, **inputs)
    assert same(chart, **inputs)
    assert output.keys() == {one.key for one in TOOL.outputs}
    assert isinstance(output["chartUrl"], File)
    assert output["chartUrl"].name == "chart.svg"
    assert output["chartUrl"].alt == output["alt"] != ""


async def test_a_png_is_named_so() -> None:
    output, _ = await used(TOOL, type="bar", series=[{"values": [1]}], format="png")
    assert (output["chartUrl"].name, output["chartUrl"].media_type) == ("chart.png", "image/png")


LINE = {"type": "line", "labels": ["a", "b"], "series": [{"values": [1, 2]}]}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (LINE | {"series": [1, 2]}, LINE),
        (LINE | {"series": "[1, 2]"}, LINE),
        (LINE | {"series": {"values": [1, 2]}}, LINE),
        (LINE | {"series": "[{name: '', data: ['1', '2']}]", "labels": '["a", "b"]'}, LINE),
        ({"type": "折线图", "labels": ["a", "b"], "values": ["1", "2"]}, LINE),
        ({"chartType": "Line Chart", "categories": ["a", "b"], "datasets": [{"label": "", "data": [1, 2]}]}, LINE),
        (LINE | {"title": None, "width": None, "stacked": None, "colors": ["red"]}, LINE),
        (LINE | {"series": [{"values": [1, 2], "x": ["a", "b"], "type": "line"}], "labels": None}, LINE),
        (LINE | {"labels": [2023, 2024]}, LINE | {"labels": ["2023", "2024"]}),
        (
            LINE | {"series": {"north": [1, 2], "south": "[3, 4]"}},
            LINE | {"series": [{"name": "north", "values": [1, 2]}, {"name": "south", "values": [3, 4]}]},
        ),
        (
            {"type": "pie", "series": [{"name": "甲", "value": "30%"}, {"name": "乙", "value": 70}]},
            {"type": "pie", "labels": ["甲", "乙"], "series": [{"values": [30, 70]}]},
        ),
        (
            {"type": "scatter", "series": [{"name": "s", "values": [[1, 2], {"x": 3, "y": "4"}]}]},
            {"type": "scatter", "series": [{"name": "s", "values": [2, 4], "x": [1, 3]}]},
        ),
        ({"type": "scatter", "series": [[1, 2], [3, 4]]}, {"type": "scatter", "series": [{"values": [2, 4], "x": [1, 3]}]}),
        (
            {"type": "scatter", "labels": ["1.5", 2], "series": [{"values": [3, 4]}]},
            {"type": "scatter", "series": [{"values": [3, 4], "x": [1.5, 2]}]},
        ),
        (
            {"type": "heatmap", "series": [[1, 2], [3, 4]]},
            {"type": "heatmap", "series": [{"values": [1, 2]}, {"values": [3, 4]}]},
        ),
        (
            {"type": "bar", "series": [{"values": [1, 2]}, {"values": [3, 4], "type": "折线图"}]},
            {"type": "mixed", "series": [{"values": [1, 2], "type": "bar"}, {"values": [3, 4], "type": "line"}]},
        ),
        (LINE | {"xTitle": "month", "y_title": "t"}, LINE | {"xTitle": "month", "yTitle": "t"}),
    ],
)
def test_slips_with_one_plain_meaning_are_forgiven(written: dict[str, Any], meant: dict[str, Any]) -> None:
    assert same(chart_from(**written), **meant)


@pytest.mark.parametrize(
    ("inputs", "field", "said"),
    [
        ({"series": [1]}, "type", "type: Input should be 'line'"),
        ({"type": "gauge", "series": [1]}, "type", "type: Input should be 'line'"),
        ({"type": "bar"}, "series", "series: must be an array with at least one item; write it like [{"),
        ({"type": "bar", "series": []}, "series", "series: must be an array with at least one item"),
        ({"type": "bar", "series": "A: 1, B: 2"}, "series", "series: is not a JSON array (see character 1)"),
        ({"type": "bar", "series": [{"name": "a"}]}, "series", "series.0.values: is missing; write series like"),
        ({"type": "bar", "series": [{"values": [1]}, 5]}, "series", "series.1: must be an object"),
        ({"type": "bar", "series": [{"values": [1, "many"]}]}, "series", "series.0.values: item 1 must be a number"),
        ({"type": "bar", "labels": ["a"], "series": [1, 2]}, "series", "series.0.values: has 2 items, but labels has 1"),
        ({"type": "bar", "labels": "a, b", "series": [1, 2]}, "labels", "labels: is not a JSON array"),
        ({"type": "pie", "series": [{"values": [1]}, {"values": [1]}]}, "series", "series: must hold one series"),
        ({"type": "bar", "series": [1], "width": 99999}, "width", "width: Input should be less than or equal to 2400"),
        ({"type": ["bar"], "series": [1]}, "type", "type: Input should be"),
        ({"type": "mixed", "series": [{"values": [1], "type": ["bar"]}]}, "series", "series.0.type: Input should be"),
    ],
)
def test_a_refusal_names_the_field_and_what_to_write(inputs: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(InputInvalid) as refused:
        TOOL.checked(inputs)
    assert refused.value.message.startswith(said)
    assert refused.value.field == field


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_schema_is_flat_and_every_field_is_described_in_few_words(language: Any) -> None:
    schema = TOOL.schema(language)
    text = json.dumps(schema, ensure_ascii=False)
    assert "$ref" not in text
    assert len(text) < 3000
    described = [*schema["properties"].values(), *schema["properties"]["series"]["items"]["properties"].values()]
    assert all(0 < len(field["description"]) < 200 for field in described)
    assert any("\u4e00" <= character <= "\u9fff" for character in text) == (language == "zh")


def test_the_words_of_questions_that_ask_for_charts_are_cues() -> None:
    for question in ("Plot the sales", "draw me a pie chart", "把数据画成柱状图", "用折线图展示趋势", "可视化一下"):
        assert any(cue in question.lower() for cue in TOOL.cues), question
    assert not any(cue in "why is the sky blue? 天空为什么是蓝色的？" for cue in TOOL.cues)
