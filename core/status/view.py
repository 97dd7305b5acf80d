"""What the status page shows, before it takes the form of a page, of JSON or of metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from core.settings_services import Severity
from core.status.model_view import ModelView
from core.sweeps.observation import State

Overall = Literal["ok", "warning", "critical", "unknown"]
SweptBy = Literal["flow", "standby", "command", ""]
Delivered = Literal["sent", "waiting", "given_up", "passed_on"]
"""Of a message to one channel; ``passed_on``: its fallback has got it instead."""
Fresh = Literal["fresh", "late", "failed", "none"]
"""Of a source's backups: ``late`` is one older than it should be, ``none``: there is no good one."""

STATES: tuple[State, ...] = ("down", "degraded", "unreachable", "unknown", "up")
"""The worst first: the order in which services are shown."""


@dataclass(frozen=True, slots=True)
class Uptime:
    """Shares from 0 to 1 of the looks that found a service working; None where nobody looked."""

    day: float | None = None
    week: float | None = None
    quarter: float | None = None
    """Of 90 days."""


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One service. ``key`` is ``topology/name``, and so are ``root``, the service whose outage explains this one's, ``needs`` and
    ``hints``. ``seconds`` is its last latency."""

    key: str
    name: str
    title: str
    platform: str
    state: State = "unknown"
    since: datetime | None = None
    checked_at: datetime | None = None
    code: str = ""
    message: str = ""
    severity: Severity = "critical"
    seconds: float | None = None
    root: str = ""
    needs: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    runbook: str | None = None
    maintenance: bool = False
    """A window of maintenance is open: nobody is alerted."""
    flapping: bool = False
    uptime: Uptime = Uptime()
    latency: tuple[float | None, ...] = ()
    """Mean seconds of each of the last 24 hours, the oldest first."""
    days: tuple[float | None, ...] = ()
    """Uptime of each of the last 90 days, the oldest first."""

    @property
    def because(self) -> str:
        """The name of the service that explains this one's trouble."""
        return self.root.partition("/")[2]

    @property
    def troubled(self) -> bool:
        """Whether it is worth a line where only troubles are shown."""
        return self.state in {"down", "degraded"}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, and what it drags along."""

    service: ServiceView
    folded: tuple[ServiceView, ...] = ()
    count: int = 0
    """How many it drags along; ``folded`` names some of them."""


@dataclass(frozen=True, slots=True)
class PlatformView:
    """A platform: how many of its services are in which state, and those of them that are shown."""

    name: str
    counts: Mapping[State, int]
    services: tuple[ServiceView, ...] = ()
    drawn: tuple[ServiceView, ...] = ()
    """Those in its picture; a large platform's are its troubles and what these touch."""

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def worst(self) -> State:
        """The worst state of any of its services; one that only nobody could reach does not outweigh those that work."""
        return next((state for state in STATES if self.counts.get(state)), "unknown")


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the newest message about an alert fared in one channel. ``words`` say what the channel answered last."""

    channel: str
    status: Delivered
    at: datetime | None = None
    tries: int = 0
    words: str = ""


@dataclass(frozen=True, slots=True)
class AlertView:
    """An alert that is open, or was a short while ago."""

    id: str
    fingerprint: str
    title: str
    severity: Severity
    opened_at: datetime
    resolved_at: datetime | None = None
    text: str = ""
    service: str = ""
    platform: str = ""
    origin: str = ""
    silenced: bool = False
    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True)
class SilenceView:
    """A silence in force. ``what`` says in a few words which alerts it keeps quiet."""

    id: str
    what: str
    until: datetime
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class WindowView:
    """A service in a window of maintenance that is open."""

    service: str
    title: str
    platform: str


@dataclass(frozen=True, slots=True)
class BackupView:
    """A source's backups: the newest good one, how the newest attempt ended, and the newest drill."""

    source: str
    engine: str
    fresh: Fresh
    good_at: datetime | None = None
    size: int | None = None
    seconds: float | None = None
    tried_at: datetime | None = None
    error: str = ""
    drill: str = ""
    """How the newest drill ended, in one word (``good``, ``differs``…); empty: there was none."""
    drill_at: datetime | None = None
    drill_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class SweepView:
    """The newest sweep. ``overdue``: none has come for clearly longer than ``interval`` seconds."""

    at: datetime | None = None
    seconds: float | None = None
    by: SweptBy = ""
    interval: float = 300.0
    overdue: bool = False
    online: bool = True
    """False: the machine that sweeps had no network itself, so what it saw of others says nothing."""


@dataclass(frozen=True, slots=True)
class ChannelView:
    """What waits to be sent to a channel, and what was given up in the last day."""

    name: str
    waiting: int = 0
    given_up: int = 0
    oldest: datetime | None = None
    """When the one that waits longest was written."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which services of how many are listed; counted from 1."""

    number: int = 1
    pages: int = 1
    platform: str | None = None
    """None: all platforms."""
    whole: bool = True
    """Every service is on this page; False: there are so many that platforms are opened one by one."""


@dataclass(frozen=True, slots=True)
class StatusView:
    """Everything that is shown, as of ``now``."""

    now: datetime
    sweep: SweepView = SweepView()
    troubles: tuple[Trouble, ...] = ()
    more_troubles: int = 0
    """Troubles beyond those that are listed."""
    platforms: tuple[PlatformView, ...] = ()
    alerts: tuple[AlertView, ...] = ()
    silences: tuple[SilenceView, ...] = ()
    windows: tuple[WindowView, ...] = ()
    backups: tuple[BackupView, ...] = ()
    channels: tuple[ChannelView, ...] = ()
    models: tuple[ModelView, ...] = ()
    page: Page = field(default_factory=Page)

    @property
    def counts(self) -> dict[State, int]:
        """How many services are in which state, the worst first."""
        return {state: sum(platform.counts.get(state, 0) for platform in self.platforms) for state in STATES}

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def overall(self) -> Overall:
        """``critical`` while something is down, ``warning`` while something is degraded, or sweeps are overdue."""
        counts = self.counts
        if counts["down"]:
            return "critical"
        if counts["degraded"] or self.sweep.overdue:
            return "warning"
        return "ok" if counts["up"] else "unknown"
