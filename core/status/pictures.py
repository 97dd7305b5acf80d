"""Small pictures of a service's past as paths: coordinates and nothing else, so that a page may set them into its own SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

Grade = Literal["good", "fair", "poor", "none"]
"""Of a day: ``fair`` had failures, ``poor`` many, of ``none`` nothing is known."""
FAIR = 0.999
POOR = 0.95


@dataclass(frozen=True, slots=True)
class Sparkline:
    """Values over time: ``line`` and the ``area`` beneath it as ``d`` of SVG paths; empty without two values in a row."""

    line: str
    area: str
    dots: tuple[tuple[float, float], ...] = ()
    """Values that have no neighbour to draw a line to."""
    highest: float | None = None


def sparkline(values: Sequence[float | None], width: float, height: float) -> Sparkline:
    """``values`` from left to right over zero; a gap is left where one is missing."""
    known = [value for value in values if value is not None]
    if not known:
        return Sparkline("", "")
    top = max(known) or 1.0
    step = width / max(1, len(values) - 1)
    points = [None if value is None else (index * step, height - value / top * height) for index, value in enumerate(values)]
    runs = [
        [point for point in run if point is not None] for there, run in groupby(points, lambda each: each is not None) if there
    ]
    lines = [run for run in runs if len(run) > 1]
    line = "".join("M" + "L".join(f"{x:.5g} {y:.5g}" for x, y in run) for run in lines)
    area = "".join(
        f"M{run[0][0]:.5g} {height:g}L" + "L".join(f"{x:.5g} {y:.5g}" for x, y in run) + f"L{run[-1][0]:.5g} {height:g}Z"
        for run in lines
    )
    return Sparkline(line, area, tuple(run[0] for run in runs if len(run) == 1), max(known))


def grade(share: float | None) -> Grade:
    """How a share of working looks is coloured."""
    if share is None:
        return "none"
    return "good" if share >= FAIR else "fair" if share >= POOR else "poor"


def bars(shares: Sequence[float | None], step: float, height: float) -> Mapping[Grade, str]:
    """One upright line for each share, ``step`` apart, as one path for each grade; worse days are shorter at the top of the
    bar, so that they differ by more than colour."""
    paths: dict[Grade, list[str]] = {}
    for index, share in enumerate(shares):
        kind = grade(share)
        top = {"good": 0.0, "fair": 0.25, "poor": 0.5, "none": 0.8}[kind] * height
        paths.setdefault(kind, []).append(f"M{(index + 0.5) * step:g} {top:g}V{height:g}")
    return {kind: "".join(parts) for kind, parts in paths.items()}
