"""How wide a text is, where it may break and which font shows it, read from the fonts' own tables.

Pictures of pixels are written in Noto Sans SC, and in matplotlib's DejaVu Sans where that has no glyph. A text in an SVG is shown
in whatever its reader has, so there it is taken to be as wide as the wider of the two.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from core.errors import PartMissing

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

FAMILIES = ["Noto Sans SC", "PingFang SC", "Microsoft YaHei"]
"""What an SVG asks its reader for, before its default sans-serif."""
BOLD = 1.12
"""How much wider a reader's own bold face may be. Ours is the regular one, thickened."""
UNKNOWN = "□"

_IDEOGRAPHS = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
_CLOSING = "，。、；：！？）】》」』"
"""Marks that begin no line."""
_WORDS = re.compile(f"[{_IDEOGRAPHS}][{_CLOSING}]*|[^\\s{_IDEOGRAPHS}]+")


@cache
def fonts() -> tuple[str, str]:
    """The files of Noto Sans SC and DejaVu Sans, in the order they are tried. Raises ``PartMissing``."""
    import matplotlib  # noqa: PLC0415  (loading it writes into the user's folders)

    package = find_spec("zhplot")
    folders = package.submodule_search_locations if package else None
    chinese = Path(folders[0] if folders else "zhplot", "fonts", "NotoSansSC-Regular.ttf")
    if not chinese.is_file():
        raise PartMissing("The package zhplot, which carries the font for Chinese labels, is missing; install zhplot==1.0.0.")
    return str(chinese), str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))


@cache
def _font(file: str) -> "FT2Font":
    from matplotlib.ft2font import FT2Font  # noqa: PLC0415

    return FT2Font(file)


@lru_cache(maxsize=30_000)
def _advances(char: str) -> tuple[float | None, float | None]:
    """The width of ``char`` in either font, in ems; None where it has no glyph."""
    from matplotlib.ft2font import LoadFlags  # noqa: PLC0415

    found: list[float | None] = []
    for file in fonts():
        font = _font(file)
        if font.get_char_index(ord(char)):
            glyph = font.load_char(ord(char), flags=LoadFlags.NO_SCALE)
            found.append(glyph.horiAdvance / font.units_per_EM)
        else:
            found.append(None)
    return found[0], found[1]


@lru_cache(maxsize=30_000)
def _painted(char: str) -> tuple[str, int]:
    """What stands for ``char`` in pixels, and the number of the font that has it; empty for what only joins or varies others."""
    chinese, other = _advances(char)
    if chinese is not None or other is not None:
        return char, 0 if chinese is not None else 1
    return ("", 0) if unicodedata.category(char) in {"Cf", "Mn", "Me"} else (UNKNOWN, 0)


@lru_cache(maxsize=30_000)
def _width(char: str, anywhere: bool) -> float:
    """In ems; ``anywhere`` for a reader whose fonts we do not know."""
    if not anywhere:
        shown, font = _painted(char)
        return (_advances(shown)[font] or 0.0) if shown else 0.0
    known = [advance for advance in _advances(char) if advance is not None]
    if known:
        return max(known)
    return 0.0 if unicodedata.category(char) in {"Cf", "Mn", "Me"} else 1.3


def runs(text: str) -> Iterator[tuple[str, str, float]]:
    """``text`` as pixels can show it, cut where the font changes: each piece, its font's file, and its width in ems."""
    painted = [_painted(char) for char in text]
    for font, group in groupby(painted, key=lambda each: each[1]):
        piece = "".join(char for char, _ in group)
        if piece:
            yield piece, fonts()[font], sum(_advances(char)[font] or 0.0 for char in piece)


def uncut(text: str, lines: Sequence[str]) -> bool:
    """Whether ``lines`` hold all of ``text``."""
    return "".join(lines).replace(" ", "") == text.replace(" ", "")


@dataclass(frozen=True, slots=True)
class Ruler:
    """Measures texts for one format of picture; sizes and widths are in pixels."""

    format: Literal["svg", "png"]

    def width(self, text: str, size: float, bold: bool = False) -> float:
        anywhere = self.format == "svg"
        return size * (BOLD if bold and anywhere else 1.0) * sum(_width(char, anywhere) for char in text)

    def cut(self, text: str, size: float, room: float, bold: bool = False) -> str:
        """``text``, or as much of its beginning as fits ``room`` with an ellipsis; empty if not one character does."""
        if self.width(text, size, bold) <= room:
            return text
        start = self._start(text, size, room - self.width("…", size, bold), bold)
        return start.rstrip() + "…" if start else ""

    def cut_apart(self, texts: Sequence[str], size: float, room: float) -> list[str]:
        """Each of ``texts`` cut to ``room``: at its end or, where that would make different ones alike, in its middle."""
        cut = [self.cut(text, size, room) for text in texts]
        if len(set(cut)) == len(set(texts)):
            return cut
        half = (room - self.width("…", size)) / 2
        return [
            text if text == short else self._start(text, size, half) + "…" + self._start(text[::-1], size, half)[::-1]
            for text, short in zip(texts, cut, strict=True)
        ]

    def _start(self, text: str, size: float, room: float, bold: bool = False) -> str:
        """As many whole characters as fit."""
        for at, char in enumerate(text):
            room -= self.width(char, size, bold)
            if room < 0:
                return text[:at]
        return text

    def lines(self, text: str, size: float, room: float, most: int, bold: bool = False) -> list[str]:
        """``text`` broken between words (and anywhere in Chinese) into ``most`` lines or fewer, cut if need be."""
        broken: list[str] = []
        line = ""
        at = 0
        for word in _WORDS.finditer(text):
            longer = text[at : word.end()]
            if line and self.width(longer, size, bold) > room:
                if len(broken) == most - 1:
                    line = text[at:]
                    break
                broken.append(line)
                at, longer = word.start(), word.group()
            line = longer
        return [self.cut(each, size, room, bold) for each in [*broken, line]]

    def balanced(self, text: str, size: float, room: float, most: int) -> list[str]:
        """As ``lines``, but all of them about as long as the others."""
        lines = self.lines(text, size, room, most)
        if len(lines) == 1 or not uncut(text, lines):
            return lines
        narrower = self.width(text, size) / len(lines)
        while narrower < room:
            tried = self.lines(text, size, narrower, len(lines))
            if uncut(text, tried):
                return tried
            narrower += size / 2
        return lines
