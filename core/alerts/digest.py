"""The daily digest: what a day came to, and what still holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from core.alerts.message import Message
from core.alerts.phrases import at, fact, lasted, said
from core.alerts.routing import worst
from core.alerts.wording import Voice
from core.settings_services import Severity

WINDOW = timedelta(hours=1)
"""How late a daily message may still go out: after a start much later in the day it waits for the next one."""


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """One that holds."""

    title: str
    severity: Severity
    since: datetime


@dataclass(frozen=True, slots=True)
class Day:
    """What happened until ``until``, from 24 hours before. ``open_``: how many hold then, of which ``alerts`` are listed."""

    until: datetime
    raised: int
    resolved: int
    open_: int
    alerts: Sequence[OpenAlert] = ()
    backups_good: int = 0
    backups_bad: int = 0


def digest(day: Day, message_id: str, voice: Voice) -> Message:
    """The day in one message."""
    language = voice.language
    calm = not (day.raised or day.open_ or day.backups_bad)
    title = said("digest_calm", language) if calm else said("digest", language, raised=day.raised, open=day.open_)
    backups = said("backups", language, good=day.backups_good, bad=day.backups_bad)
    facts = [
        ("Raised", str(day.raised)),
        ("Over", str(day.resolved)),
        ("Open", str(day.open_)),
        *([("Backups", backups)] if day.backups_good or day.backups_bad else []),
    ]
    return Message(
        message_id,
        "digest",
        title,
        severity=worst(each.severity for each in day.alerts),
        lines=(f"{at(day.until - timedelta(days=1), voice.zone)} - {at(day.until, voice.zone)}",),
        facts=tuple((fact(name, language), value) for name, value in facts),
        entries=tuple(_entry(each, day.until, voice) for each in day.alerts),
        links=voice.links,
        language=language,
    )


def moment_due(clock: str, now: datetime, zone: tzinfo) -> date | None:
    """The day whose message is due now, for one that goes out at ``clock`` (``09:00``) every day; None: not now."""
    local = now.astimezone(zone)
    hour, minute = clock.split(":")
    for day in (local.date(), local.date() - timedelta(days=1)):
        due = datetime.combine(day, time(int(hour), int(minute)), zone).astimezone(UTC)
        if due <= now < due + WINDOW:
            return day
    return None


def _entry(each: OpenAlert, now: datetime, voice: Voice) -> str:
    language = voice.language
    since = at(each.since, voice.zone)
    return said("open_since", language, title=each.title, since=since, time=lasted(now - each.since, language))
