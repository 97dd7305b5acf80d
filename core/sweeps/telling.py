"""What the alert of a service says: the cause, what hangs under it, and where to look."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from core.alerts.alert import Alert, Link, Origin
from core.settings_services import Check, Severity
from core.sweeps.service import ServiceState

NAMED = 8
"""Services that a text names before it only counts them."""
ORIGINS: Mapping[Check, Origin] = {"backup": "backup", "drill": "drill", "flow": "flow"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an alert leads: the ``status`` page and the Prefect ``run`` that saw it; ``zone`` for its times."""

    status: str
    zone: str
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around a root: what is folded ``under`` it, how many ``depend`` on it, and what is bad ``beside`` it."""

    under: Sequence[ServiceState] = ()
    depend: int = 0
    beside: Sequence[ServiceState] = ()


def alert_of(service: ServiceState, around: Around, place: Place) -> Alert:
    """The alert of a service that is down or degraded."""
    return Alert(
        fingerprint=service.key.fingerprint,
        title=f"{service.shown} is {service.state}",
        severity=severity_of(service),
        text=" ".join(_sentences(service, around)),
        origin=ORIGINS.get(service.kind, "sweep"),
        service=service.name,
        platform=service.platform or service.topology,
        facts=dict(_facts(service, around, place)),
        links=tuple(_links(service, place)),
    )


def digest_of(alert: Alert) -> str:
    """Of its words; the same where there is nothing new to say."""
    words = [alert.title, alert.severity, alert.text, alert.service, alert.platform, list(alert.facts.items())]
    return hashlib.sha256(json.dumps(words, ensure_ascii=False).encode()).hexdigest()[:32]


def severity_of(service: ServiceState) -> Severity:
    """A degraded service is at most a warning."""
    return "warning" if service.state == "degraded" and service.severity == "critical" else service.severity


def listed(services: Sequence[ServiceState]) -> str:
    """``api, worker and 3 more``."""
    names = [each.shown for each in services[:NAMED]]
    more = len(services) - len(names)
    return f"{', '.join(names)} and {more} more" if more > 0 else ", ".join(names)


def _sentences(service: ServiceState, around: Around) -> list[str]:
    found = [_sentence(service.message)] if service.message else []
    if around.beside:
        are = "is" if len(around.beside) == 1 else "are"
        found.append(f"{listed(around.beside)}, which it needs, {are} not well either.")
    if around.under:
        fail = "1 service fails" if len(around.under) == 1 else f"{len(around.under)} services fail"
        found.append(f"{fail} with it: {listed(around.under)}.")
    return found


def _sentence(text: str) -> str:
    plain = text.strip()
    return plain if plain.endswith((".", "!", "?", "。")) else f"{plain}."


def _facts(service: ServiceState, around: Around, place: Place) -> list[tuple[str, str]]:
    found = [("Service", str(service.key)), ("Since", moment(service.since, place.zone)), ("Check", service.kind)]
    if service.good_at is not None:
        found.append(("Last good", moment(service.good_at, place.zone)))
    found.append(("Fail with it", str(len(around.under))))
    found.append(("Depend on it", str(around.depend)))
    return found


def moment(at: datetime, zone: str) -> str:
    """As people of that zone read it: ``2026-11-21 18:04:05 CET``."""
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S %Z}"


def _links(service: ServiceState, place: Place) -> list[Link]:
    found = [Link("Status page", place.status)]
    if service.runbook:
        found.append(Link("Runbook", service.runbook))
    if place.run:
        found.append(Link("Prefect run", place.run))
    return found
