"""Maintenance windows: when a service may be down without anybody being told.

``daily 01:00-01:30``, ``Sun 02:00-04:00``, ``Mon-Fri 22:00-06:00 Asia/Shanghai`` (past midnight it ends the next day) or once,
``2026-12-01 22:00/2026-12-02 02:00``. Without a zone the configured one holds. A window keeps to the clock on the wall: on a day
when the clocks change it begins and ends at its times, and is an hour longer or shorter. A time that the clocks skip counts as
the moment when they do; of an hour that comes twice a beginning is the first and an end the second.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from core.settings_types import time_zone

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EXPECTED = (
    'expected "Sun 02:00-04:00", "Mon-Fri 22:00-06:00 Europe/Berlin", "daily 01:00-01:30" or "2026-12-01 22:00/2026-12-02 02:00"'
)
_WEEKLY = re.compile(
    r"(?P<days>[a-z]{3,9}(?:[-,][a-z]{3,9})*)\s+(?P<begin>\d{1,2}:\d{2})\s*-\s*(?P<end>\d{1,2}:\d{2})(?:\s+(?P<zone>\S+))?", re.I
)
_MOMENT = r"\d{4}-\d{2}-\d{2}[ T]\d{1,2}:\d{2}"
_ONCE = re.compile(rf"(?P<begin>{_MOMENT})\s*/\s*(?P<end>{_MOMENT})(?:\s+(?P<zone>\S+))?")


@dataclass(frozen=True, slots=True)
class Window:
    """Times on the clock of ``zone`` (None: the configured one): on ``days`` (0 is Monday), or ``once``."""

    days: frozenset[int] = frozenset()
    begin: time = time(0)
    end: time = time(0)
    once: tuple[datetime, datetime] | None = None
    zone: str | None = None

    def holds(self, now: datetime, zone: str) -> bool:
        """Whether ``now`` lies in it; ``zone`` for a window that names none."""
        here = ZoneInfo(self.zone or zone)
        if self.once is not None:
            return _first(self.once[0], here) <= now < _second(self.once[1], here)
        today = now.astimezone(here).date()
        # Yesterday's may last past midnight, and past the change of the clocks.
        return any(_lies(now, day, self, here) for day in (today - timedelta(days=1), today) if day.weekday() in self.days)


def window(text: str) -> Window:
    """The window that ``text`` says. Raises ``ValueError``."""
    plain = text.strip()
    try:
        if once := _ONCE.fullmatch(plain):
            begin, end = (datetime.fromisoformat(_padded(once[key])) for key in ("begin", "end"))
            if end <= begin:
                raise ValueError
            return Window(once=(begin, end), zone=_zone(once["zone"]))
        if weekly := _WEEKLY.fullmatch(plain):
            begins, ends = (_clock(weekly[key]) for key in ("begin", "end"))
            return Window(_days(weekly["days"].lower()), begins, ends, zone=_zone(weekly["zone"]))
    except ValueError as error:
        raise ValueError(str(error) if "zone" in str(error) else EXPECTED) from error
    raise ValueError(EXPECTED)


def checked(text: str) -> str:
    """The same text. Raises ``ValueError`` for what is no window."""
    window(text)
    return text.strip()


def in_maintenance(windows: tuple[str, ...], now: datetime, zone: str) -> bool:
    """Whether one of them holds ``now``."""
    return any(window(each).holds(now, zone) for each in windows)


def _lies(now: datetime, day: date, one: Window, here: ZoneInfo) -> bool:
    # From a time to the same time is a whole day.
    last = day + timedelta(days=1) if one.end <= one.begin else day
    return _first(datetime.combine(day, one.begin), here) <= now < _second(datetime.combine(last, one.end), here)


def _first(moment: datetime, here: ZoneInfo) -> datetime:
    return _real(moment, here, fold=0)


def _second(moment: datetime, here: ZoneInfo) -> datetime:
    return _real(moment, here, fold=1)


def _real(moment: datetime, here: ZoneInfo, fold: int) -> datetime:
    """In UTC; a time that the clocks skip as the moment when they do."""
    one, other = (moment.replace(tzinfo=here, fold=each).astimezone(UTC) for each in (0, 1))
    if one > other:  # skipped: read by the clock of before it is late by the gap, by the one of after it is early by it
        gap = one - other
        return _skip(other, one, here) if gap else one
    return (one, other)[fold]


def _skip(early: datetime, late: datetime, here: ZoneInfo) -> datetime:
    """The moment between the two at which the clocks change, to the minute."""
    before = early.astimezone(here).utcoffset()
    minutes = int((late - early).total_seconds() // 60)
    for minute in range(minutes + 1):
        moment = early + timedelta(minutes=minute)
        if moment.astimezone(here).utcoffset() != before:
            return moment
    return late


def _clock(text: str) -> time:
    hour, _, minute = text.partition(":")
    return time(0) if text == "24:00" else time(int(hour), int(minute))


def _padded(text: str) -> str:
    day, clock = text[:10], text[11:]
    return f"{day}T{clock.zfill(5)}"


def _days(text: str) -> frozenset[int]:
    if text == "daily":
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        begin = _day(first)
        end = _day(last) if dash else begin
        found.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(found)


def _day(text: str) -> int:
    full = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    if text in full:
        return full.index(text)
    return DAYS.index(text)


def _zone(text: str | None) -> str | None:
    return None if text is None else time_zone(text)
