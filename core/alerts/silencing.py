"""Silences: what nobody wants to be told of for a while, though it is kept and shown all the same."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from core.alerts.routing import Subject, fits
from core.settings_services import Severity
from core.workspaces import home, outer


@dataclass(frozen=True, slots=True)
class Silence:
    """Holds for alerts of its workspace that fit every list which is not empty; services, platforms and fingerprints are
    patterns.

    That something is over is told all the same to whoever was told that it began.
    """

    id: str
    starts_at: datetime
    ends_at: datetime
    made_by: str
    comment: str = ""
    services: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    severities: tuple[Severity, ...] = ()
    fingerprints: tuple[str, ...] = ()
    workspace: str = field(default_factory=home)

    def covers(self, alert: Subject, now: datetime) -> bool:
        """Whether nobody is to be told of this alert now."""
        return (
            self.starts_at <= now < self.ends_at
            and alert.workspace == self.workspace
            and (not self.severities or alert.severity in self.severities)
            and fits(alert.service, self.services)
            and fits(alert.platform, self.platforms)
            and fits(outer(alert.fingerprint, alert.workspace), self.fingerprints)
        )


def silenced(alert: Subject, silences: Iterable[Silence], now: datetime) -> Silence | None:
    """The silence that covers the alert now and holds longest; None: there is none."""
    covering = [silence for silence in silences if silence.covers(alert, now)]
    return max(covering, key=lambda silence: silence.ends_at, default=None)
