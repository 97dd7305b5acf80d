"""A scene as SVG or PNG, through matplotlib's renderers themselves: a Figure with Axes would spend most of its time measuring
ticks that are laid out here already. Both formats are drawn by the same calls, at 72 dots an inch, where points are pixels.

matplotlib is imported where it is used: it takes half a second, and writes into the user's folders as soon as it is loaded.
"""

import io
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.charts.scene import Anchor, Dots, Label, Point, Scene, Sector, Shape, rectangle
from core.charts.text import FAMILIES, runs

if TYPE_CHECKING:
    from matplotlib.backend_bases import RendererBase
    from matplotlib.font_manager import FontProperties

Path = tuple[Sequence[Point], Sequence[int]]
"""Points, and what each of them does."""

_HALF: dict[Anchor, float] = {"start": 0.0, "middle": 0.5, "end": 1.0}
_SIDES: dict[Anchor, Literal["left", "center", "right"]] = {"start": "left", "middle": "center", "end": "right"}
_AT_ONCE = 2_000
"""Dots or rings painted as one path; far longer ones overflow Agg's buffer of cells."""
_MOVE, _LINE, _CURVE, _CLOSE = 1, 2, 4, 79
"""matplotlib's codes of a path's points."""


def _settings() -> AbstractContextManager[None]:
    """matplotlib's own settings for as long as a scene is painted."""
    import matplotlib  # noqa: PLC0415

    return matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "pilothouse", "font.sans-serif": FAMILIES, "text.hinting": "none"}
    )


def svg(scene: Scene, title: str, description: str) -> bytes:
    """XML whose texts stay texts, with nothing in it to run, to fetch or to follow; the same bytes for the same scene."""
    from matplotlib.backends.backend_svg import RendererSVG  # noqa: PLC0415

    out = io.StringIO()
    with _settings():
        unsaid = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        renderer = RendererSVG(scene.width, scene.height, out, image_dpi=72, metadata=unsaid)  # type: ignore[no-untyped-call]
        _Painter(scene, renderer, as_text=True).paint()
        renderer.finalize()  # type: ignore[no-untyped-call]
    # matplotlib begins with a document type that names an address, sizes in points, and a style for every element of a page
    # that the picture is set into.
    body = out.getvalue().partition("</defs>\n")[2]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{scene.width}" height="{scene.height}"'
        f' viewBox="0 0 {scene.width} {scene.height}" role="img" aria-label="{escape(title or description)}"'
        f' stroke-linejoin="round">\n <title>{escape(title or description)}</title>\n <desc>{escape(description)}</desc>\n'
    )
    return (head + body).encode()


def png(scene: Scene) -> bytes:
    from matplotlib.backends.backend_agg import RendererAgg  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    with _settings():
        renderer = RendererAgg(scene.width, scene.height, 72)  # type: ignore[no-untyped-call]
        _Painter(scene, renderer, as_text=False).paint()
    buffer = renderer.buffer_rgba()  # type: ignore[no-untyped-call]
    pixels = Image.frombuffer("RGBA", (scene.width, scene.height), buffer, "raw", "RGBA", 0, 1)
    out = io.BytesIO()
    pixels.convert("RGB").save(out, "png", compress_level=2)
    return out.getvalue()


