"""Colours: quiet ones for what frames a chart, and palettes that colour-blind readers can tell apart."""

from dataclasses import dataclass

from core.charts.chart import Chart


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours as ``#rrggbb``."""

    background: str
    title: str
    text: str
    muted: str
    """Names of axes, and what is said beside the data."""
    grid: str
    axis: str
    palette: tuple[str, ...]
    ramp: tuple[str, str]
    """From little to much, for heatmaps."""
    below: str
    """The far end of a heatmap's negative half."""


# After Okabe and Ito's colours: moved until each has a contrast of 3:1 with the background, and neighbours differ to every eye.
_LIGHT = Theme(
    background="#ffffff",
    title="#1b1e23",
    text="#3c424b",
    muted="#6b7280",
    grid="#e6e8eb",
    axis="#9aa1ab",
    palette=("#0072b2", "#bf4b00", "#009e73", "#c080ad", "#b98300", "#489ade", "#7b528f", "#6f7680"),
    ramp=("#eaf2f8", "#00548a"),
    below="#a84300",
)
_DARK = Theme(
    background="#17191e",
    title="#f3f4f6",
    text="#cfd3da",
    muted="#9aa1ac",
    grid="#2c3038",
    axis="#5d6470",
    palette=("#56a8e0", "#e69f00", "#2fb893", "#c4539f", "#f0e442", "#e5703a", "#9e7be5", "#c3cad5"),
    ramp=("#232f3c", "#7cc4f5"),
    below="#f08a4b",
)
_FASTGPT = Theme(
    background="#f5f5f5",
    title="#464646",
    text="#6e7079",
    muted="#6e7079",
    grid="#e0e6f1",
    axis="#6e7079",
    palette=("#5470c6", "#91cc75", "#fac858", "#ee6666", "#73c0de", "#3ba272", "#fc8452", "#9a60b4", "#ea7ccc"),
    ramp=("#eaf2f8", "#5470c6"),
    below="#ee6666",
)


def theme_of(chart: Chart) -> Theme:
    if chart.theme == "dark":
        return _DARK
    return _FASTGPT if chart.style == "fastgpt" else _LIGHT


def blend(one: str, other: str, share: float) -> str:
    """The colour ``share`` of the way from ``one`` to ``other``."""
    pairs = ((int(one[at : at + 2], 16), int(other[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def luminance(colour: str) -> float:
    """Relative luminance from 0 to 1, as WCAG 2 defines it."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """From 1 (none) to 21 (black on white), as WCAG 2 defines it."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)
