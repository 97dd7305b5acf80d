"""The words of messages, in English and Chinese: what happened, since when, how much hangs on it. Nothing of a card's form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any

from core.alerts.alert import Alert, Link
from core.alerts.grouping import Word
from core.alerts.message import Kind, Message
from core.alerts.phrases import Language, at, fact, lasted, said
from core.alerts.routing import RANKS, worst

STATES = ("is_down", "is_degraded", "is_unreachable")
MOST_MENTIONS = 10
STATUS = "Status page"
"""The title of the link to our own page."""


@dataclass(frozen=True, slots=True)
class Voice:
    """How a channel is spoken to: its language, the zone of times, who is named on what is critical, and links on each card."""

    language: Language
    zone: tzinfo
    mentions: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Telling:
    """One alert that is told of. ``since`` and ``until`` are when it held, ``words`` what was said when it ended.

    ``flips``: how often it came and went, where it did so too often to be told each time.
    """

    id: str
    alert: Alert
    word: Word
    since: datetime
    now: datetime
    until: datetime | None = None
    words: str = ""
    flips: int = 0
    times: int = 1


def title_of(name: str, state: str, language: Language = "en") -> str:
    """What an alert of a service in a state (``down``, ``degraded``, ``unreachable``) is called: ``postgres is down``."""
    return said(f"is_{state}", language, name=name)


def headline(telling: Telling, language: Language) -> str:
    """What happened, in one line."""
    alert = telling.alert
    time = lasted((telling.until or telling.now) - telling.since, language)
    name, state = _named(alert.title)
    title = said(state, language, name=name) if state else alert.title
    if telling.word == "resolved":
        return said("again", language, name=name, time=time) if state else said("over", language, title=title, time=time)
    if telling.word == "flapping":
        spoken = said("flapping", language, name=name, flips=telling.flips, time=time) if state else ""
        return spoken or said("flaps", language, title=title, flips=telling.flips, time=time)
    if telling.word == "reminder":
        down = state == "is_down"
        return said("still_down", language, name=name, time=time) if down else said("still", language, title=title, time=time)
    return title


def message_of(tellings: Sequence[Telling], message_id: str, voice: Voice, calm: timedelta = timedelta(0)) -> Message:
    """One message about all of them. ``calm``: after how long without a change more is said of what flaps."""
    lead = max(tellings, key=lambda each: (each.word != "resolved", RANKS[each.alert.severity], -each.since.timestamp()))
    kind = _kind(lead)
    severity = worst(each.alert.severity for each in tellings if (each.word != "resolved") == (kind != "resolved"))
    critical = severity == "critical" and kind == "firing"
    said_alone = len(tellings) == 1
    return Message(
        id=message_id,
        kind=kind,
        title=headline(lead, voice.language) if said_alone else _together(tellings, lead, voice.language),
        severity=severity,
        lines=_lines(lead, voice.language, calm) if said_alone else (),
        facts=_facts(lead, voice) if said_alone else (),
        entries=() if said_alone else tuple(_entry(each, voice) for each in tellings),
        links=_links([*(lead.alert.links if said_alone else ()), *voice.links]),
        mentions=voice.mentions if critical else (),
        language=voice.language,
        alerts=tuple(_for_programs(each) for each in tellings),
    )


def joined(messages: Sequence[Message], message_id: str) -> Message:
    """One message in place of many that waited, each of them a line of it, in their order."""
    if len(messages) == 1:
        return messages[0]
    going = [each for each in messages if each.kind != "resolved"]
    lead = max(going or messages, key=lambda each: RANKS[each.severity])
    language = lead.language
    phrase = "storm" if going else "storm_over"
    mentions = dict.fromkeys(name for each in going for name in each.mentions)
    status = [link for each in messages for link in each.links if link.title == STATUS]
    return Message(
        id=message_id,
        kind="firing" if going else "resolved",
        title=said(phrase, language, count=len(messages), first=lead.title),
        severity=worst(each.severity for each in going or messages),
        entries=tuple(line for each in messages for line in (each.entries or (each.title,))),
        links=tuple(status[:1]),  # where all of them can be seen
        mentions=tuple(mentions)[:MOST_MENTIONS],
        language=language,
        alerts=tuple(alert for each in messages for alert in each.alerts),
    )


def alive(message_id: str, voice: Voice, now: datetime, open_alerts: int) -> Message:
    """The daily sign of life."""
    language = voice.language
    return Message(
        message_id,
        "alive",
        said("alive", language),
        lines=(said("alive_line", language), at(now, voice.zone)),
        facts=((fact("Open", language), str(open_alerts)),),
        links=voice.links,
        language=language,
    )


def trial(message_id: str, voice: Voice, now: datetime) -> Message:
    """A message that says that messages arrive."""
    language = voice.language
    lines = (said("test_line", language), at(now, voice.zone))
    return Message(message_id, "test", said("test", language), lines=lines, links=voice.links, language=language)


def passed_on(message: Message, channel: str) -> Message:
    """The same for another channel, which says whose it was."""
    return replace(message, lines=(*message.lines, said("fell_back", message.language, channel=channel)))


def _kind(lead: Telling) -> Kind:
    if lead.word == "resolved":
        return "resolved"
    return "reminder" if lead.word == "reminder" else "firing"


def _named(title: str) -> tuple[str, str]:
    """The service that a title of ours speaks of, and in which words; no words where it is somebody else's title."""
    for state in STATES:
        tail = said(state, "en", name="")
        if title.endswith(tail) and len(title) > len(tail):
            return title.removesuffix(tail), state
    return title, ""