class _Painter:
    """One scene's marks as calls of one renderer."""

    def __init__(self, scene: Scene, renderer: "RendererBase", *, as_text: bool) -> None:
        from matplotlib.path import Path as DrawnPath  # noqa: PLC0415
        from matplotlib.text import Text  # noqa: PLC0415
        from matplotlib.transforms import Affine2D  # noqa: PLC0415

        self._scene = scene
        self._renderer = renderer
        self._context = renderer.new_gc()
        # Renderers count from the bottom.
        self._flip = Affine2D().scale(1, -1).translate(0, scene.height)
        self._anchor = Text(rotation_mode="anchor")
        self._as_text = as_text
        self._drawn = DrawnPath

    def paint(self) -> None:
        scene = self._scene
        self._path(_rings([rectangle(0, 0, scene.width, scene.height)], closed=True), fill=scene.background)
        for mark in scene.marks:
            if isinstance(mark, Label):
                self._label(mark)
            elif isinstance(mark, Shape):
                self._shape(mark)
            elif isinstance(mark, Sector):
                self._path(_sector(mark), fill=mark.fill, stroke=mark.stroke)
            else:
                self._dots(mark)

    def _path(
        self,
        path: Path,
        *,
        fill: str | None = None,
        stroke: str | None = None,
        width: float = 1.0,
        opacity: float = 1.0,
        dash: tuple[float, ...] = (),
        dot: bool = False,
    ) -> None:
        context = self._context
        context.set_linewidth(width if stroke else 0.0)
        context.set_foreground((*_rgb(stroke or "#000000"), opacity), isRGBA=True)
        context.set_dashes(0, dash or None)
        context.set_capstyle("round" if dot else "butt")
        # Drawn to whole pixels, a dot's line has no length left.
        context.set_snap(False if dot else None)
        points, codes = path
        # A hundredth of a pixel is more than can be seen, and half the digits.
        drawn = self._drawn(np.round(points, 2) if points else np.empty((0, 2)), codes)
        self._renderer.draw_path(context, drawn, self._flip, (*_rgb(fill), opacity) if fill else None)

    def _shape(self, shape: Shape) -> None:
        for first in range(0, len(shape.rings), _AT_ONCE):
            path = _rings(shape.rings[first : first + _AT_ONCE], shape.closed)
            self._path(path, fill=shape.fill, stroke=shape.stroke, width=shape.width, opacity=shape.opacity, dash=shape.dash)

    def _dots(self, dots: Dots) -> None:
        """Each a line of no length to speak of with round ends: the shortest way to say a disc in SVG."""
        for first in range(0, len(dots.points), _AT_ONCE):
            lines = [((x, y), (x + 0.01, y)) for x, y in dots.points[first : first + _AT_ONCE]]
            self._path(_rings(lines, closed=False), stroke=dots.fill, width=2 * dots.radius, opacity=dots.opacity, dot=True)

    def _label(self, label: Label) -> None:
        self._context.set_foreground((*_rgb(label.colour), 1.0), isRGBA=True)
        if self._as_text:
            self._anchor.set_position((label.x, self._scene.height - label.y))
            self._anchor.set_horizontalalignment(_SIDES[label.anchor])
            font = _family(label.size, label.bold)
            self._renderer.draw_text(self._context, label.x, label.y, label.text, font, label.angle, mtext=self._anchor)
            return
        cos, sin = math.cos(math.radians(label.angle)), math.sin(math.radians(label.angle))
        pieces = list(runs(label.text))
        along = -_HALF[label.anchor] * label.width
        for piece, file, width in pieces:
            # There is no bold face: the letters are written twice, a little apart.
            for shift in (-0.02 * label.size, 0.02 * label.size) if label.bold else (0.0,):
                x, y = label.x + (along + shift) * cos, label.y - (along + shift) * sin
                self._renderer.draw_text(self._context, x, y, piece, _file(file, label.size), label.angle)
            along += width * label.size


def _rings(rings: Sequence[Sequence[Point]], closed: bool) -> Path:
    points: list[Point] = []
    codes: list[int] = []
    for ring in rings:
        points.extend(ring)
        codes.append(_MOVE)
        codes.extend([_LINE] * (len(ring) - 1))
        if closed:
            points.append(ring[0])
            codes.append(_CLOSE)
    return points, codes


def _sector(sector: Sector) -> Path:
    outside = _arc(sector.centre, sector.radius, sector.start, sector.end)
    inside = _arc(sector.centre, sector.inner, sector.end, sector.start) if sector.inner else [sector.centre]
    curves = [_CURVE] * (len(outside) - 1)
    if sector.end - sector.start < 360:
        codes = [_MOVE, *curves, _LINE, *curves[: len(inside) - 1], _CLOSE]
        return [*outside, *inside, outside[0]], codes
    whole = [_MOVE, *curves, _CLOSE]
    if not sector.inner:
        return [*outside, outside[0]], whole
    return [*outside, outside[0], *inside, inside[0]], [*whole, *whole]


def _arc(centre: Point, radius: float, start: float, end: float) -> list[Point]:
    """A Bezier curve's points for each quarter of a turn at most."""
    pieces = max(1, math.ceil(abs(end - start) / 90))
    turn = math.radians(end - start) / pieces
    reach = 4 / 3 * math.tan(turn / 4) * radius
    points: list[Point] = []
    for piece in range(pieces + 1):
        angle = math.radians(start) + piece * turn
        sin, cos = math.sin(angle), math.cos(angle)
        x, y = centre[0] + radius * sin, centre[1] - radius * cos
        around = [(x - reach * cos, y - reach * sin), (x, y), (x + reach * cos, y + reach * sin)]
        points.extend(around[0 if piece else 1 : 3 if piece < pieces else 2])
    return points


@lru_cache(maxsize=200)
def _family(size: float, bold: bool) -> "FontProperties":
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415

    return FontProperties(family=["sans-serif"], size=size, weight="bold" if bold else "normal")


@lru_cache(maxsize=200)
def _file(file: str, size: float) -> "FontProperties":
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415

    return FontProperties(fname=file, size=size)


@lru_cache(maxsize=200)
def _rgb(colour: str) -> tuple[float, float, float]:
    return int(colour[1:3], 16) / 255, int(colour[3:5], 16) / 255, int(colour[5:], 16) / 255
