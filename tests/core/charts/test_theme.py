"""Colours that can be seen and, by readers who are blind to some, told apart."""

import math
from itertools import pairwise

import pytest

from core.charts.chart import Chart
from core.charts.theme import Theme, blend, contrast, theme_of

# Machado, Oliveira and Fernandes (2009): what is left of linear red, green and blue at full severity.
BLINDNESS = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
}


def theme(**look: str) -> Theme:
    return theme_of(Chart.model_validate({"type": "bar", "series": [{"values": [1]}]} | look))


THEMES = [theme(), theme(theme="dark")]


@pytest.mark.parametrize("colours", THEMES, ids=["light", "dark"])
def test_everything_stands_out_from_the_background(colours: Theme) -> None:
    assert all(contrast(colour, colours.background) >= 3 for colour in colours.palette)
    assert contrast(colours.title, colours.background) >= 7
    assert contrast(colours.text, colours.background) >= 7
    assert contrast(colours.muted, colours.background) >= 4.5


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("colours", THEMES, ids=["light", "dark"])
def test_neighbouring_colours_differ_to_every_eye(colours: Theme, blindness: str) -> None:
    """By 20 or more in CIE 1976's distance, of which 2 can just be noticed."""
    seen = [lab(colour, blindness) for colour in colours.palette]
    assert min(distance(one, other) for one, other in pairwise(seen)) >= 20
    assert min(distance(seen[at], seen[to]) for at in range(4) for to in range(at)) >= 20


def test_the_base_chart_looks_like_fastgpts() -> None:
    colours = theme(style="fastgpt")
    assert (colours.background, colours.title, colours.palette[0]) == ("#f5f5f5", "#464646", "#5470c6")
    assert contrast(colours.text, colours.background) >= 4.5


def test_a_blend_lies_between() -> None:
    assert [blend("#000000", "#ff8000", share) for share in (0, 0.5, 1)] == ["#000000", "#804000", "#ff8000"]
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def lab(colour: str, blindness: str) -> tuple[float, float, float]:
    """CIELAB (D65) of ``colour`` as it is seen."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    red, green, blue = (
        max(0.0, sum(share * part for share, part in zip(row, linear, strict=True))) for row in BLINDNESS[blindness]
    )
    xyz = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
    )
    x, y, z = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def distance(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    return math.dist(one, other)
