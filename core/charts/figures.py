"""Names with numbers found in a text: the rows of a table, a list, or a sentence such as "apples 3, pears 5 and plums 2".

Small models copy figures wrongly, so what a text says plainly is read here and not left to them. What is not plain is left:
every number has to have a name, all names stand on the same side of their numbers, no name comes twice, and what else is said
beside the numbers is the same for all (a unit).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

LONGEST = 8_000
"""Characters of a text that are looked at."""
MOST = 100
"""Names; a chart of more is nothing that is asked for in a sentence."""

_UNIT = r"(?:\s?(?:%|％|°C|°F|°|[€$£¥]|[元万亿个人次年岁分票]|(?:km|cm|mm|kg|mg|ms|MB|GB|TB|m|g|s|h|k|percent)(?![A-Za-z])))?"
NUMBER = re.compile(rf"(?<![A-Za-z0-9_.])[€$£¥]?(-?(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?){_UNIT}(?![A-Za-z0-9_])")
_QUOTED = re.compile(r"\"([^\"\n]{1,100})\"|“([^”\n]{1,100})”|「([^」\n]{1,100})」|《([^》\n]{1,100})》")
_BREAK = re.compile(r"[;；、，\n|]|,(?!\d{3}(?!\d))|\.(?=\s|$)|[。!?！？]|\s(?:and|und|et|y)\s|[和与及]")
_INTRODUCTION = re.compile(r"^.*[:：](?=\s*[^\W\d][^:：]*\d)")
_THOUSANDS = re.compile(r"(?<!\d)(\d{1,3}),(?=\d{3}(?!\d))")
_OF_A_NAME = re.compile(r"\s*(?:[:：=]|[-–—](?=\s)|\s(?:has|had|is|was|were|got)\s)\s*")
"""Between a number that is (part of) a name and the number itself: ``2019: 5``, ``week 1 had 100``."""
_YEAR = re.compile(r"(?:19|20)\d\d")
_AT = {"on", "in", "at", "for", "during"}
_STEP = _AT | {
    *(
        "a",
        "an",
        "the",
        "I",
        "we",
        "my",
        "our",
        "of",
        "with",
        "from",
        "about",
        "showing",
        "where",
        "that",
        "to",
        "by",
        "as",
        "per",
    ),
    *("over", "or", "than", "vs", "between", "using", "into", "out"),
}
_IS = {
    *("has", "have", "had", "is", "are", "was", "were", "got", "sold", "scored", "earned", "spent", "made", "equals"),
    *("I", "we", "you", "he", "she", "it", "they"),
    *("=", ":", "：", "-", "–", "是", "为", "有"),
}
_NO_NAME = {
    *("chart", "charts", "graph", "plot", "diagram", "draw", "make", "show", "create"),
    *("top", "last", "first", "next", "least", "most", "it", "them", "these", "those"),
}
_EDGE = " \t-–—*•·#>()[]{}:：=\"'`“”"

Side = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Figures:
    """``series`` by name, each with a value for every label; a single one may have no name ("")."""

    labels: Sequence[str]
    series: Mapping[str, Sequence[float]]


def figures(text: str) -> Figures | None:
    """What the text says plainly, else None."""
    found = _table(text[:LONGEST]) or _sentence(text[:LONGEST])
    return found if found is not None and 2 <= len(found.labels) <= MOST else None


def numbers_in(text: str) -> list[float]:
    """Every number that is no part of a name such as Q1 or 9am."""
    return [_value(found) for found in NUMBER.finditer(text[:LONGEST])]


def quoted(text: str) -> str | None:
    """The first thing in quotation marks, which in a request for a chart is its title."""
    found = _QUOTED.search(text[:LONGEST])
    return next(filter(None, found.groups())).strip() or None if found else None


def _value(found: re.Match[str]) -> float:
    return float(found[1].replace(",", ""))


def _table(text: str) -> Figures | None:
    """Lines of cells, mostly under a line of names: Markdown, or separated by tabs, semicolons or commas."""
    text = _THOUSANDS.sub(r"\1", text)
    for mark in ("|", "\t", ";", ","):
        marked = (line.strip().strip("|") for line in text.splitlines() if mark in line)
        lines = [cells for line in marked if any(cells := [cell.strip(_EDGE) for cell in line.split(mark)])]
        if len(lines) < 2 or len(lines[0]) < 2:
            continue
        rows = [cells for cells in lines if len(cells) == len(lines[0])]
        headless = all(map(_number, rows[0][1:])) and not all(map(_YEAR.fullmatch, rows[0][1:]))
        names = [""] * len(rows[0]) if headless else rows[0]
        found = _columns(names, rows if headless else rows[1:])
        if found is not None:
            return found
    return None


def _columns(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Figures | None:
    series: dict[str, list[float]] = {}
    for at in range(1, len(names)):
        cells = [found for row in rows if (found := _number(row[at])) is not None]
        if len(cells) == len(rows):
            series[names[at] or (f"{at}" if len(names) > 2 else "")] = [_value(cell) for cell in cells]
    return Figures([row[0] for row in rows], series) if series and all(row[0] for row in rows) else None


def _number(cell: str) -> re.Match[str] | None:
    return NUMBER.fullmatch(cell)


def _sentence(text: str) -> Figures | None:
    text = _QUOTED.sub(" ", text)
    parts = [_INTRODUCTION.sub("", part) for part in _BREAK.split(text) if NUMBER.search(part)]
    parts = _led_alike(parts)
    for side in ("before", "after"):
        pairs = [pair for part in parts for pair in _pairs(part, side)]
        names = _alike([name for name, _ in pairs], side)
        if (
            len(pairs) > 1
            and _uniform(parts, side)
            and all(map(_good, names))
            and len({name.casefold() for name in names}) == len(names)
        ):
            return Figures(names, {"": [value for _, value in pairs]})
    return None


def _uniform(parts: Sequence[str], side: Side) -> bool:
    """Whether the parts are written alike: the same behind each number (a unit) or nothing of weight before it."""
    if side == "before":
        return len({part[list(NUMBER.finditer(part))[-1].end() :].strip(_EDGE).casefold() for part in parts[:-1]}) < 2
    heads = [next(NUMBER.finditer(part)).start() for part in parts]
    words = (word for part, head in zip(parts[1:], heads[1:], strict=True) for word in part[:head].strip(_EDGE).split())
    return all(_key(word) in _STEP | _IS for word in words)


def _led_alike(parts: list[str]) -> list[str]:
    """``230 visitors on Monday``, ``180 on Tuesday``: the first without what it counts, as the others are."""
    tails = [NUMBER.split(part)[-1].split() for part in parts]
    lead = next((words[0] for words in tails if words and words[0] in _AT), None)
    if lead is None:
        return parts
    counted = re.compile(rf"(?<=\d)\D*?\s(?={lead}\s)")
    return [counted.sub(" ", part, count=1) for part in parts]


def _pairs(part: str, side: Side) -> Iterable[tuple[str, float]]:
    found = list(NUMBER.finditer(part))
    if len(found) == 2 and _OF_A_NAME.fullmatch(part[found[0].end() : found[1].start()]):
        yield f"{_before(part[: found[0].start()])} {found[0][1]}".strip(), _value(found[1])
    elif side == "before":
        ends = [0, *(one.end() for one in found)]
        yield from ((_before(part[start : one.start()]), _value(one)) for start, one in zip(ends, found, strict=False))
    else:
        # Of several numbers in a part without a name before them, nobody knows which words belong to which.
        yield from ((_after(part[one.end() :]) if len(found) == 1 else "", _value(one)) for one in found)


def _before(text: str) -> str:
    """``draw a chart of Mont Blanc is`` -> ``Mont Blanc``."""
    words = text.strip(_EDGE).split()
    while words and _key(words[-1]) in _IS:
        words.pop()
    start = next((at + 1 for at in reversed(range(len(words))) if _key(words[at]) in _STEP | _IS), 0)
    return " ".join(words[start:]).strip(_EDGE)


def _after(text: str) -> str:
    """``of cookies as a chart`` -> ``cookies``."""
    words = text.strip(_EDGE).split()
    while words and _key(words[0]) in _STEP:
        words.pop(0)
    end = next((at for at, word in enumerate(words) if _key(word) in _STEP | _IS), len(words))
    return " ".join(words[:end]).strip(_EDGE)


def _key(word: str) -> str:
    """A name may be the letter A."""
    return word if len(word) == 1 else word.casefold()


def _alike(names: list[str], side: Side) -> list[str]:
    """The outermost name may have words of the request stuck to it: it keeps as many as the longest other one has."""
    if len(names) < 2:
        return names
    at = 0 if side == "before" else len(names) - 1
    others = [name for place, name in enumerate(names) if place != at]
    words, most = names[at].split(), max(len(name.split()) for name in others)
    kept = " ".join(words[-most:] if side == "before" else words[:most]) if most else names[at]
    if len(words) == 1 and not kept.isascii():
        kept = _window(kept, others[0], max(map(len, others)))
    return [kept if place == at else name for place, name in enumerate(names)]


def _window(name: str, other: str, size: int) -> str:
    """Of a name in a script without spaces, the ``size`` characters most like another name."""
    windows = [name[start : start + size] for start in range(max(1, len(name) - size + 1))]
    return max(reversed(windows), key=lambda window: sum(map(str.__eq__, window, other)))


def _good(name: str) -> bool:
    return 0 < len(name) <= 60 and not {word.casefold() for word in name.split()} <= _NO_NAME
