"""A chart as data: what a caller asks for, checked; knows nothing of drawing."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

ChartType = Literal["line", "bar", "pie", "donut", "scatter", "area", "histogram", "box", "radar", "heatmap", "mixed", "funnel"]


class Series(BaseModel):
    """One series. ``values`` are: heights (line, bar, area, mixed, radar), slices (pie, donut, funnel), y (scatter), samples
    (histogram, box), or one row of cells (heatmap). None is a missing value."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)

    name: str = ""
    values: list[float | None]
    x: list[float] | None = None
    """Scatter only: as many as ``values``; without it, their positions from 1."""
    type: Literal["bar", "line", "area"] | None = None
    """Mixed only."""


class Chart(BaseModel):
    """A whole chart. ``labels`` name categories (line, bar, area, mixed), slices, radar axes, or heatmap columns."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)

    type: ChartType
    title: str = ""
    x_title: str = ""
    y_title: str = ""
    labels: list[str] = []
    series: list[Series]
    stacked: bool = False
    horizontal: bool = False
    width: int = Field(800, ge=200, le=2400)
    height: int = Field(500, ge=150, le=2400)
    theme: Literal["light", "dark"] = "light"
    format: Literal["svg", "png"] = "svg"


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn chart. ``alt`` says in words what it shows."""

    data: bytes
    media_type: str
    alt: str
