"""Where the services of a platform stand in its picture: above what they need, on levels, with few lines that cross."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from core.sweeps.observation import State
from core.topology.graph import Graph

WIDTH, HEIGHT = 158, 38
"""Of a service's box."""
ACROSS, DOWN = 16, 44
"""Between two boxes of a level, and between two levels."""
LANE = 12
"""Room for a line that passes a level between its boxes."""
MARGIN = 8
WIDEST = 6
"""Boxes side by side; a level of more takes several rows."""
PASSES = 6

Spot = str | tuple[str, int]
"""A service by name, or where the lines to a service pass the row of that number between boxes: one lane for all of them."""
Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Item:
    """A service to be drawn. ``needs`` and ``hints`` may name services that are not drawn."""

    name: str
    title: str
    state: State
    needs: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Box:
    """A service in the picture, by its upper left corner."""

    item: Item
    x: float
    y: float

    @property
    def label(self) -> str:
        """The title, cut where it would not fit."""
        return fitted(self.item.title)


@dataclass(frozen=True, slots=True)
class Line:
    """From a service to what it needs, as ``d`` of an SVG path; ``hint``: it only seems to need it."""

    path: str
    hint: bool
    troubled: bool
    """What it leads to is down."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The whole, in pixels. ``alone`` counts services that neither need nor are needed, and are not drawn."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    alone: int = 0


def picture(items: Iterable[Item]) -> Picture | None:
    """The services with what they need; None where nothing needs anything."""
    drawn = {item.name: item for item in items}
    graph = Graph({name: item.needs for name, item in drawn.items()}, {name: item.hints for name, item in drawn.items()})
    firm = {name: _shown(name, graph) for name in drawn}
    soft = {name: set(graph.hints[name]) - set(graph.needs[name]) for name in drawn}
    edges = [(name, need) for name in sorted(drawn) for need in sorted(firm[name] | soft[name])]
    joined = {name for edge in edges for name in edge}
    if not joined:
        return None
    rows = _rows(Graph({name: sorted(firm[name] | soft[name]) for name in sorted(joined)}).levels())
    lanes = _with_lanes(rows, edges)
    _untangle(rows, lanes)
    places = _placed(rows)
    boxes = [Box(drawn[spot], *places[spot]) for row in rows for spot in row if isinstance(spot, str)]
    lines = [
        Line(_path([places[spot] for spot in lane]), hint, drawn[need].state == "down")
        for hint in (True, False)
        for (name, need), lane in lanes.items()
        if (need in soft[name]) == hint
    ]
    return Picture(
        width=max(x + (WIDTH if isinstance(spot, str) else (WIDTH + LANE) / 2) for spot, (x, _) in places.items()) + MARGIN,
        height=max(box.y for box in boxes) + HEIGHT + MARGIN,
        boxes=tuple(boxes),
        lines=tuple(lines),
        alone=len(drawn) - len(joined),
    )


def fitted(title: str, room: int = 17) -> str:
    """``title`` cut to ``room`` letters' width, of which a Chinese one takes two."""
    taken = fits = 0
    for letter in title:
        taken += 2 if ord(letter) > 0x2E7F else 1
        fits += taken < room
        if taken > room:
            return title[:fits] + "…"
    return title


def _shown(name: str, graph: Graph[str]) -> set[str]:
    """What a service needs, less what it needs through another need anyway: compose files name everything twice."""
    needs = set(graph.needs[name])
    reached = {need: graph.ancestors([need]) for need in needs}
    # Of two that need one another, the first by name stays.
    return {
        far for far in needs if not any(far in reached[via] and (via not in reached[far] or via < far) for via in needs - {far})
    }


def _rows(levels: Sequence[Sequence[str]]) -> list[list[Spot]]:
    """From the ground up, none too wide."""
    rows: list[list[Spot]] = []
    for level in levels:
        count = -(-len(level) // WIDEST)
        each = -(-len(level) // count)
        rows += [list(level[at : at + each]) for at in range(0, len(level), each)]
    return rows


def _with_lanes(rows: list[list[Spot]], edges: Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[Spot]]:
    """The spots that each line passes, from end to end; its lanes are put into ``rows``."""
    row_of = {spot: index for index, row in enumerate(rows) for spot in row}
    lanes: dict[tuple[str, str], list[Spot]] = {}
    for name, need in edges:
        between: list[Spot] = [(need, index) for index in range(row_of[name] - 1, row_of[need], -1)]
        for index, lane in zip(range(row_of[name] - 1, row_of[need], -1), between, strict=True):
            if lane not in row_of:
                row_of[lane] = index
                rows[index].append(lane)
        lanes[name, need] = [name, *between, need]
    return lanes


def _untangle(rows: Sequence[list[Spot]], lanes: Mapping[tuple[str, str], Sequence[Spot]]) -> None:
    """Sort each row so that neighbours stand near: every spot at the mean of where those it is joined to stand."""
    near: dict[Spot, list[Spot]] = {spot: [] for row in rows for spot in row}
    for lane in lanes.values():
        for upper, lower in pairwise(lane):
            near[upper].append(lower)
            near[lower].append(upper)
    place = {spot: x for row in rows for spot, x in _across(row)}
    for turn in range(PASSES):
        for row in rows if turn % 2 == 0 else reversed(rows):
            wanted = {spot: sum(place[each] for each in near[spot]) / max(1, len(near[spot])) for spot in row}
            row[:] = sorted(row, key=wanted.__getitem__)
            place.update(_across(row))


def _across(row: Sequence[Spot]) -> list[tuple[Spot, float]]:
    """Where the middle of each spot is, seen from the middle of the row."""
    found: list[tuple[Spot, float]] = []
    at = 0.0
    for spot in row:
        room = WIDTH if isinstance(spot, str) else LANE
        found.append((spot, at + room / 2))
        at += room + ACROSS
    return [(spot, x - (at - ACROSS) / 2) for spot, x in found]


def _placed(rows: Sequence[Sequence[Spot]]) -> dict[Spot, Place]:
    """The upper left corner of each box; of a lane the same, as if it were one."""
    left = min(x - (WIDTH if isinstance(spot, str) else LANE) / 2 for row in rows for spot, x in _across(row)) - MARGIN
    return {
        spot: (x - WIDTH / 2 - left, MARGIN + (len(rows) - 1 - index) * (HEIGHT + DOWN))
        for index, row in enumerate(rows)
        for spot, x in _across(row)
    }


def _path(places: Sequence[Place]) -> str:
    """From the lower edge of the first box to the upper edge of the last; where that is not below it, around."""
    (x, y), *rest = [(corner_x + WIDTH / 2, corner_y) for corner_x, corner_y in places]
    if rest[-1][1] <= y:
        end_x, end_y = rest[-1]
        deep = y + HEIGHT + DOWN * 0.6
        return f"M{x:g} {y + HEIGHT:g}C{x:g} {deep:g} {end_x:g} {deep:g} {end_x:g} {end_y + HEIGHT:g}"
    path = f"M{x:g} {y + HEIGHT:g}"
    for following_x, following_y in rest:
        half = (y + HEIGHT + following_y) / 2
        path += f"C{x:g} {half:g} {following_x:g} {half:g} {following_x:g} {following_y:g}"
        x, y = following_x, following_y
        if (following_x, following_y) != rest[-1]:
            path += f"V{y + HEIGHT:g}"
    return path
