"""``drawing/chart``: every kind of chart that Pilothouse draws, described for a model that fills in the inputs.

What models get wrong is put right where its meaning is plain (``core/tools/drawing/forgiving.py``); the rest is refused with
the field's name and what to write instead.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator
from pydantic.alias_generators import to_camel

from core.charts.chart import Chart, ChartType
from core.tools.drawing.checking import chart_of
from core.tools.drawing.forgiving import forgiven
from core.tools.drawing.sketching import sketched
from core.tools.tool import Bench, File, Output, Tool, Words


class OneSeries(BaseModel):
    """One series as a model writes it."""

    name: str = Field("", description="Name in the legend", json_schema_extra={"zh": "图例中的名称"})
    values: list[float | None] = Field(
        description="The numbers, one per label",
        json_schema_extra={"zh": "数值，与 labels 一一对应"},
    )
    x: list[float | None] | None = Field(
        None, description="Scatter only: the x of each value", json_schema_extra={"zh": "仅散点图：每个值的横坐标"}
    )
    type: Literal["bar", "line", "area"] | None = Field(
        None, description="Mixed only: how this series is drawn", json_schema_extra={"zh": "仅组合图：该系列的画法"}
    )


class ChartInputs(BaseModel):
    """What is asked of a model. The rules that a chart must keep are those of ``core.charts.chart.Chart``."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    type: ChartType = Field(
        description="line or area: over time; bar: comparison; pie, donut, funnel: shares; scatter: points; histogram, box: "
        "distribution; radar: profile; heatmap: table of colours; mixed: bars with lines",
        json_schema_extra={
            "zh": "line 折线、area 面积：趋势；bar 柱状：比较；pie 饼、donut 环、funnel 漏斗：占比；scatter 散点；"
            "histogram 直方、box 箱线：分布；radar 雷达；heatmap 热力；mixed 柱线组合"
        },
    )
    title: str = Field("", description="Title above the chart", json_schema_extra={"zh": "图表标题"})
    labels: list[str] = Field(
        [],
        description="Names of categories, slices, radar axes or heatmap columns, in the order of the values",
        json_schema_extra={"zh": "类别、扇区、雷达轴或热力图列的名称，与数值同序"},
    )
    series: list[OneSeries] = Field(
        description="The data, one object per series; exactly one for pie, donut and funnel; one per row for heatmap",
        json_schema_extra={"zh": "数据，每个系列一个对象；饼图、环图、漏斗图只有一个；热力图每行一个"},
    )
    x_title: str = Field("", description="Title of the x axis", json_schema_extra={"zh": "横轴标题"})
    y_title: str = Field("", description="Title of the y axis, with its unit", json_schema_extra={"zh": "纵轴标题，可含单位"})
    stacked: bool = Field(False, description="bar, area: stack the series", json_schema_extra={"zh": "柱状、面积：堆叠"})
    horizontal: bool = Field(
        False, description="bar: lying bars, for long labels", json_schema_extra={"zh": "柱状：横向，适合长标签"}
    )
    width: int = Field(800, ge=200, le=2400, description="Pixels", json_schema_extra={"zh": "宽度（像素）"})
    height: int = Field(500, ge=150, le=2400, description="Pixels", json_schema_extra={"zh": "高度（像素）"})
    theme: Literal["light", "dark"] = Field("light", description="Colours", json_schema_extra={"zh": "配色"})
    format: Literal["svg", "png"] = Field(
        "svg", description="png only where svg cannot be shown", json_schema_extra={"zh": "无法显示 svg 时用 png"}
    )
    _chart: Chart = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _forgiven(cls, given: object) -> object:
        return forgiven(given) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _drawable(self) -> Self:
        self._chart = chart_of(self.model_dump())
        return self

    def chart(self) -> Chart:
        """What is to be drawn."""
        return self._chart


async def run(inputs: ChartInputs, bench: Bench) -> Mapping[str, Any]:
    """The picture's URL, and in words what it shows."""
    chart = inputs.chart()
    picture = await bench.draw(chart)
    return {"chartUrl": File(f"chart.{chart.format}", picture.media_type, picture.data, picture.alt), "alt": picture.alt}


TOOL = Tool(
    id="drawing/chart",
    name=Words(zh="图表", en="Chart"),
    description=Words(
        zh="把数据画成图表并返回图片链接。用户要求图表、可视化、趋势或对比图时使用；只用给定的数据。",
        en=(
            "Draws data as a chart and gives the picture's link. Use it when a chart, plot or graph is asked for, "
            "and only for data that you were given."
        ),
    ),
    version="1.0.0",
    inputs=ChartInputs,
    outputs=(
        Output(
            key="chartUrl",
            type="string",
            label=Words(zh="图表链接", en="Chart URL"),
            description=Words(zh="在回答中用 Markdown 展示：![图表](url)", en="Show it in the answer as Markdown: ![chart](url)"),
        ),
        Output(
            key="alt",
            type="string",
            label=Words(zh="图表说明", en="Description"),
            description=Words(zh="图表内容的文字说明", en="What the chart shows, in words"),
        ),
    ),
    run=run,
    cues=(
        *("chart", "plot", "graph", "diagram", "histogram", "heatmap", "heat map", "scatter", "visuali", "draw", "pie", "donut"),
        *("图", "画", "可视化", "绘制", "趋势", "走势", "分布", "占比"),
    ),
    drafting=sketched,
)
