"""A chart as a picture. Pure: the same chart always gives the same bytes, whoever asks and wherever it is drawn."""

from collections.abc import Callable

from core.charts.alt import alt
from core.charts.chart import Chart, ChartType, Picture
from core.charts.kinds import funnel, heatmap, mixed, pies, radar, samples
from core.charts.paint import png, svg
from core.charts.scene import Scene
from core.charts.sheet import Sheet

_KINDS: dict[ChartType, Callable[[Sheet], None]] = {
    "line": mixed.draw,
    "bar": mixed.draw,
    "area": mixed.draw,
    "mixed": mixed.draw,
    "pie": pies.draw,
    "donut": pies.draw,
    "scatter": samples.scatter,
    "histogram": samples.histogram,
    "box": samples.box,
    "radar": radar.draw,
    "heatmap": heatmap.draw,
    "funnel": funnel.draw,
}


def draw(chart: Chart) -> Picture:
    """The picture of ``chart`` in its format, with a text for those who cannot see it. Takes milliseconds of processor time, more
    for thousands of points. Raises ``PartMissing`` without the font for Chinese."""
    scene, said = compose(chart), alt(chart)
    if chart.format == "png":
        return Picture(png(scene), "image/png", said)
    return Picture(svg(scene, chart.title, said), "image/svg+xml", said)


def compose(chart: Chart) -> Scene:
    """The marks of ``chart``, laid out."""
    sheet = Sheet(chart)
    _KINDS[chart.type](sheet)
    return sheet.scene
