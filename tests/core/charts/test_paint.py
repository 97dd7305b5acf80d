"""What comes out: SVG that holds nothing but a picture, whatever the texts say, the same bytes every time; and quickly."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from PIL import Image

from core.charts.chart import Chart
from core.charts.draw import draw
from tests.core.charts.pictures import SVG, parsed

HOSTILE = ["<script>alert(1)</script>", "]]><x/>", "&amp;&#0;", "javascript:x\" onload='y'", "$x_1^2$", "\\alpha_b", "{}%s"]
BASE: dict[str, Any] = {
    "type": "bar",
    "title": "销量",
    "labels": ["A", "B", "C"],
    "series": [{"name": "Sample", "values": [1, 2, 3]}],
    "width": 400,
    "height": 300,
    "style": "fastgpt",
}


def drawn(**more: Any) -> bytes:
    return draw(Chart.model_validate(BASE | more)).data


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_are_shown_as_they_are(text: str) -> None:
    picture = parsed(drawn(title=text, labels=[text[:20], "B", "C"], width=1200))
    assert picture.words.count(text) >= 1
    title = picture.root.find(f"{SVG}title")
    assert title is not None
    assert title.text == text
    assert {element.tag.removeprefix(SVG) for element in picture.root.iter()} == {"svg", "title", "desc", "path", "text"}


def test_an_svg_names_no_other_place_and_holds_no_code_style_sheet_or_date() -> None:
    data = drawn().decode()
    assert data.startswith('<svg xmlns="http://www.w3.org/2000/svg" width="400" height="300" viewBox="0 0 400 300" role="img"')
    assert data.count("http") == 1, "the namespace alone"
    assert not any(word in data for word in ("<!", "<?", "<script", "<style", "href", "metadata", "url(", "atplotlib"))


def test_an_svg_says_what_it_shows() -> None:
    picture = parsed(drawn())
    title, description = picture.root.find(f"{SVG}title"), picture.root.find(f"{SVG}desc")
    assert title is not None
    assert description is not None
    assert (picture.root.attrib["role"], picture.root.attrib["aria-label"], title.text) == ("img", "销量", "销量")
    assert description.text == draw(Chart.model_validate(BASE)).alt == "柱状图“销量”：A 1，B 2，C 3。"


@pytest.mark.parametrize("form", ["svg", "png"])
def test_the_same_chart_is_the_same_bytes_in_another_process_too(form: str) -> None:
    code = (
        "import sys; from core.charts.chart import Chart; from core.charts.draw import draw;"
        "sys.stdout.buffer.write(draw(Chart.model_validate_json(sys.argv[1])).data)"
    )
    asked = Chart.model_validate(BASE | {"format": form})
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, asked.model_dump_json()],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == draw(asked).data


def test_the_base_chart_is_small() -> None:
    assert len(drawn()) < 4_000


def test_chinese_is_drawn_with_strokes_not_boxes() -> None:
    """Two characters of the same width leave different pixels, and neither those of a character that no font has."""
    pictures = [ink(drawn(format="png", title=title)) for title in ("销", "量", "□", "한")]
    assert len(set(pictures[:3])) == 3
    assert pictures[2] == pictures[3], "a box stands for what no font has"


def ink(data: bytes) -> bytes:
    with Image.open(BytesIO(data)) as picture:
        return picture.crop((0, 0, 100, 45)).tobytes()


@pytest.mark.parametrize("form", ["svg", "png"])
def test_characters_of_all_sorts_raise_no_warning(form: str) -> None:
    """Warnings are errors here; matplotlib would warn of each glyph that it lacks."""
    everything = "😀👩‍👩‍👧 مرحبا עברית हिन्दी 한국어 ไทย \U000e0020\u0301 𠀀 ￿ \ufdd0"
    assert drawn(format=form, title=everything, labels=[everything] * 3)


def test_a_base_chart_takes_a_few_milliseconds() -> None:
    """Of processor time, and the best of many, so that a busy machine does not matter."""
    drawn()
    times = []
    for _ in range(30):
        began = process_time()
        drawn()
        times.append(process_time() - began)
    assert min(times) < 0.008


def test_a_chart_as_data_needs_no_drawing_library() -> None:
    code = "import sys, core.charts.chart; print({'matplotlib', 'numpy', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
