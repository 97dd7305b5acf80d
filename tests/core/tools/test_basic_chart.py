"""FastGPT's base chart: the calls that its workflows make, and clear refusals where the original drew nonsense."""

from typing import Any
from xml.etree import ElementTree

import pytest

from core.errors import InputInvalid
from core.tools.drawing.basic_chart import TOOL
from core.tools.tool import File
from tests.core.tools.bench import used

CALL: dict[str, Any] = {"title": "销量", "xAxis": ["A", "B", "C"], "yAxis": [1, 2, 3], "chartType": "柱状图"}


async def test_the_picture_comes_under_both_keys_as_one_file() -> None:
    output, _ = await used(TOOL, **CALL)
    assert list(output) == [output.key for output in TOOL.outputs] == ["chartUrl", "图表 url"]
    assert [out.shown for out in TOOL.outputs] == [True, False]
    file = output["chartUrl"]
    assert isinstance(file, File)
    assert output["图表 url"] is file
    assert (file.name, file.media_type) == ("chart.svg", "image/svg+xml")
    root = ElementTree.fromstring(file.data)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "销量" in "".join(root.itertext())
    assert "销量" in file.alt


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ("柱状图", "bar"), ("折线图", "line"), ("饼图", "pie"), ("bar", "bar"), ("Line", "line"), (" pie chart ", "pie"),
        ("条形图", "bar"), ("柱形图", "bar"), ("曲线图", "line"), ("饼状图", "pie"),
    ],
)  # fmt: skip
async def test_kinds_have_several_names(asked: str, kind: str) -> None:
    _, chart = await used(TOOL, **CALL | {"chartType": asked})
    assert (chart.type, chart.width, chart.height, chart.style) == (kind, 400, 300, "fastgpt")


@pytest.mark.parametrize(
    ("axes", "labels", "values"),
    [
        ({"xAxis": '["周一","周二"]', "yAxis": "[23,35]"}, ["周一", "周二"], [23, 35]),
        ({"xAxis": "['a','b',]", "yAxis": "[1,2,] // done"}, ["a", "b"], [1, 2]),
        ({"xAxis": [2023, 2024.5], "yAxis": ["30", " 70 "]}, ["2023", "2024.5"], [30, 70]),
        ({"xAxis": ["a", "b", "c", "d"], "yAxis": ["1,234.5", "45%", "-3e2", "１２％"]}, list("abcd"), [1234.5, 45, -300, 12]),
        ({"xAxis": ["a"], "yAxis": "['1,000,000']"}, ["a"], [1_000_000]),
    ],
)
async def test_arrays_and_numbers_may_be_texts(axes: dict[str, Any], labels: list[str], values: list[float]) -> None:
    _, chart = await used(TOOL, **CALL | axes)
    assert chart.labels == labels
    assert chart.series[0].values == values


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"chartType": "雷达图"}, "chartType", "chartType: must be one of 折线图, 柱状图, 饼图 (or line, bar, pie)"),
        ({"chartType": 7}, "chartType", "chartType: must be one of"),
        ({"title": 5}, "title", "title: Input should be a valid string"),
        ({"xAxis": "A,B,C"}, "xAxis", 'xAxis: is not a JSON array (see character 1); write it like ["A", "B", "C"]'),
        ({"xAxis": "{a: 1}"}, "xAxis", "xAxis: must be an array"),
        ({"xAxis": [None]}, "xAxis", "xAxis: item 0 must be a text or a number"),
        ({"yAxis": ["a", 1, 2]}, "yAxis", "yAxis: item 0 must be a number"),
        ({"yAxis": [1, 2, True]}, "yAxis", "yAxis: item 2 must be a number"),
        ({"yAxis": [1, 2, None]}, "yAxis", "yAxis: item 2 must be a number"),
        ({"yAxis": [1, 2, float("nan")]}, "yAxis", "yAxis: item 2 must be a finite number"),
        ({"yAxis": "[1, 2, Infinity]"}, "yAxis", "yAxis: item 2 must be a finite number"),
        ({"yAxis": [1, 2]}, "yAxis", "yAxis: has 2 items, but xAxis has 3; they must be as many"),
        ({"yAxis": [1, 2, -3], "chartType": "饼图"}, "yAxis", "yAxis: holds a negative number"),
        ({"xAxis": [], "yAxis": []}, "xAxis", "xAxis: is empty"),
        ({"yAxis": []}, "yAxis", "yAxis: is empty"),
        ({"yAxis": 10**400}, "yAxis", "yAxis: must be an array"),
        ({"yAxis": [1, 2, 10**400]}, "yAxis", "yAxis: item 2 must be a finite number"),
        ({"yAxis": [1, 2, 1e300]}, "yAxis", "yAxis"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_its_field(change: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(InputInvalid) as refused:
        TOOL.checked(CALL | change)
    assert refused.value.message.startswith(said)
    assert refused.value.field == field


def test_every_wrong_field_is_named() -> None:
    with pytest.raises(InputInvalid) as refused:
        TOOL.checked({"title": 5, "xAxis": "secret words"})
    assert refused.value.message == (
        "title: Input should be a valid string; "
        'xAxis: is not a JSON array (see character 1); write it like ["A", "B", "C"]; '
        "yAxis: Field required; chartType: Field required"
    )


def test_unknown_keys_and_an_absent_title_are_fine() -> None:
    for title in ({}, {"title": None}, {"title": ""}):
        TOOL.checked({key: value for key, value in CALL.items() if key != "title"} | title | {"system_input_config": {"a": 1}})


def test_the_schema_says_the_three_kinds_and_what_is_required() -> None:
    schema = TOOL.schema("zh")
    assert list(schema["properties"]) == ["title", "xAxis", "yAxis", "chartType"]
    assert schema["required"] == ["xAxis", "yAxis", "chartType"]
    assert schema["properties"]["chartType"]["enum"] == ["折线图", "柱状图", "饼图"]
    assert schema["properties"]["xAxis"]["description"] == 'x轴数据，例如：["A", "B", "C"]'
