"""What tests see in a drawn chart: texts with their outlines, measured by the fonts' own tables, and the shapes between them."""

import math
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Literal
from xml.etree import ElementTree

from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

from core.charts.scene import Point, overlap
from core.charts.text import fonts

SVG = "{http://www.w3.org/2000/svg}"
_PLACE = re.compile(r"rotate\((-?[\d.]+) (-?[\d.]+) (-?[\d.]+)\)")


@dataclass(frozen=True)
class Seen:
    """One text of a picture."""

    text: str
    corners: tuple[Point, ...]


@dataclass(frozen=True)
class Svg:
    """A parsed picture."""

    root: ElementTree.Element

    @property
    def size(self) -> tuple[int, int]:
        return int(self.root.attrib["width"]), int(self.root.attrib["height"])

    @property
    def texts(self) -> list[Seen]:
        return [_seen(each) for each in self.root.iter(f"{SVG}text")]

    @property
    def words(self) -> list[str]:
        return [each.text for each in self.texts]

    def fills(self, colour: str) -> list[str]:
        """The outlines of all shapes of one colour, without the background."""
        paths = self.root.findall(f"{SVG}path")[1:]
        found = [path.attrib["d"] for path in paths if f"fill: {colour}" in path.attrib["style"]]
        return [ring for path in found for ring in re.findall(r"M[^M]*", path)]

    def strokes(self, colour: str) -> list[str]:
        paths = self.root.findall(f"{SVG}path")[1:]
        found = [path.attrib["d"] for path in paths if f"stroke: {colour}" in path.attrib["style"]]
        return [ring for path in found for ring in re.findall(r"M[^M]*", path)]


def parsed(data: bytes) -> Svg:
    return Svg(ElementTree.fromstring(data))


def collisions(picture: Svg) -> list[tuple[str, str]]:
    """Pairs of texts over each other."""
    return [(one.text, other.text) for one, other in combinations(picture.texts, 2) if overlap(one.corners, other.corners)]


def cut_off(picture: Svg) -> list[str]:
    """Texts that reach beyond the picture."""
    width, height = picture.size
    return [
        each.text
        for each in picture.texts
        if not all(-0.5 <= x <= width + 0.5 and -0.5 <= y <= height + 0.5 for x, y in each.corners)
    ]


@cache
def _advances(file: str) -> dict[int, float]:
    """The width of each character that a font has, in ems."""
    with TTFont(file, lazy=True) as font:
        return {code: font["hmtx"][glyph][0] / font["head"].unitsPerEm for code, glyph in font.getBestCmap().items()}


def _width(char: str) -> float:
    """In our fonts; of what neither has, about that of an emoji, but nothing for what only joins or varies others."""
    for file in fonts():
        if ord(char) in _advances(file):
            return _advances(file)[ord(char)]
    return 0.0 if unicodedata.category(char) in {"Cf", "Mn", "Me"} else 1.0


def _seen(element: ElementTree.Element) -> Seen:
    """Its box from the top of its capitals to the bottom of its descenders, in Noto Sans SC."""
    text, style = element.text or "", dict(part.split(": ") for part in element.attrib["style"].split("; "))
    size = float(style["font-size"].removesuffix("px"))
    width = size * sum(_width(char) for char in text)
    found = _PLACE.fullmatch(element.attrib["transform"])
    assert found, element.attrib["transform"]
    angle, x, y = (float(part) for part in found.groups())
    anchor: Literal["start", "middle", "end"] = style["text-anchor"]  # type: ignore[assignment]
    left = {"start": 0.0, "middle": -width / 2, "end": -width}[anchor]
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    corners = [(left, -0.74 * size), (left + width, -0.74 * size), (left + width, 0.2 * size), (left, 0.2 * size)]
    return Seen(text, tuple((x + a * cos - b * sin, y + a * sin + b * cos) for a, b in corners))
