"""A chart as data: what a caller asks for, checked; knows nothing of drawing.

Infinite values and NaN count as missing. Texts become one line without control characters, and what is longer than anyone
would read is cut.
"""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

ChartType = Literal["line", "bar", "pie", "donut", "scatter", "area", "histogram", "box", "radar", "heatmap", "mixed", "funnel"]

MAX_POINTS = 100_000
MAX_LABELS = 10_000
MAX_SERIES = 100
MAX_SPOKES = 60
MAX_TEXT = 300
LARGEST = 1e100
"""Values beyond it are refused: sums of them could not be drawn."""
SLICED = ("pie", "donut", "funnel")
SAMPLED = ("scatter", "histogram", "box")
"""Types whose series are samples: of any length each, and with no labels."""

# What XML cannot hold and what would move the text beside it: controls, surrogates, bidirectional overrides, noncharacters.
_UNWANTED = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]+")


def _text(value: object) -> object:
    """A number (a year, say) becomes its text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value).removesuffix(".0")
    if not isinstance(value, str):
        return value
    line = " ".join(_UNWANTED.sub("", value[: 10 * MAX_TEXT]).split())
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"


Text = Annotated[str, BeforeValidator(_text)]
_CONFIG = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Series(BaseModel):
    """One series. ``values`` are: heights (line, bar, area, mixed, radar), slices (pie, donut, funnel), y (scatter), samples
    (histogram, box), or one row of cells (heatmap). None is a missing value."""

    model_config = _CONFIG

    name: Text = ""
    values: list[float | None] = Field(max_length=MAX_POINTS)
    x: list[float | None] | None = Field(None, max_length=MAX_POINTS)
    """Scatter only: as many as ``values``; without it, their positions from 1."""
    type: Literal["bar", "line", "area"] | None = None
    """Mixed only; there, bars unless said otherwise."""

    @field_validator("values", "x")
    @classmethod
    def _finite(cls, values: list[float | None] | None) -> list[float | None] | None:
        if values is None:
            return None
        large = next((at for at, value in enumerate(values) if value is not None and LARGEST < abs(value) < math.inf), None)
        if large is not None:
            raise ValueError(f"item {large} is beyond ±{LARGEST:g}, the largest value that can be drawn")
        return [value if value is not None and math.isfinite(value) else None for value in values]


class Chart(BaseModel):
    """A whole chart. ``labels`` name categories (line, bar, area, mixed), slices, radar axes, or heatmap columns; left out, they
    are numbered from 1."""

    model_config = _CONFIG

    type: ChartType
    title: Text = ""
    x_title: Text = ""
    y_title: Text = ""
    labels: list[Text] = Field([], max_length=MAX_LABELS)
    series: list[Series] = Field(min_length=1, max_length=MAX_SERIES)
    stacked: bool = False
    """Bars and areas only, like ``horizontal`` for bars; other types take no notice."""
    horizontal: bool = False
    width: int = Field(800, ge=200, le=2400)
    height: int = Field(500, ge=150, le=2400)
    theme: Literal["light", "dark"] = "light"
    style: Literal["standard", "fastgpt"] = "standard"
    """``fastgpt`` looks like the base chart of FastGPT's plugin service: grey background, no legend, its first colours."""
    format: Literal["svg", "png"] = "svg"

    @model_validator(mode="after")
    def _drawable(self) -> Self:
        """Raises ``ValueError`` naming the first field that makes no chart."""
        _series_fit(self)
        if sum(len(series.values) for series in self.series) > MAX_POINTS:
            raise ValueError(f"series hold more than {MAX_POINTS:,} values together; send fewer, or sums of them")
        if all(value is None for series in self.series for value in series.values):
            raise ValueError("series hold no number, so there is nothing to draw")
        if self.type in SLICED:
            _slices_fit(self)
        elif self.type in SAMPLED:
            _samples_fit(self)
        else:
            _lengths_fit(self)
        if self.type == "radar" and not 3 <= len(self.series[0].values) <= MAX_SPOKES:
            raise ValueError(f"series.0.values must hold 3 to {MAX_SPOKES} numbers for a radar chart; take a bar chart instead")
        return self


def _series_fit(chart: Chart) -> None:
    for at, series in enumerate(chart.series):
        if series.type is not None and chart.type != "mixed":
            raise ValueError(f"series.{at}.type is for mixed charts only; leave it out, or set type to mixed")
        if series.x is None:
            continue
        if chart.type != "scatter":
            raise ValueError(f"series.{at}.x is for scatter charts only; name positions in labels instead")
        if len(series.x) != len(series.values):
            raise ValueError(f"series.{at}.x has {len(series.x)} items, but its values are {len(series.values)}")


def _lengths_fit(chart: Chart) -> None:
    expected, of = (len(chart.labels), "labels") if chart.labels else (len(chart.series[0].values), "series.0.values")
    for at, series in enumerate(chart.series):
        if len(series.values) != expected:
            raise ValueError(f"series.{at}.values has {len(series.values)} items, but {of} has {expected}; they must be as many")
    if expected > MAX_LABELS:
        raise ValueError(f"series.0.values has more than {MAX_LABELS:,} items; send fewer, or sums of them")


def _slices_fit(chart: Chart) -> None:
    if len(chart.series) > 1:
        raise ValueError(f"series must hold one series for a {chart.type} chart, not {len(chart.series)}")
    _lengths_fit(chart)
    values = [value for value in chart.series[0].values if value is not None]
    if min(values) < 0:
        raise ValueError(f"series.0.values holds a negative number, which a {chart.type} chart cannot show; take a bar chart")
    if max(values) == 0:
        raise ValueError(f"series.0.values holds nothing above 0, so a {chart.type} chart has nothing to show")


def _samples_fit(chart: Chart) -> None:
    if chart.labels and not (chart.type == "box" and len(chart.labels) == len(chart.series)):
        raise ValueError(f"labels have no place in a {chart.type} chart; leave them out, and name the series")


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn chart. ``alt`` says in words what it shows."""

    data: bytes
    media_type: str
    alt: str
