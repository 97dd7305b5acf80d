"""Inputs made to hurt: refused by name or drawn, in bounded time and memory, without an echo of what was sent."""

import asyncio
import re
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from time import process_time
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.charts.studio import Studio
from core.errors import InputInvalid
from core.settings_charts import ChartSettings
from core.tools.drawing import basic_chart, chart
from core.tools.tool import File, Tool
from tests.core.tools.bench import DrawingBench

BASIC: dict[str, Any] = {"xAxis": ["A"], "yAxis": [1], "chartType": "柱状图"}
TOOLS = (basic_chart.TOOL, chart.TOOL)


@contextmanager
def bounded(seconds: float = 2.0, megabytes: float = 64.0) -> Iterator[None]:
    """Neither processor time (which watching the memory triples) nor memory of this process beyond these."""
    tracemalloc.start()
    began = process_time()
    yield
    took, (_, peak) = process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < seconds
    assert peak < megabytes * 1e6


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 33 + "]" * 33,
        '{"a":' * 50_000,
        "[1e999]",
        "[-1e999]",
        "[NaN]",
        "[Infinity, -Infinity]",
        "[" + "9" * 400_000 + "]",
        "[0x" + "f" * 400_000 + "]",
        "[1." + "9" * 400_000 + "e999999999]",
        "[" + "1," * 5_000_000 + "1]",
        '["' + "x" * 10_000_000 + '"]',
        "/*" + "*" * 400_000,
        "[" + "1," * 200_000 + "x]",
        "[" + "[]," * 100_000 + "]",
        "'\\u0000'",
        "[\ud800]",
        "\x00",
        "",
    ],
    ids=lambda text: f"{text[:8].encode('ascii', 'backslashreplace').decode()}...{len(text)}",
)
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.id)
def test_bombs_in_json_text_are_refused_at_once(tool: Tool, text: str) -> None:
    inputs = BASIC | {"yAxis": text} if tool is basic_chart.TOOL else {"type": "bar", "series": text}
    with bounded(), pytest.raises(InputInvalid) as refused:
        tool.checked(inputs)
    assert refused.value.field == ("yAxis" if tool is basic_chart.TOOL else "series")
    assert len(refused.value.message) < 400


def test_a_million_points_and_ten_thousand_series_are_refused() -> None:
    for inputs in (
        {"type": "line", "series": [{"values": [1.0] * 1_000_000}]},
        {"type": "line", "series": [{"values": [1.0]}] * 10_000},
        {"type": "line", "series": [{"values": [1.0] * 5_000}] * 90},
        {"type": "bar", "labels": ["a"] * 200_000, "series": [1.0]},
    ):
        with bounded(seconds=3.0, megabytes=200), pytest.raises(InputInvalid, match=r"series|labels"):
            chart.TOOL.checked(inputs)
    with bounded(seconds=3.0, megabytes=200), pytest.raises(InputInvalid, match="Axis"):
        basic_chart.TOOL.checked(BASIC | {"xAxis": ["a"] * 500_000, "yAxis": [1] * 500_000})


WORDS = st.sampled_from(
    ["type", "series", "labels", "values", "data", "value", "name", "label", "x", "y", "width", "title", "stacked", "datasets"]
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["bar", "scatter", "[1]"])
)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12)


@contextmanager
def checked() -> Iterator[None]:
    """Well, or refused by name; nothing else."""
    try:
        yield
    except InputInvalid as refused:
        if not re.match(r"\w[\w.]*: ", refused.message):
            raise


KINDS = st.sampled_from(["bar", "pie", "mixed", "scatter", "box", 5])


@given(st.fixed_dictionaries({"type": KINDS}, optional=dict.fromkeys(("series", "labels", "values", "width", "title"), JSON)))
@settings(max_examples=300, deadline=None)
def test_any_json_is_a_chart_or_a_refusal(inputs: dict[str, Any]) -> None:
    with checked():
        chart.TOOL.checked(inputs)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("title", "xAxis", "yAxis", "chartType"), JSON)))
@settings(max_examples=300, deadline=None)
def test_any_json_is_a_basic_chart_or_a_refusal(inputs: dict[str, Any]) -> None:
    with checked():
        basic_chart.TOOL.checked(inputs)


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    for inputs in (
        {"type": "secret-word", "series": ["secret-word"]},
        {"type": "bar", "series": {"secret-word": "secret-word"}},
        {"type": "bar", "labels": ["secret-word"], "series": [{"secret-word": 1}]},
        {"type": "bar", "series": [1], "theme": "secret-word", "width": "secret-word"},
    ):
        with pytest.raises(InputInvalid) as refused:
            chart.TOOL.checked(inputs)
        assert "secret-word" not in refused.value.message


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrawingBench]:
    studio = Studio(ChartSettings(workers=1), tmp_path_factory.mktemp("studio"))
    yield DrawingBench(studio)
    asyncio.run(studio.aclose())


HTML = "</svg><script>alert(1)</script><b onload='x'>&amp;\"]]>"


@pytest.mark.parametrize("kind", ["bar", "line", "pie", "heatmap", "radar", "funnel"])
async def test_markup_in_texts_stays_text(bench: DrawingBench, kind: str) -> None:
    inputs = {"type": kind, "title": HTML, "labels": [HTML] * 3, "xTitle": HTML, "series": [{"name": HTML, "values": [1, 2, 3]}]}
    file = (await chart.TOOL.run(chart.TOOL.checked(inputs), bench))["chartUrl"]
    assert isinstance(file, File)
    root = ElementTree.fromstring(file.data)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} & {"script", "b", "foreignObject", "image", "a"} == set()
    assert not any(name.startswith("on") for element in root.iter() for name in element.attrib)
    assert HTML in "".join(root.itertext())


async def test_the_largest_charts_are_drawn_within_the_limits(bench: DrawingBench) -> None:
    for inputs in (
        {"type": "bar", "labels": [f"{at} 长标签" * 20 for at in range(10_000)], "series": [[1.0] * 10_000]},
        {"type": "line", "series": [[float(at % 89) for at in range(1000)]] * 100},
        {"type": "scatter", "series": [{"values": [1.0] * 100_000}]},
        {"type": "pie", "series": [[1.0] * 10_000]},
        {"type": "bar", "series": [[1e100, -1e100, 1e-300, None, 0]]},
    ):
        file = (await chart.TOOL.run(chart.TOOL.checked(inputs), bench))["chartUrl"]
        assert isinstance(file, File)
        assert 500 < len(file.data) < 20_000_000
