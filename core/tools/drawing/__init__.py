"""Charts. Ids and words are those of FastGPT's own toolset, whose place this one takes."""

from core.tools.tool import Toolset, Words

TOOLSET = Toolset(
    id="drawing",
    name=Words(zh="BI图表功能", en="BI Charts"),
    description=Words(
        zh="BI图表功能，可以生成一些常用的图表，如饼图，柱状图，折线图等",
        en="BI Charts, can generate some common charts, such as pie charts, bar charts, line charts, etc.",
    ),
    icon="core/workflow/template/BI",
)
