"""Which channels an alert goes to: by its severity, its service, its platform and its workspace."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Protocol

from core.settings_alerts import ChannelSettings
from core.settings_services import Severity
from core.workspaces import DEFAULT, EVERY

RANKS: Mapping[str, int] = {"info": 0, "warning": 1, "critical": 2}


class Subject(Protocol):
    """What rules look at: an alert, whatever holds it."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def severity(self) -> Severity: ...

    @property
    def service(self) -> str: ...

    @property
    def platform(self) -> str: ...

    @property
    def workspace(self) -> str: ...


def routed(alert: Subject, channels: Mapping[str, ChannelSettings]) -> tuple[str, ...]:
    """The names of the channels that want it, in the order in which they are configured."""
    return tuple(name for name, channel in channels.items() if _wants(channel, alert))


def hidden_channels(workspace: str, channels: Mapping[str, ChannelSettings]) -> frozenset[str]:
    """Names of channels that take no alert of that workspace. The default one's people see all."""
    if workspace in (EVERY, DEFAULT):
        return frozenset()
    return frozenset(name for name, channel in channels.items() if not fits(workspace, channel.workspaces))


def fits(value: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns (``dify-*``) fits; where there is none, everything does."""
    listed = tuple(patterns)
    return not listed or any(fnmatchcase(value, pattern) for pattern in listed)


def worst(severities: Iterable[Severity]) -> Severity:
    """The highest of them; ``info`` where there is none."""
    return max(severities, key=lambda severity: RANKS[severity], default="info")


def _wants(channel: ChannelSettings, alert: Subject) -> bool:
    return (
        (not channel.severities or alert.severity in channel.severities)
        and fits(alert.service, channel.services)
        and fits(alert.platform, channel.platforms)
        and fits(alert.workspace, channel.workspaces)
    )
