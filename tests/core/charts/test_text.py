"""Measuring, cutting and breaking texts; and what stands in for characters that no font of ours has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFont

from core.charts.text import Ruler, fonts, runs, uncut

PNG = Ruler("png")
SVG = Ruler("svg")


@pytest.mark.parametrize("text", ["Revenue 2024", "销售额（元）", "iiiWWW...", "混合 mixed 文本"])
def test_a_width_is_what_the_font_takes(text: str) -> None:
    """Pillow lays out the same font, without kerning."""
    face = ImageFont.truetype(fonts()[0], 200, layout_engine=ImageFont.Layout.BASIC)
    assert PNG.width(text, 200) == pytest.approx(face.getlength(text, features=None), rel=0.02)


def test_a_text_elsewhere_is_taken_to_be_as_wide_as_it_may_get() -> None:
    wide = ImageFont.truetype(fonts()[1], 200, layout_engine=ImageFont.Layout.BASIC).getlength("Revenue 2024")
    assert SVG.width("Revenue 2024", 200) >= 0.98 * wide
    assert SVG.width("销售额", 12) == PNG.width("销售额", 12) == 36


@given(st.text(max_size=40), st.floats(0, 300))
def test_a_cut_text_fits(text: str, room: float) -> None:
    cut = PNG.cut(text, 12, room)
    assert cut == "" or PNG.width(cut, 12) <= room + 1e-6
    assert cut == text or cut.endswith("…") or cut == ""


@given(st.text(max_size=60), st.floats(20, 300), st.integers(1, 3))
def test_lines_fit_and_are_no_more_than_asked_for(text: str, room: float, most: int) -> None:
    for lines in (PNG.lines(text, 12, room, most), PNG.balanced(text, 12, room, most)):
        assert 1 <= len(lines) <= most
        assert all(PNG.width(line, 12) <= room + 1e-6 for line in lines)


def test_lines_break_between_words_and_anywhere_in_chinese() -> None:
    assert PNG.lines("United Kingdom of Great Britain", 12, 80, 3) == ["United", "Kingdom of", "Great Britain"]
    assert PNG.lines("北京市朝阳区建国路", 12, 90, 2) == ["北京市朝阳区建", "国路"]
    assert PNG.balanced("北京市朝阳区建国路", 12, 90, 2) == ["北京市朝阳", "区建国路"]
    assert PNG.lines("价格，数量", 12, 30, 3) == ["价", "格，", "数量"]
    assert PNG.lines("United Kingdom of Great Britain", 12, 80, 2)[-1].endswith("…")


def test_alike_beginnings_are_cut_in_the_middle() -> None:
    cut = PNG.cut_apart([f"Department of Public Health, section {number}" for number in range(3)], 12, 120)
    assert [name[-1] for name in cut] == ["0", "1", "2"]
    assert all(name.startswith("Departm") and "…" in name and PNG.width(name, 12) <= 120 for name in cut)
    assert PNG.cut_apart(["short", "a much longer name than fits"], 12, 60) == [
        "short",
        PNG.cut("a much longer name than fits", 12, 60),
    ]


def test_characters_without_a_glyph_become_boxes_and_joiners_nothing() -> None:
    assert [piece for piece, _, _ in runs("ab한")] == ["ab□"]
    assert "".join(piece for piece, _, _ in runs("x\U000e0020y")) == "xy"
    files = [file for _, file, _ in runs("Aع")]
    assert files == list(fonts())


def test_what_is_whole() -> None:
    assert uncut("a b c", ["a b", "c"])
    assert not uncut("a b c", ["a b"])
    assert not uncut("a bcd", ["a", "b…"])
