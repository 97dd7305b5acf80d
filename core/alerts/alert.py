"""An alert: something that changed, and that somebody may want to be told of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.settings_services import Severity
from core.workspaces import home

Origin = Literal["sweep", "backup", "drill", "flow", "api", "alertmanager", "grafana"]


@dataclass(frozen=True, slots=True)
class Link:
    """A button on a card."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Alert:
    """Raised twice with the same ``fingerprint`` it is the same alert, which has got new words; it holds until it is resolved.

    ``group``: alerts of one group go out in one message; empty means a group of its own. ``facts`` are shown in their order.
    Texts are plain: whoever sends them escapes them. One that is not ``lasting`` tells of something that happened: it is over as
    soon as it has been told, and no message says so.
    """

    fingerprint: str
    title: str
    severity: Severity = "critical"
    text: str = ""
    origin: Origin = "api"
    service: str = ""
    platform: str = ""
    group: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    lasting: bool = True
    workspace: str = field(default_factory=home)
    """Whose it is; the same fingerprint in another workspace is another alert."""
