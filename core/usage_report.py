"""The usage report for programs: which days it is about, and its lines as JSON or CSV."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from core.errors import InputInvalid
from core.store.usage import BY, By, Used

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
LONGEST = 3660
"""Days that a report may be about."""
LINES: Mapping[By, tuple[str, ...]] = {
    "workspace": ("workspace",),
    "model": ("provider", "model"),
    "day": ("day",),
    "token": ("token", "name"),
    "tool": ("tool",),
}
NUMBERS = ("turns", "tool_runs", "errors", "prompt_tokens", "completion_tokens")
# What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Days:
    """From the first day to the last, both included, in a zone."""

    first: date
    last: date
    zone: ZoneInfo

    @property
    def since(self) -> datetime:
        return datetime.combine(self.first, time(), self.zone)

    @property
    def until(self) -> datetime:
        return datetime.combine(self.last + timedelta(days=1), time(), self.zone)

    @property
    def all(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]


def days(first: str | None, last: str | None, zone: str) -> Days:
    """``YYYY-MM-DD`` each; from the month's first until today where nothing is said. Raises ``InputInvalid``."""
    where = ZoneInfo(zone)
    today = datetime.now(where).date()
    end = _day(last, "to") or today
    begin = _day(first, "from") or min(end, today).replace(day=1)
    if not timedelta(0) <= end - begin <= timedelta(days=LONGEST):
        raise InputInvalid(f"from: expected a day before `to`, and at most {LONGEST} days.", field="from")
    return Days(begin, end, where)


def by_of(value: str) -> By:
    """Raises ``InputInvalid``."""
    for each in BY:
        if value == each:
            return each
    raise InputInvalid(f"by: expected one of {', '.join(BY)}.", field="by")


def total(lines: Iterable[Used]) -> Used:
    """All of them in one."""
    all_ = list(lines)
    cost: dict[str, float] = {}
    for line in all_:
        for currency, amount in line.cost.items():
            cost[currency] = cost.get(currency, 0.0) + amount
    return Used(
        turns=sum(line.turns for line in all_),
        tool_runs=sum(line.tool_runs for line in all_),
        errors=sum(line.errors for line in all_),
        prompt_tokens=sum(line.prompt_tokens for line in all_),
        completion_tokens=sum(line.completion_tokens for line in all_),
        cost=cost,
    )


def told(line: Used, by: By | None = None) -> dict[str, Any]:
    """As JSON values; ``cost`` by currency, of what had a price."""
    names = {name: getattr(line, name) for name in LINES[by]} if by is not None else {}
    return names | {
        "turns": line.turns,
        "toolRuns": line.tool_runs,
        "errors": line.errors,
        "promptTokens": line.prompt_tokens,
        "completionTokens": line.completion_tokens,
        "cost": {currency: round(amount, 6) for currency, amount in sorted(line.cost.items())},
    }


def as_csv(lines: Sequence[Used], by: By) -> str:
    """With a heading; a column of costs for each currency."""
    currencies = sorted({currency for line in lines for currency in line.cost})
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*LINES[by], *NUMBERS, *(f"cost_{currency}" for currency in currencies)])
    for line in lines:
        named = [_plain(str(getattr(line, name))) for name in LINES[by]]
        costs = ["" if currency not in line.cost else f"{line.cost[currency]:.6f}" for currency in currencies]
        writer.writerow([*named, *(getattr(line, name) for name in NUMBERS), *costs])
    return out.getvalue()


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _day(value: str | None, field: str) -> date | None:
    if not value:
        return None
    try:
        if DAY.fullmatch(value) is None:
            raise ValueError
        return date.fromisoformat(value)
    except ValueError as error:
        raise InputInvalid(f"{field}: expected a day such as 2026-11-21.", field=field) from error
