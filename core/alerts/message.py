"""What a channel is given to send, in words and without a form, and what every channel answers to."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from core.alerts.alert import Link
from core.settings_services import Severity

Kind = Literal["firing", "resolved", "reminder", "digest", "alive", "test"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``id`` stays the same when it is sent again, so that a receiver can tell.

    ``lines`` are paragraphs, ``facts`` pairs of a name and a value, ``entries`` one line each for what else it is about.
    Entries may be thousands: a channel shows what fits and says how many it left out. All of it is plain text.
    """

    id: str
    kind: Kind
    title: str
    severity: Severity = "info"
    lines: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    entries: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    mentions: tuple[str, ...] = ()
    """``Name <user@example.com>``."""
    language: Literal["en", "zh"] = "en"
    alerts: tuple[dict[str, Any], ...] = ()
    """The same for programs, one JSON object an alert, for channels that pass it on."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the HTTP status, and a few words of the body without anything secret."""

    status: int
    words: str = ""


class Channel(Protocol):
    """Somewhere that messages go."""

    async def send(self, message: Message) -> Answer:
        """Returns when the other side has taken it. Raises ``ChannelRefused``, and ``ChannelUnavailable`` where waiting helps."""
