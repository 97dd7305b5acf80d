"""From alerts that changed to messages for channels: what to tell, whom, in which words, and what to remember of it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

from core.alerts.alert import Alert, Link
from core.alerts.flapping import CALM
from core.alerts.grouping import Said, Standing, Told, planned
from core.alerts.message import Message
from core.alerts.routing import routed
from core.alerts.silencing import Silence, silenced
from core.alerts.wording import STATUS, Telling, Voice, message_of
from core.config import Settings
from core.ids import new_id
from core.settings_alerts import AlertSettings, ChannelSettings
from core.settings_services import Severity


@dataclass(frozen=True, slots=True)
class Audience:
    """Who may be told, and how: the channels, the rules, the zone of times and the link on every card."""

    channels: Mapping[str, ChannelSettings]
    rules: AlertSettings
    zone: tzinfo
    links: tuple[Link, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> "Audience":
        """Theirs, by the settings."""
        status = Link(STATUS, f"{settings.address}{settings.api_prefix}/status")
        return cls(settings.channels, settings.alerts, ZoneInfo(settings.timezone), (status,))

    def voice(self, channel: str) -> Voice:
        """How a channel is spoken to."""
        found = self.channels[channel]
        return Voice(found.language, self.zone, found.mentions, self.links)


@dataclass(frozen=True, slots=True)
class Held:
    """A fingerprint's standing with the alert itself, as it is or was last; ``id`` is of the time that it holds, or held."""

    id: str
    alert: Alert
    open: bool
    raised_at: datetime
    resolved_at: datetime | None
    resolved_words: str
    times: int
    changed_at: datetime
    told: Told
    told_severity: Severity | None
    told_at: datetime | None
    told_since: datetime | None
    channels: tuple[str, ...]
    flapping_since: datetime | None
    flips: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is kept of a fingerprint from now on. ``over``: it only told of something, and that is done."""

    fingerprint: str
    told: Told
    told_severity: Severity | None
    told_at: datetime | None
    told_since: datetime | None
    channels: tuple[str, ...]
    flapping_since: datetime | None
    look_at: datetime | None
    over: bool = False


@dataclass(frozen=True, slots=True)
class Addressed:
    """A message for a channel. Those with the same news for other channels have the same ``key``."""

    channel: str
    key: str
    message: Message
    alert_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of looking at a group. ``told`` is the message as it would read, for the log, whoever gets it."""

    remembered: tuple[Remembered, ...]
    messages: tuple[Addressed, ...] = ()
    told: Message | None = None
    alert_ids: tuple[str, ...] = field(default=())


def told(group: Sequence[Held], silences: Sequence[Silence], audience: Audience, now: datetime) -> Outcome:
    """What to tell of a group now, and what to remember."""
    plan = planned([_standing(held, silences, now) for held in group], now, audience.rules)
    said = {each.fingerprint: each for each in plan.said}
    reached: dict[str, tuple[str, ...]] = {}
    remembered = []
    for held in group:
        name = held.alert.fingerprint
        each = said.get(name)
        reached[name] = _reached(held, each, audience) if each is not None else ()
        remembered.append(_remembered(held, each, reached[name], plan.flapping[name], plan.look_at[name], now))
    telling = [(held, _telling(held, said[held.alert.fingerprint], now)) for held in group if held.alert.fingerprint in said]
    if not telling:
        return Outcome(tuple(remembered))
    key = new_id()
    calm = timedelta(minutes=audience.rules.flap_minutes * CALM)
    messages = []
    for channel in audience.channels:
        mine = [each for held, each in telling if channel in reached[held.alert.fingerprint]]
        if mine:
            message = message_of(mine, new_id(), audience.voice(channel), calm)
            messages.append(Addressed(channel, key, message, tuple(each.id for each in mine)))
    plain = message_of([each for _, each in telling], key, Voice("en", audience.zone), calm)
    return Outcome(tuple(remembered), tuple(messages), plain, tuple(each.id for _, each in telling))


def _standing(held: Held, silences: Sequence[Silence], now: datetime) -> Standing:
    silence = silenced(held.alert, silences, now)
    return Standing(
        fingerprint=held.alert.fingerprint,
        open=held.open,
        severity=held.alert.severity,
        changed_at=held.changed_at,
        told=held.told,
        told_severity=held.told_severity,
        told_at=held.told_at,
        lasting=held.alert.lasting,
        flapping_since=held.flapping_since,
        flips=held.flips,
        silenced_until=silence.ends_at if silence is not None else None,
    )


def _reached(held: Held, said: Said, audience: Audience) -> tuple[str, ...]:
    """The channels that are told of it. That it is over goes where it was told that it holds, by whatever rules then."""
    wanting = routed(held.alert, audience.channels)
    if said.word == "resolved":
        return tuple(name for name in held.channels if name in audience.channels and audience.channels[name].resolved)
    if said.word == "worse":
        return wanting
    return tuple(dict.fromkeys([*wanting, *(name for name in held.channels if name in audience.channels)]))


def _remembered(
    held: Held,
    said: Said | None,
    reached: tuple[str, ...],
    flapping: datetime | None,
    look_at: datetime | None,
    now: datetime,
) -> Remembered:
    name = held.alert.fingerprint
    if said is None:
        told_severity, told_at, told_since = held.told_severity, held.told_at, held.told_since
        return Remembered(name, held.told, told_severity, told_at, told_since, held.channels, flapping, look_at)
    if not held.alert.lasting:
        return Remembered(name, "", None, now, None, (), None, None, over=True)
    if said.word == "resolved":
        return Remembered(name, "resolved", None, now, None, (), flapping, look_at)
    word: Literal["firing", "flapping"] = "flapping" if said.word == "flapping" else "firing"
    channels = tuple(dict.fromkeys([*held.channels, *reached]))
    since = held.told_since if held.told in ("firing", "flapping") else None
    return Remembered(name, word, held.alert.severity, now, since or _began(held, said), channels, flapping, look_at)


def _telling(held: Held, said: Said, now: datetime) -> Telling:
    since = held.told_since if held.told in ("firing", "flapping") and held.told_since else _began(held, said)
    words = "" if held.open else held.resolved_words
    return Telling(held.id, held.alert, said.word, since, now, held.resolved_at, words, said.flips, held.times)


def _began(held: Held, said: Said) -> datetime:
    return min(held.flips, default=held.raised_at) if said.word == "flapping" else held.raised_at
