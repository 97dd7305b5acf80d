"""What a database answered to a reading statement, as JSON says it, and how much of it there may be."""

import base64
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Protocol

import orjson

from core.errors import DatabaseUnavailable, InputInvalid, PilothouseError, ToolFailed, ToolTimedOut

SIZE = 1_000_000
"""Bytes of JSON that the rows of one answer may have."""
CELL = 10_000
"""Characters of one value; of a longer one the rest is cut off."""
LONGEST = 100_000
"""Characters of a statement."""
ELLIPSIS = "…"
EXACT = 2**53 - 1
"""Whole numbers up to here are the same in every reader of JSON."""
AT_ONCE = 8
"""Queries that run at a time on one database."""
CONNECT = 5
"""Seconds to connect."""
GRACE = 2.0
"""Seconds that a server has beyond its own limit before the query is ended from here."""
TABLES = 40
"""Tables that are named where one was asked for that is not there."""
ONLY_QUERIES = (
    " One reading statement is run (SELECT, VALUES, TABLE or WITH); "
    "information_schema.tables and information_schema.columns tell what there is."
)


@dataclass(frozen=True, slots=True)
class Rows:
    """``rows`` hold JSON values in the order of ``columns``; ``truncated`` when a limit cut off rows or parts of values."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    truncated: bool


class Readable(Protocol):
    """A database that may be asked."""

    @property
    def description(self) -> str:
        """What is in it."""

    async def query(self, sql: str) -> Rows:
        """The answer to one statement that only reads.

        Raises ``InputInvalid`` (the statement), ``ToolFailed`` (the database), ``ToolTimedOut``, ``DatabaseUnavailable``.
        """

    async def aclose(self) -> None:
        """Let go of what is kept between queries."""


def statement(sql: str) -> str:
    """The text as it goes to a server, without the semicolon at its end. Raises ``InputInvalid`` for what cannot be sent."""
    text = sql.strip().rstrip("; \t\r\n")
    if not text:
        raise InputInvalid("There is no statement to run; write one SELECT.", field="sql")
    if len(text) > LONGEST:
        raise InputInvalid(f"The statement is longer than {LONGEST:,} characters.", field="sql")
    if re.search("[\0\ud800-\udfff]", text):
        raise InputInvalid("The statement holds a character that no database takes (NUL, half of a surrogate pair).", field="sql")
    return text


def too_long(seconds: float) -> ToolTimedOut:
    return ToolTimedOut(f"The query took longer than {seconds:g} s; ask for less, such as fewer rows or one month.")


def broken_off(name: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(f'Database "{name}" broke off the query; try again in a moment.', retry_after=5)


def not_utf8(name: str) -> ToolFailed:
    return ToolFailed(f'Database "{name}" holds texts there that are not UTF-8; select other columns.')


def unreachable(name: str, *, login: bool) -> PilothouseError:
    """Why there is no connection (``login``: the server did not let us in), without the host and user that a driver names."""
    place = f"databases.{name}.url"
    if login:
        return ToolFailed(f'Database "{name}" refused the login; check user, password and database in {place}.')
    return DatabaseUnavailable(
        f'Database "{name}" does not answer; is it running and the address in {place} right?', retry_after=5
    )


def there_are(tables: Sequence[str]) -> str:
    """The tables to choose from, as a sentence after the one that says that one is missing."""
    if not tables:
        return " There is no table that may be read."
    return f" The tables are: {', '.join(tables[:TABLES])}{', …' if len(tables) > TABLES else ''}."


class Gathering:
    """Rows as they come, until there are enough."""

    def __init__(self, columns: Sequence[str], limit: int, size: int = SIZE) -> None:
        self._columns = tuple(columns)
        self._limit = limit
        self._left = size
        self._rows: list[list[object]] = []
        self._truncated = False

    def add(self, row: Sequence[object]) -> bool:
        """Whether the row was taken; if not, nothing more will be."""
        if len(self._rows) < self._limit:
            values = [cut(plain(value)) for value in row]
            self._truncated = self._truncated or any(was_cut for _, was_cut in values)
            taken = [value for value, _ in values]
            self._left -= len(orjson.dumps(taken))
            if self._left >= 0:
                self._rows.append(taken)
                return True
        self._truncated = True
        return False

    def end(self, truncated: bool = False) -> Rows:
        """What was gathered; ``truncated`` says that the reader itself had to leave something out."""
        return Rows(self._columns, self._rows, self._truncated or truncated)


def plain(value: object) -> object:
    """The value as JSON says it.

    A number is a JSON number where every reader of JSON reads all its digits, else a text; what is no number is null. Bytes are
    base64, dates and times as RFC 3339 has them.
    """
    said: object = value
    match value:
        case None | bool():
            pass
        case int():
            said = value if abs(value) <= EXACT else str(value)
        case float():
            said = value if math.isfinite(value) else None
        case Decimal():
            said = _number(value)
        case str():
            said = value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
        case bytes() | bytearray() | memoryview():
            said = base64.b64encode(value).decode()
        case datetime() | date() | time():
            said = value.isoformat()
        case Mapping():
            said = {str(plain(key)): plain(inner) for key, inner in value.items()}
        case list() | tuple():
            said = [plain(inner) for inner in value]
        case _:
            said = str(value)
    return said


def cut(value: object) -> tuple[object, bool]:
    """The value, or as much of it as one may have, and whether that is less."""
    if isinstance(value, dict | list):
        text = _json(value)
        return (value, False) if text is not None and len(text) <= CELL else cut(text or str(value))
    if isinstance(value, str) and len(value) > CELL:
        return value[:CELL] + ELLIPSIS, True
    return value, False


def read_json(text: str) -> object:
    """A document as ``plain`` has it; what cannot be read, or is nested too deep to be written again, stays a text."""
    try:
        value = plain(_DECODER.decode(text))
    except (ValueError, RecursionError):
        return text
    return text if _json(value) is None else value


def table(found: Rows, rows: int = 50, width: int = 100, size: int = 20_000) -> str:
    """The answer as a Markdown table for a model or a chat, of at most so many ``rows`` and about ``size`` characters."""
    lines = [_line(found.columns, width), _line(["---"] * len(found.columns), width)]
    for row in found.rows[:rows]:
        lines.append(_line(row, width))
        size -= len(lines[-1])
        if size < 0:
            break
    shown, there_are = len(lines) - 2, len(found.rows)
    if shown < there_are or found.truncated:
        more = " or more" if found.truncated else ""
        lines += ["", f"({shown} of {there_are}{more} rows)"]
    elif not there_are:
        lines += ["", "(no rows)"]
    return "\n".join(lines)


def _line(values: Sequence[object], width: int) -> str:
    return f"| {' | '.join(_cell(value, width) for value in values)} |"


def _cell(value: object, width: int) -> str:
    text = "" if value is None else value if isinstance(value, str) else _json(value) or ""
    shown = text if len(text) <= width else text[:width] + ELLIPSIS
    return " ".join(shown.split()).replace("\\", "\\\\").replace("|", "\\|")


def _number(value: Decimal) -> object:
    near = float(value) if value.is_finite() else math.nan
    if not value.is_finite():
        return None
    if not math.isfinite(near) or Decimal(repr(near)) != value:
        return str(value)
    return int(value) if value == value.to_integral_value() and abs(value) <= EXACT else near


def _json(value: object) -> str | None:
    try:
        orjson.dumps([[[[value]]]])  # as deep as it will lie in an answer
        return orjson.dumps(value).decode()
    except TypeError:
        return None


# Python reads no whole number of more than 4300 digits, and one of more than 16 becomes a text anyway.
_DECODER = json.JSONDecoder(
    parse_int=lambda text: int(text) if len(text) <= 17 else text,
    parse_float=lambda text: Decimal(text) if len(text) <= 60 else text,
)
