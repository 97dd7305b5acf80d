"""``drawing/baseChart``: FastGPT's own chart tool, with its inputs, its outputs and its words, so that workflows go on working.

Where FastGPT's draws an empty or broken picture without a word (an unknown type, lengths that differ, text for numbers), this
one says which field is wrong.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator
from pydantic.config import JsonDict

from core.charts.chart import MAX_LABELS, Chart
from core.tools.drawing.checking import chart_of
from core.tools.drawing.reading import each, items, label, numbers
from core.tools.tool import Bench, File, Output, Tool, Words

NAMES = '["A", "B", "C"]'
NUMBERS = "[1, 2, 3]"
ARRAY: JsonDict = {"renderTypeList": ["input", "reference"], "valueType": "arrayString", "selectedTypeIndex": 0}
TYPES: Mapping[str, str] = {"折线图": "line", "柱状图": "bar", "饼图": "pie"}
SYNONYMS: Mapping[str, str] = {
    **dict.fromkeys(("line", "linechart", "线图", "折线", "曲线图"), "折线图"),
    **dict.fromkeys(("bar", "barchart", "column", "柱形图", "条形图", "柱状", "柱图"), "柱状图"),
    **dict.fromkeys(("pie", "piechart", "饼状图", "饼", "扇形图"), "饼图"),
}


def _names(value: object) -> list[str]:
    return each(label, items(value, NAMES, MAX_LABELS))


def _numbers(value: object) -> list[float]:
    return numbers(items(value, NUMBERS, MAX_LABELS))


def _type(value: object) -> str:
    name = "".join(value[:40].lower().split()) if isinstance(value, str) else ""
    name = SYNONYMS.get(name, name)
    if name not in TYPES:
        raise ValueError("must be one of 折线图, 柱状图, 饼图 (or line, bar, pie)")
    return name


def _title(value: object) -> object:
    return "" if value is None else value


class BaseChart(BaseModel):
    """What FastGPT's node sends; keys that it does not know are left alone."""

    model_config = ConfigDict(populate_by_name=True)

    title: Annotated[str, BeforeValidator(_title)] = Field(
        "",
        description="Title of the chart",
        json_schema_extra={"zh": "BI图表的标题", "fastgpt": {"renderTypeList": ["input", "reference"], "valueType": "string"}},
    )
    x_axis: Annotated[list[str], BeforeValidator(_names)] = Field(
        alias="xAxis",
        description='Data of the x axis, for example ["A", "B", "C"]',
        json_schema_extra={"zh": 'x轴数据，例如：["A", "B", "C"]', "fastgpt": ARRAY},
    )
    y_axis: Annotated[list[float], BeforeValidator(_numbers)] = Field(
        alias="yAxis",
        description="Data of the y axis, for example [1,2,3]",
        json_schema_extra={"zh": "y轴数据，例如：[1,2,3]", "fastgpt": ARRAY},
    )
    chart_type: Annotated[Literal["折线图", "柱状图", "饼图"], BeforeValidator(_type)] = Field(
        alias="chartType",
        description="Kind of chart: 折线图 (line), 柱状图 (bar) or 饼图 (pie)",
        json_schema_extra={
            "zh": "图表类型：柱状图，折线图，饼图",
            "fastgpt": {"renderTypeList": ["select", "reference"], "valueType": "string", "selectedTypeIndex": 0},
        },
    )
    _chart: Chart = PrivateAttr()

    @model_validator(mode="after")
    def _drawable(self) -> Self:
        for key, values in (("xAxis", self.x_axis), ("yAxis", self.y_axis)):
            if not values:
                raise ValueError(f"{key}: is empty, so there is nothing to draw; give at least one item")
        wanted = {
            "type": TYPES[self.chart_type],
            "title": self.title,
            "labels": self.x_axis,
            "series": [{"values": self.y_axis}],
            "width": 400,
            "height": 300,
            "style": "fastgpt",
        }
        self._chart = chart_of(wanted, {"series.0.values": "yAxis", "labels": "xAxis", "type": "chartType"})
        return self

    def chart(self) -> Chart:
        """What is to be drawn."""
        return self._chart


async def run(inputs: BaseChart, bench: Bench) -> Mapping[str, Any]:
    """The picture's URL under today's key and the one that old workflows read."""
    picture = await bench.draw(inputs.chart())
    file = File("chart.svg", picture.media_type, picture.data, picture.alt)
    return {"chartUrl": file, "图表 url": file}


_URL = Output(
    key="chartUrl",
    type="string",
    label=Words(zh="图表 url", en="Chart URL"),
    description=Words(zh="可用使用markdown格式展示图片，如：![图片](url)", en="Show it as a picture in Markdown: ![chart](url)"),
)

TOOL = Tool(
    id="drawing/baseChart",
    name=Words(zh="基础图表", en="baseChart"),
    description=Words(
        zh="根据数据生成图表，可根据chartType生成柱状图，折线图，饼图",
        en=("Generate charts based on data, and generate charts such as bar charts, line charts, pie charts based on chartType"),
    ),
    version="0.1.1",
    inputs=BaseChart,
    outputs=(_URL, Output(key="图表 url", type="string", label=_URL.label, description=_URL.description, shown=False)),
    run=run,
)
