"""What is told of alerts and when: news waits for others of its group, and a group speaks only so often.

Pure: given how things stand and the moment, it says what to tell now and when to look again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from core.alerts.flapping import calm_at, flapping_since
from core.alerts.routing import RANKS
from core.settings_alerts import AlertSettings
from core.settings_services import Severity

DOUBT = 45.0
"""Seconds that an alert which comes back soon waits at most for that reason."""

Told = Literal["", "firing", "flapping", "resolved"]
Word = Literal["firing", "worse", "flapping", "reminder", "resolved"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with one fingerprint: what is so, and what was told last.

    ``flips``: when it was raised and resolved lately, as far back as ``flap_minutes`` before ``flapping_since``, or before now.
    ``silenced_until``: nobody is to be told of it before then, unless that it is over.
    """

    fingerprint: str
    open: bool
    severity: Severity
    changed_at: datetime
    told: Told = ""
    told_severity: Severity | None = None
    told_at: datetime | None = None
    lasting: bool = True
    flapping_since: datetime | None = None
    flips: tuple[datetime, ...] = ()
    silenced_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """One thing to tell. ``flips``: how often it changed before, where it did so too often to be told each time."""

    fingerprint: str
    word: Word
    flips: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a group tells now, all in one message, and what is to be remembered of each fingerprint.

    ``look_at``: when there may be something to say of it; None: not before it changes.
    """

    said: tuple[Said, ...] = ()
    look_at: Mapping[str, datetime | None] = field(default_factory=dict)
    flapping: Mapping[str, datetime | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _News:
    """What there is to say of one (nothing without ``word``), and from when on, or when to look again."""

    word: Word | None = None
    at: datetime | None = None
    urgent: bool = False


def planned(group: Sequence[Standing], now: datetime, rules: AlertSettings) -> Plan:
    """What to tell of a group now."""
    flapping = {one.fingerprint: _flaps(one, now, rules) for one in group}
    news = {one.fingerprint: _news(one, flapping[one.fingerprint], now, rules) for one in group}
    due = _due(group, list(news.values()), rules)
    if due is None or now < due:
        looks = {name: due if each.word is not None else each.at for name, each in news.items()}
        return Plan((), looks, flapping)
    said = tuple(
        Said(one.fingerprint, word, _flips(one, flapping[one.fingerprint]))
        for one in group
        if (word := news[one.fingerprint].word) is not None
    )
    # Told, each is looked at once more at once, for what it is to be looked at for then.
    looks = {name: now if each.word is not None else each.at for name, each in news.items()}
    return Plan(said, looks, flapping)


def _due(group: Sequence[Standing], news: Sequence[_News], rules: AlertSettings) -> datetime | None:
    """When the group speaks next; None: there is nothing to say."""
    waiting = [each.at for each in news if each.word is not None and each.at is not None]
    if not waiting:
        return None
    urgent = [each.at for each in news if each.urgent and each.at is not None]
    spoken = [one.told_at for one in group if one.told_at is not None]
    due = min(waiting)
    if spoken:
        due = max(due, max(spoken) + timedelta(seconds=rules.interval))
    return min([due, *urgent])


def _news(one: Standing, flapping: datetime | None, now: datetime, rules: AlertSettings) -> _News:
    muted = one.silenced_until if one.silenced_until is not None and one.silenced_until > now else None
    known = one.told in ("firing", "flapping")
    if flapping is not None and known:
        # Whoever knows that it is down hears of it again when it is calm; a second message would only say that it is not up.
        return _News(at=calm_at(max([one.changed_at, *one.flips]), rules))
    if flapping is None and not one.open:
        calmed = one.flapping_since is not None or one.told == "flapping"
        return _News("resolved", now if calmed else _settled(one, rules)) if known else _News()
    if muted is not None:
        return _News(at=muted)
    return _flapping(one, flapping, now, rules) if flapping is not None else _firing(one, now, rules)


def _flapping(one: Standing, since: datetime, now: datetime, rules: AlertSettings) -> _News:
    last = max([one.changed_at, *one.flips])
    # Who heard that it was down and came back needs no third message, unless it goes on for long.
    enough = one.told == "resolved" and last < calm_at(since, rules)
    return _News(at=calm_at(last, rules)) if enough else _News("flapping", now)


def _firing(one: Standing, now: datetime, rules: AlertSettings) -> _News:
    if one.told != "firing":
        return _News("firing", now if one.told == "flapping" else _settled(one, rules))
    if RANKS[one.severity] > RANKS[one.told_severity or one.severity]:
        return _News("worse", now, urgent=True)
    return _reminder(one, now, rules)


def _settled(one: Standing, rules: AlertSettings) -> datetime:
    """When it has held for long enough to be told. What comes back soon after it was told to be over has to hold for longer than
    it was well: it may be about to flap."""
    wait = rules.wait
    if one.open and one.told == "resolved" and len(one.flips) > 1:
        last, before = sorted(one.flips)[:-3:-1]
        wait = max(wait, min(2 * (last - before).total_seconds(), DOUBT))
    return one.changed_at + timedelta(seconds=wait)


def _reminder(one: Standing, now: datetime, rules: AlertSettings) -> _News:
    if rules.remind_hours <= 0 or one.told_at is None:
        return _News()
    at = one.told_at + timedelta(hours=rules.remind_hours)
    return _News("reminder", at) if at <= now else _News(at=at)


def _flaps(one: Standing, now: datetime, rules: AlertSettings) -> datetime | None:
    return flapping_since(one.flips, one.flapping_since, now, rules) if one.lasting else None


def _flips(one: Standing, flapping: datetime | None) -> int:
    since = flapping or one.flapping_since
    return 0 if since is None else sum(flip >= since for flip in one.flips)
