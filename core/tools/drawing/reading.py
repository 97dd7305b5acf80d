"""What people and models write where a chart needs arrays and numbers, read with bounds and named errors.

Arrays may come as JSON5 text (single quotes, trailing commas), numbers as ``"30"``, ``"1,234.5"`` or ``"45%"``, in full width
too. Every ``ValueError`` says what to write instead and never quotes what was written.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

import pyjson5

T = TypeVar("T")

LONGEST = 500_000
"""Characters of an array given as text."""
DEEPEST = 4
"""Arrays and objects within each other."""
_NUMBER = re.compile(r"[+-]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?\s*%?", re.IGNORECASE)
_LONGEST_NUMBER = 60


def parsed(value: object, example: str) -> object:
    """``value``, or what it says as JSON5 if it is a text; ``example`` is what the error shows."""
    if not isinstance(value, str):
        return value
    if len(value) > LONGEST:
        raise ValueError(f"is longer than {LONGEST:,} characters; send fewer items")
    try:
        return pyjson5.decode(value, DEEPEST)
    except pyjson5.Json5NestingTooDeep as error:
        raise ValueError(f"is nested deeper than {DEEPEST} levels; write it like {example}") from error
    except (pyjson5.Json5Exception, ValueError, RecursionError) as error:
        near = re.search(r"near (\d+)", str(error.args[0]) if error.args else "")
        where = f" (see character {near[1]})" if near and near[1] != "0" else ""
        raise ValueError(f"is not a JSON array{where}; write it like {example}") from error


def items(value: object, example: str, most: int) -> list[object]:
    """An array of at most so many items, itself or as JSON5 text."""
    read = parsed(value, example)
    if not isinstance(read, list):
        raise ValueError(f"must be an array; write it like {example}")
    if len(read) > most:
        raise ValueError(f"has {len(read):,} items, but {most:,} are the most; send fewer, or sums of them")
    return read


def each(read: Callable[[object], T], found: Iterable[object]) -> list[T]:
    """``read`` of every item; the error says which of them it is about."""
    done: list[T] = []
    for at, item in enumerate(found):
        try:
            done.append(read(item))
        except ValueError as error:
            raise ValueError(f"item {at} {error}") from error
    return done


def number(value: object) -> float:
    """A finite number, itself or as text."""
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER:
        text = unicodedata.normalize("NFKC", value).replace("−", "-").strip()
        if _NUMBER.fullmatch(text):
            value = float(text.rstrip("% ").replace(",", ""))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    try:
        read = float(value)
    except OverflowError:
        read = math.inf
    if not math.isfinite(read):
        raise ValueError("must be a finite number")
    return read


def numbers(values: Sequence[object]) -> list[float]:
    """All of them finite numbers."""
    # Most arrays hold nothing else, and a hundred thousand calls would hold up everyone else's requests.
    plain = [value for value in values if type(value) is int or type(value) is float]
    with suppress(OverflowError):
        if len(plain) == len(values) and all(map(math.isfinite, plain)):
            return list(map(float, plain))
    return each(number, values)


def label(value: object) -> str:
    """A text, or a number as its text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a text or a number")
    read = number(value)
    return str(int(read)) if read.is_integer() and abs(read) < 1e15 else repr(read)
