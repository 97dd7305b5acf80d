"""The names along a category axis, arranged so that none is cut by the picture or covers its neighbour."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.charts.sheet import LINE, Sheet
from core.charts.text import uncut

_ANGLE = 45.0
_SIN = math.sin(math.radians(_ANGLE))
_WORDY = 3
"""Lines that a name may be broken into."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Every ``every``-th name, as its ``lines``, turned by ``angle``; together they are ``depth`` pixels high."""

    names: Sequence[str]
    every: int
    lines: dict[int, list[str]]
    angle: float
    depth: float


def arrange(sheet: Sheet, names: Sequence[str], step: float, room: float, *, all_wanted: bool) -> Arrangement:
    """Names ``step`` pixels apart along the bottom, in at most ``room`` pixels of height.

    Side by side if they fit; else broken into lines; else fewer of them where each need not be read (``all_wanted`` false: points
    in an order); else aslant, cut to the room, and as many as there is room for.
    """
    size, gap = sheet.size, 0.7 * sheet.size
    shown = {at: name for at, name in enumerate(names) if name}
    widest = max((sheet.width(name) for name in shown.values()), default=0.0)
    if widest + gap <= step:
        return Arrangement(names, 1, {at: [name] for at, name in shown.items()}, 0.0, LINE * size)
    if step >= 3.5 * size:
        broken = {at: sheet.ruler.balanced(name, size, step - gap, _WORDY) for at, name in shown.items()}
        most = max(len(lines) for lines in broken.values())
        if all(uncut(name, broken[at]) for at, name in shown.items()) and most * LINE * size <= room:
            return Arrangement(names, 1, broken, 0.0, most * LINE * size)
    # Every fifth or tenth reads better than every seventh.
    slanted = _even(max(1, math.ceil(1.45 * size / (step * _SIN))))
    level = _even(math.ceil((widest + 2 * gap) / step))
    if (not all_wanted or 1 < slanted >= level / 3) and widest <= 9 * size and len(names) >= 3 * level:
        return Arrangement(names, level, {at: [names[at]] for at in range(0, len(names), level)}, 0.0, LINE * size)
    longest = min(widest, room / _SIN - size)
    cut = sheet.ruler.cut_apart(names[::slanted], size, longest)
    lines = {at: [name] for at, name in zip(range(0, len(names), slanted), cut, strict=True)}
    return Arrangement(names, slanted, lines, _ANGLE, min(room, longest * _SIN + size))


def _even(every: int) -> int:
    """``every`` or the next number above it that people count in."""
    if every <= 4:
        return every
    power = 10.0 ** math.floor(math.log10(every))
    return next(round(power * step) for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if power * step >= max(5, every))


def along_bottom(sheet: Sheet, arranged: Arrangement, centres: Sequence[float], top: float) -> None:
    """Write the names below ``top``."""
    size = sheet.size
    for at, lines in arranged.lines.items():
        if arranged.angle:
            # What would begin left of the picture is cut at its end.
            text = sheet.ruler.cut(lines[0], size, (centres[at] - 2) / _SIN - size)
            sheet.write("category", text, centres[at] + 0.3 * size, top + 0.75 * size, "end", angle=arranged.angle)
            continue
        for row, line in enumerate(lines):
            half = sheet.width(line) / 2
            x = min(max(centres[at], half + 1), sheet.scene.width - half - 1)
            sheet.write("category", line, x, top + (row + 0.5) * LINE * size, "middle")


def along_side(sheet: Sheet, names: Sequence[str], centres: Sequence[float], right: float, room: float) -> None:
    """Write the names left of ``right``, in ``room`` pixels each; where rows are too low, only every second, third, …"""
    size = sheet.size
    step = abs(centres[1] - centres[0]) if len(centres) > 1 else sheet.area.height
    every = max(1, math.ceil(1.2 * size / step))
    most = max(1, min(2, int(step / (LINE * size))))
    shown = names[::every]
    short = sheet.ruler.cut_apart(shown, size, room)
    for at, name, whole in zip(range(0, len(names), every), short, shown, strict=True):
        lines = [name] if most == 1 else sheet.ruler.balanced(whole, size, room, most)
        for row, line in enumerate(lines):
            sheet.write("category", line, right, centres[at] + (row - (len(lines) - 1) / 2) * LINE * size, "end")