def _together(tellings: Sequence[Telling], lead: Telling, language: Language) -> str:
    over = sum(each.word == "resolved" for each in tellings)
    phrase = "many_over" if over == len(tellings) else "some_over" if over else "many"
    first = said("and_more", language, first=headline(lead, language), more=len(tellings) - 1)
    return said(phrase, language, count=len(tellings), over=over, first=first)


def _lines(telling: Telling, language: Language, calm: timedelta) -> tuple[str, ...]:
    lines = [telling.words if telling.word == "resolved" else telling.alert.text]
    if telling.word == "flapping":
        lines.append(said("flapping_line", language, time=lasted(calm, language)))
    elif telling.flips:
        lines.append(said("calmed", language, flips=telling.flips))
    return tuple(line for line in lines if line)


def _facts(telling: Telling, voice: Voice) -> tuple[tuple[str, str], ...]:
    language, alert = voice.language, telling.alert
    facts = [(fact(name, language), value) for name, value in alert.facts.items()]
    ours = [("Platform", alert.platform), ("Since", at(telling.since, voice.zone) if alert.lasting else "")]
    if telling.until is not None and telling.word == "resolved":
        ours.append(("Until", at(telling.until, voice.zone)))
    if not alert.lasting and telling.times > 1:
        ours.append(("Times", str(telling.times)))
    return (*facts, *((fact(name, language), value) for name, value in ours if value and name not in alert.facts))


def _entry(telling: Telling, voice: Voice) -> str:
    clock = telling.until if telling.word == "resolved" and telling.until else telling.since
    return f"{clock.astimezone(voice.zone):%H:%M} {headline(telling, voice.language)}"


def _links(links: Sequence[Link]) -> tuple[Link, ...]:
    """One of each title: an alert may know better where on the status page to look."""
    return tuple({link.title: link for link in reversed(links)}.values())[::-1]


def _for_programs(telling: Telling) -> dict[str, Any]:
    alert = telling.alert
    facts: Mapping[str, str] = alert.facts
    return {
        "id": telling.id,
        "fingerprint": alert.fingerprint,
        "status": "resolved" if telling.word == "resolved" else "open",
        "word": telling.word,
        "title": alert.title,
        "text": alert.text,
        "severity": alert.severity,
        "origin": alert.origin,
        "service": alert.service,
        "platform": alert.platform,
        "facts": dict(facts),
        "links": [{"title": link.title, "url": link.url} for link in alert.links],
        "since": telling.since.isoformat(),
        "until": telling.until.isoformat() if telling.until is not None else None,
    }
