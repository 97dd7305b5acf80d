"""A service as sweeps know it: what it is, how it is, since when, and what has been told of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from core.settings_services import Check, Severity
from core.sweeps.judging import Known
from core.sweeps.observation import State


class Key(NamedTuple):
    """A service among those of all topologies."""

    topology: str
    name: str

    def __str__(self) -> str:
        return f"{self.topology}/{self.name}"

    @property
    def fingerprint(self) -> str:
        """Of its alert."""
        return f"service:{self}"


@dataclass(frozen=True, slots=True)
class ServiceState:
    """``position``: its place in its topology. ``seconds`` and ``facts`` are the last look's, ``flips`` counts all there were.

    ``root``: the service (as ``topology/name``) under whose alert its own is folded. ``looks``: how often it has to be seen bad
    before it gets an alert of its own, after its root recovered. ``told``: a digest of its alert's words; None: it has none.
    """

    topology: str
    name: str
    kind: Check
    since: datetime
    position: int = 0
    title: str = ""
    platform: str = ""
    severity: Severity = "critical"
    runbook: str | None = None
    depends_on: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    state: State = "unknown"
    pending: State | None = None
    streak: int = 0
    code: str = ""
    message: str = ""
    seconds: float | None = None
    facts: Mapping[str, str | float | int] = field(default_factory=dict)
    checked_at: datetime | None = None
    good_at: datetime | None = None
    flips: int = 0
    root: str | None = None
    looks: int = 0
    told: str | None = None
    maintenance: bool = False

    @property
    def key(self) -> Key:
        return Key(self.topology, self.name)

    @property
    def shown(self) -> str:
        """What people call it."""
        return self.title or self.name

    @property
    def known(self) -> Known:
        """What looks are judged by."""
        return Known(self.since, self.state, self.pending, self.streak)

    @property
    def failing(self) -> bool:
        """Whether it is down, or its last look said so."""
        return self.state == "down" or self.pending == "down"

    @property
    def opened(self) -> bool:
        """Whether something is surely wrong with it."""
        return self.state in ("down", "degraded")
