"""Pies and donuts: slices from twelve o'clock on, each with its name and share beside it, or all of them in a list."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.charts.scene import Sector, Shape, rectangle
from core.charts.sheet import LINE, Box, Sheet
from core.charts.theme import blend

_FEW = 8
"""Slices that may be named around the pie; more are listed beside it."""
_HOLE = 0.58
"""A donut's inner radius, of its outer."""
_ROW = 1.6
"""Of the font size: from one row of the list to the next."""


@dataclass(frozen=True, slots=True)
class _Slice:
    name: str
    share: float
    start: float
    """Degrees from twelve o'clock."""
    end: float
    colour: str

    @property
    def middle(self) -> float:
        return math.radians((self.start + self.end) / 2)


def draw(sheet: Sheet) -> None:
    slices, area = _slices(sheet), sheet.area
    names = max(sheet.width(_said(slice_)) for slice_ in slices)
    arm = 2.2 * sheet.size
    radius = min(area.height / 2 - 0.6 * sheet.size, area.width / 2 - arm - min(names, 0.3 * area.width))
    if len(slices) <= _FEW and radius > 0.3 * min(area.width, area.height):
        _disc(sheet, slices, area, radius)
        for right in (True, False):
            _beside(sheet, [each for each in slices if (math.sin(each.middle) >= 0) == right], radius, right)
        return
    box = _list(sheet, slices)
    _disc(sheet, slices, box, max(8.0, min(box.width, box.height) / 2))


def _slices(sheet: Sheet) -> list[_Slice]:
    """Those above zero; once the palette is used up, its colours return paler."""
    chart, palette = sheet.chart, sheet.theme.palette
    parts = [(name, value) for name, value in zip(sheet.names(), chart.series[0].values, strict=True) if value]
    whole = sum(value for _, value in parts)
    slices, reached = [], 0.0
    for at, (name, value) in enumerate(parts):
        paler = 0.3 * min(2, at // len(palette))
        end = 360 * math.fsum((reached, value)) / whole if at + 1 < len(parts) else 360.0
        colour = blend(palette[at % len(palette)], sheet.theme.background, paler)
        slices.append(_Slice(name, value / whole, 360 * reached / whole, end, colour))
        reached += value
    return slices


def _percent(share: float) -> str:
    if share < 0.0005:
        return "<0.1%"
    return f"{100 * share:.1f}".removesuffix(".0") + "%"


def _said(each: _Slice) -> str:
    return f"{each.name} {_percent(each.share)}".lstrip()


def _disc(sheet: Sheet, slices: Sequence[_Slice], box: Box, radius: float) -> None:
    centre = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    inner = _HOLE * radius if sheet.chart.type == "donut" else 0.0
    for each in slices:
        sheet.scene.add(Sector("slice", centre, radius, inner, each.start, each.end, each.colour, sheet.theme.background))


def _beside(sheet: Sheet, slices: Sequence[_Slice], radius: float, right: bool) -> None:
    """Name the slices of one side at their heights, moved apart where they are close, each with a line to its slice."""
    area, size = sheet.area, sheet.size
    x, y = (area.left + area.right) / 2, (area.top + area.bottom) / 2
    side = 1 if right else -1
    ordered = sorted(slices, key=lambda each: -math.cos(each.middle))
    wanted = [y - (radius + 0.6 * size) * math.cos(each.middle) for each in ordered]
    heights = _apart(wanted, LINE * size, area.top + 0.6 * size, area.bottom - 0.6 * size)
    for each, height in zip(ordered, heights, strict=True):
        sin, cos = math.sin(each.middle), math.cos(each.middle)
        edge = x + (radius + 2) * sin, y - (radius + 2) * cos
        # Beside the disc the text keeps clear of it; above and below, it may begin nearer to the middle.
        rise = max(0.0, abs(height - y) - 0.6 * size)
        reach = math.sqrt(max(0.0, radius**2 - rise**2)) + 0.8 * size
        elbow = x + side * max(reach, abs(edge[0] - x) + 0.3 * size), height
        end = elbow[0] + side * 0.5 * size, height
        room = (area.right - end[0] if right else end[0] - area.left) - 0.4 * size
        percent = _percent(each.share)
        name = sheet.ruler.cut(each.name, size, room - sheet.width(f" {percent}"))
        if sheet.write(
            "slice name", f"{name} {percent}".lstrip(), end[0] + side * 0.4 * size, height, "start" if right else "end"
        ):
            sheet.scene.add(Shape("leader", [(edge, elbow, end)], stroke=sheet.theme.axis, closed=False))


def _apart(wanted: Sequence[float], space: float, top: float, bottom: float) -> list[float]:
    """Heights near the ``wanted``, ``space`` apart: pushed down from the top, then back up from the bottom."""
    heights = [max(height, top) for height in wanted]
    for at in range(1, len(heights)):
        heights[at] = max(heights[at], heights[at - 1] + space)
    limit = bottom
    for at in reversed(range(len(heights))):
        heights[at] = min(heights[at], limit)
        limit = heights[at] - space
    return heights


def _list(sheet: Sheet, slices: Sequence[_Slice]) -> Box:
    """All slices with their shares, largest room permitting, on the right or below; gives the box that is left."""
    area, size = sheet.area, sheet.size
    row, swatch, gap = _ROW * size, 0.9 * size, 2 * size
    below = area.height > 1.1 * area.width
    rows = max(1, int((area.height * (0.45 if below else 1.0)) / row))
    shown = list(slices if len(slices) <= rows else slices[: rows - 1])
    percents = max(sheet.width(_percent(each.share)) for each in slices) + size
    names = max(sheet.width(each.name) for each in shown) if shown else 0.0
    wide = min(names, (0.8 if below else 0.5) * area.width - percents - swatch - size)
    right = area.right if not below else (area.left + area.right + swatch + size + wide + percents) / 2
    left = right - percents - wide - 0.6 * size - swatch
    height = row * min(rows, len(slices))
    top = area.bottom - height if below else (area.top + area.bottom - height) / 2
    for at, each in enumerate(shown):
        y = top + (at + 0.5) * row
        mark = rectangle(left, y - swatch / 2, left + swatch, y + swatch / 2)
        sheet.scene.add(Shape("swatch", [mark], fill=each.colour))
        sheet.write("slice name", sheet.ruler.cut(each.name, size, wide), left + swatch + 0.6 * size, y)
        sheet.write("share", _percent(each.share), right, y, "end", colour=sheet.theme.muted)
    if len(shown) < len(slices):
        y, rest = top + (rows - 0.5) * row, slices[len(shown) :]
        sheet.write("slice name", f"+{len(rest)}", left + swatch + 0.6 * size, y, colour=sheet.theme.muted)
        sheet.write("share", _percent(sum(each.share for each in rest)), right, y, "end", colour=sheet.theme.muted)
    if below:
        return Box(area.left, area.top, area.right, max(area.top + 20, top - size))
    return Box(area.left, area.top, max(area.left + 20, left - gap), area.bottom)
