"""A flow run as the API shows it: its state, and the events by which it is followed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

RunEventKind = Literal["state", "log", "progress", "result", "error"]
"""``state``: ``{type, name, message, timestamp}``. ``log``: ``{level, logger, message, timestamp}``. ``progress``: ``{done,
total, what}``. ``result``, the last one: ``{state, result}``. ``error``, the last one too: following failed, which says nothing
of the run."""


@dataclass(frozen=True, slots=True)
class RunState:
    """``type`` is one of Prefect's nine (``COMPLETED`` …); ``name`` may say more (``Late``, ``TimedOut``)."""

    type: str
    name: str
    message: str | None
    timestamp: datetime | None


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as it is now. ``result`` is what the flow kept of its return value; None while it runs."""

    run_id: str
    flow: str
    state: RunState
    final: bool
    result: dict[str, Any] | None
    start_time: datetime | None
    end_time: datetime | None
    prefect_url: str


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One event of a run's stream; ``data`` is compact UTF-8 JSON on one line, encoded once for all readers."""

    kind: RunEventKind
    id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a run's stream, written as an event id.

    Within the process that made it, ``feed`` and ``n`` name the very event. Another process, or the same one later, builds its
    own stream from what Prefect stored; there the times (microseconds) of the last event of each kind say what was seen already.
    """

    feed: str = ""
    n: int = 0
    state: int = 0
    log: int = 0
    progress: int = 0

    def __str__(self) -> str:
        return f"{self.feed}.{self.n}.{self.state}.{self.log}.{self.progress}"

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """The start for anything that is not an id of ours."""
        feed, *numbers = (text or "").split(".")
        if len(numbers) != 4 or not all(number.isascii() and number.isdigit() and len(number) < 20 for number in numbers):
            return cls()
        return cls(feed, *(int(number) for number in numbers))

    def then(self, kind: RunEventKind, at: int) -> "Cursor":
        """The place after one more event, of ``kind``, that happened ``at``."""
        return Cursor(
            self.feed,
            self.n + 1,
            max(self.state, at) if kind == "state" else self.state,
            max(self.log, at) if kind == "log" else self.log,
            max(self.progress, at) if kind == "progress" else self.progress,
        )

    def covers(self, kind: RunEventKind, at: int) -> bool:
        """Whether an event of ``kind`` that happened ``at`` was seen before this place, judged by time."""
        seen = {"state": self.state, "log": self.log, "progress": self.progress}.get(kind)
        return seen is not None and at <= seen
