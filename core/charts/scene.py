"""A picture as plain marks (shapes, sectors, dots, texts) in pixels from the left top corner, before anything paints it.

The scene keeps every text's outline, and takes no text that would leave the picture or cover another: whatever a layout
overlooks shows up as a label left out, never as two labels over each other.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]

ASCENT = 0.92
DESCENT = 0.26
"""Of the font size: how far a text reaches above and below its baseline, in the fonts that may show it."""
MIDDLE = 0.36
"""Of the font size: from the middle of a line's capitals down to its baseline."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Rings of points, painted as one path: filled, stroked or both. ``role`` says what it stands for."""

    role: str
    rings: Sequence[Sequence[Point]]
    fill: str | None = None
    stroke: str | None = None
    width: float = 1.0
    opacity: float = 1.0
    dash: tuple[float, ...] = ()
    closed: bool = True


@dataclass(frozen=True, slots=True)
class Sector:
    """A slice of a disc, or of a ring with an ``inner`` radius. Angles are in degrees, clockwise from twelve o'clock."""

    role: str
    centre: Point
    radius: float
    inner: float
    start: float
    end: float
    fill: str
    stroke: str


@dataclass(frozen=True, slots=True)
class Dots:
    """Round dots of one size and colour."""

    role: str
    points: Sequence[Point]
    radius: float
    fill: str
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Label:
    """One line of text; ``x`` and ``y`` are its anchor on the baseline, ``angle`` turns it counter-clockwise around that."""

    role: str
    text: str
    x: float
    y: float
    size: float
    colour: str
    width: float
    anchor: Anchor = "start"
    angle: float = 0.0
    bold: bool = False

    def outline(self) -> tuple[Point, Point, Point, Point]:
        """The corners of the text's box, in order."""
        left = {"start": 0.0, "middle": -self.width / 2, "end": -self.width}[self.anchor]
        top, right, bottom = -ASCENT * self.size, left + self.width, DESCENT * self.size
        corners = (left, top), (right, top), (right, bottom), (left, bottom)
        if not self.angle:
            return tuple((self.x + x, self.y + y) for x, y in corners)  # type: ignore[return-value]
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        return tuple((self.x + x * cos + y * sin, self.y - x * sin + y * cos) for x, y in corners)  # type: ignore[return-value]


Mark = Shape | Sector | Dots | Label


@dataclass(slots=True)
class Scene:
    """Marks in the order of painting, on a ``background``."""

    width: int
    height: int
    background: str
    marks: list[Mark] = field(default_factory=list)
    _outlines: list[tuple[Sequence[Point], tuple[float, float, float, float]]] = field(default_factory=list)

    def add(self, *marks: Shape | Sector | Dots) -> None:
        self.marks.extend(marks)

    def write(self, label: Label) -> bool:
        """Whether ``label`` was taken: it has text, lies inside the picture and clear of every text before it."""
        if not label.text or not self.free(label):
            return False
        outline = label.outline()
        self._outlines.append((outline, _bounds(outline)))
        self.marks.append(label)
        return True

    def free(self, label: Label) -> bool:
        """Whether ``label`` would lie inside the picture and clear of every text so far."""
        outline = label.outline()
        left, top, right, bottom = bounds = _bounds(outline)
        if left < 0 or top < 0 or right > self.width or bottom > self.height:
            return False
        return not any(_touch(bounds, other) and overlap(outline, corners) for corners, other in self._outlines)

    def labels(self, role: str | None = None) -> list[Label]:
        return [mark for mark in self.marks if isinstance(mark, Label) and role in (None, mark.role)]

    def shapes(self, role: str) -> list[Shape | Sector | Dots]:
        return [mark for mark in self.marks if not isinstance(mark, Label) and mark.role == role]


def rectangle(left: float, top: float, right: float, bottom: float) -> tuple[Point, Point, Point, Point]:
    return (left, top), (right, top), (right, bottom), (left, bottom)


def overlap(one: Sequence[Point], other: Sequence[Point]) -> bool:
    """Whether two convex outlines cover a common area: no side of either has the other wholly beyond it."""
    return not any(_parted(one, other, side) for outline in (one, other) for side in _sides(outline))


def _sides(outline: Sequence[Point]) -> Iterable[Point]:
    for at, (x, y) in enumerate(outline):
        before_x, before_y = outline[at - 1]
        yield y - before_y, before_x - x


def _parted(one: Sequence[Point], other: Sequence[Point], normal: Point) -> bool:
    first = [x * normal[0] + y * normal[1] for x, y in one]
    second = [x * normal[0] + y * normal[1] for x, y in other]
    return max(first) <= min(second) or max(second) <= min(first)


def _bounds(outline: Sequence[Point]) -> tuple[float, float, float, float]:
    xs, ys = [x for x, _ in outline], [y for _, y in outline]
    return min(xs), min(ys), max(xs), max(ys)


def _touch(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
