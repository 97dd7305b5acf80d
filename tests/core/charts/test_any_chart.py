"""Whatever the data: a chart is refused with a reason, or drawn so that every text can be read and nothing in it can harm."""

import math
from io import BytesIO
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from core.charts.chart import SAMPLED, SLICED, Chart, ChartType
from core.charts.draw import draw
from tests.core.charts.pictures import SVG, collisions, cut_off, parsed

NUMBERS = st.one_of(
    st.integers(-100, 100).map(float),
    st.floats(-1e6, 1e6),
    st.floats(-1e100, 1e100),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1e100, -1e100, 1e-300, 5e-324, 1e15, 12345.678, 0.1 + 0.2]),
)
REASONS = ("no number", "nothing above 0", "3 to 60 numbers")
TEXTS = st.one_of(
    st.text(max_size=12),
    st.text("abcdefghij klmn-", max_size=80),
    st.text("周一二三四五销售额收入，。与支出", max_size=40),
    st.sampled_from(
        ["$x^2$", "a_b\\c", "<script>alert(1)</script>", "]]>", "&amp;", "", "2024-01-01", "😀👍🏽", "مرحبا", "\x00\x1b\ud800"]
    ),
)


@st.composite
def charts(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """Mostly such as may be drawn: lengths agree, slices are not negative."""
    count = draw(st.one_of(st.integers(1, 12), st.integers(1, 120)))
    length = st.just(count) if kind not in SAMPLED else st.integers(1, 30)
    numbers = NUMBERS.map(abs) if kind in SLICED else NUMBERS
    series = []
    for _ in range(1 if kind in SLICED else draw(st.integers(1, 6))):
        size = draw(length)
        values = draw(st.lists(st.none() | numbers, min_size=size, max_size=size))
        one: dict[str, Any] = {"name": draw(TEXTS), "values": values}
        if kind == "scatter" and draw(st.booleans()):
            one["x"] = draw(st.lists(NUMBERS, min_size=size, max_size=size))
        if kind == "mixed":
            one["type"] = draw(st.sampled_from([None, "bar", "line", "area"]))
        series.append(one)
    labels = draw(st.lists(TEXTS, min_size=count, max_size=count) | st.just([])) if kind not in SAMPLED else []
    width, height = draw(st.sampled_from([(400, 300), (800, 500), (200, 150), (2400, 200), (220, 900)]))
    return {
        "type": kind,
        "title": draw(TEXTS),
        "x_title": draw(TEXTS),
        "y_title": draw(TEXTS),
        "labels": labels,
        "series": series,
        "stacked": draw(st.booleans()),
        "horizontal": draw(st.booleans()),
        "width": width,
        "height": height,
        "theme": draw(st.sampled_from(["light", "dark"])),
        "style": draw(st.sampled_from(["standard", "fastgpt"])),
    }


def accepted(asked: dict[str, Any]) -> Chart:
    """The chart, unless it is refused: then only for what cannot be drawn."""
    try:
        return Chart.model_validate(asked)
    except ValidationError as refused:
        reasons = "; ".join(error["msg"] for error in refused.errors())
        assert any(known in reasons for known in REASONS), reasons
    return reject()


@pytest.mark.parametrize("kind", get_args(ChartType))
@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_chart_is_refused_or_can_be_read(kind: str, data: st.DataObject) -> None:
    chart = accepted(data.draw(charts(kind)))
    picture = parsed(draw(chart).data)
    assert collisions(picture) == []
    assert cut_off(picture) == []
    assert picture.size == (chart.width, chart.height)
    assert {element.tag for element in picture.root.iter()} <= {f"{SVG}{tag}" for tag in ("svg", "title", "desc", "path", "text")}
    attributes = {name for element in picture.root.iter() for name in element.attrib}
    assert attributes <= {
        "width",
        "height",
        "viewBox",
        "role",
        "aria-label",
        "stroke-linejoin",
        "d",
        "style",
        "x",
        "y",
        "transform",
    }
    assert not any("nan" in path.attrib["d"] or "inf" in path.attrib["d"] for path in picture.root.iter(f"{SVG}path"))


@pytest.mark.parametrize("kind", get_args(ChartType))
@given(data=st.data())
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_chart_becomes_a_png(kind: str, data: st.DataObject) -> None:
    chart = accepted(data.draw(charts(kind)) | {"format": "png"})
    with Image.open(BytesIO(draw(chart).data)) as picture:
        assert picture.size == (chart.width, chart.height)
