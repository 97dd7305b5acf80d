"""``keep``: which backups stay, as a table of rules or in one line such as ``7 days``."""

from dataclasses import fields
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

EXPECTED = 'expected rules such as "7 days", "7 daily, 4 weekly, 6 monthly" or { last = 3, daily = 7 }'

Count = Annotated[int, Field(ge=0, le=10_000)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class KeepSettings:
    """Which good backups of a source stay: the newest of each of so many hours, days, weeks, months, years that have one."""

    days: Annotated[float, Field(ge=0, le=36_500)] = 0
    """Every one that is younger."""
    last: Count = 0
    """So many of the newest, whenever they were made."""
    hourly: Count = 0
    daily: Count = 0
    weekly: Count = 0
    monthly: Count = 0
    yearly: Count = 0

    def __post_init__(self) -> None:
        if not any(getattr(self, rule) for rule in RULES):
            raise ValueError(f"keeps nothing: {EXPECTED}")

    def __str__(self) -> str:
        """As one line that can be configured again."""
        return ", ".join(f"{getattr(self, rule):g} {rule}" for rule in RULES if getattr(self, rule))


RULES = tuple(field.name for field in fields(KeepSettings))
_SHORT = {"day": "days", "hour": "hourly", "hours": "hourly", "week": "weekly", "weeks": "weekly", "month": "monthly"} | {
    "months": "monthly",
    "year": "yearly",
    "years": "yearly",
}


def _table(value: object) -> object:
    """``7 daily, 4 weekly`` as the table that it stands for."""
    if isinstance(value, dict):
        unknown = [str(rule) for rule in value if rule not in RULES]
        if unknown:
            raise ValueError(f"unknown rule {unknown[0]}; expected some of {', '.join(RULES)}")
        return value
    if not isinstance(value, str):
        return value
    table: dict[str, float] = {}
    for item in value.split(","):
        rule, count = _rule(item)
        if rule in table:
            raise ValueError(f"{rule} is said twice; {EXPECTED}")
        table[rule] = count
    return table


def _rule(item: str) -> tuple[str, float]:
    words = item.split()
    if len(words) == 2 and words[0] == "last":
        words.reverse()
    if len(words) != 2 or not words[0].isdecimal():
        raise ValueError(EXPECTED)
    rule = _SHORT.get(words[1], words[1])
    if rule not in RULES:
        raise ValueError(f"unknown rule {words[1]}; {EXPECTED}")
    return rule, int(words[0])


Keep = Annotated[KeepSettings, BeforeValidator(_table)]
