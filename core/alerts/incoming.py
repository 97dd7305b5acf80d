"""Alerts that others send: the webhooks of Prometheus' Alertmanager (version 4 of its payload) and of Grafana, as alerts of ours.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config,
https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from core.addresses import http_url
from core.alerts.alert import Alert, Link, Origin
from core.errors import InputInvalid
from core.settings_services import Severity

MOST = 1000
MOST_FACTS = 20
MOST_LINKS = 6
LONGEST_TITLE = 300
LONGEST_TEXT = 10_000
LONGEST_VALUE = 500
LONGEST_URL = 2_000
SEVERITIES: Mapping[str, Severity] = {
    **dict.fromkeys(
        ("critical", "crit", "error", "err", "page", "emergency", "fatal", "high", "disaster", "alert", "p1"), "critical"
    ),
    **dict.fromkeys(("info", "information", "informational", "notice", "low", "none", "debug", "ok"), "info"),
}
"""By what people write in the label ``severity``; anything else, and nothing, is a warning."""
_NAMED = frozenset({"alertname", "severity", "service", "platform", "__alert_rule_uid__"})
_TEXTS = ("summary", "title", "description", "message", "runbook_url")
_LINKS = {"generatorURL": "Source", "dashboardURL": "Dashboard", "panelURL": "Panel"}
_OVER = frozenset({"resolved", "ok"})
_ENDED_LEGACY = frozenset({"ok", "paused", "pending"})


@dataclass(frozen=True, slots=True)
class Incoming:
    """One alert of somebody else's, or its end."""

    alert: Alert
    over: bool


def incoming(payload: Mapping[str, Any]) -> list[Incoming]:
    """What a webhook says. Raises ``InputInvalid`` naming the field that is not as it should be."""
    if "alerts" not in payload and ("ruleName" in payload or "ruleId" in payload):
        return [_legacy(payload)]
    listed = payload.get("alerts")
    if not isinstance(listed, list):
        raise InputInvalid("alerts: expected the list that Alertmanager and Grafana send.", field="alerts")
    if len(listed) > MOST:
        raise InputInvalid(f"alerts: at most {MOST} at once; set max_alerts in the sender.", field="alerts")
    grafana = "orgId" in payload or any(isinstance(one, Mapping) and "silenceURL" in one for one in listed)
    origin: Origin = "grafana" if grafana else "alertmanager"
    key = payload.get("groupKey")
    group = f"{origin}:{_digest([str(key)])}" if key and len(listed) > 0 else ""
    state = payload.get("status", "firing")
    return [_one(each, f"alerts.{at}", origin, group, state) for at, each in enumerate(listed)]


def safe_links(pairs: Iterable[tuple[str, object]]) -> tuple[Link, ...]:
    """Those whose address is one that a browser may open: ``http`` or ``https``."""
    found: list[Link] = []
    for title, url in pairs:
        if isinstance(url, str) and 0 < len(url) <= LONGEST_URL:
            try:
                http_url(url)
            except ValueError:
                continue
            found.append(Link(cut(title, 100), url.strip()))
    return tuple(found[:MOST_LINKS])


def cut(text: str, most: int) -> str:
    """``text`` within a length; an ellipsis says that there was more."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _one(each: object, field: str, origin: Origin, group: str, state: object) -> Incoming:
    if not isinstance(each, Mapping):
        raise InputInvalid(f"{field}: expected an object with labels and annotations.", field=field)
    labels = _texts(each.get("labels"), f"{field}.labels")
    notes = _texts(each.get("annotations"), f"{field}.annotations")
    if not labels and not notes:
        raise InputInvalid(f"{field}.labels: expected at least a label, such as alertname.", field=f"{field}.labels")
    name = labels.get("alertname", "")
    title = notes.get("summary") or notes.get("title") or name or "An alert without a name"
    text = notes.get("description") or notes.get("message") or ""
    given = each.get("fingerprint")
    mark = given if isinstance(given, str) and given else _digest(f"{key}={value}" for key, value in sorted(labels.items()))
    alert = Alert(
        fingerprint=f"{origin}:{mark[:200]}",
        title=cut(title.strip().splitlines()[0] if title.strip() else name, LONGEST_TITLE),
        severity=SEVERITIES.get(labels.get("severity", "").lower(), "warning"),
        text=cut(text.strip(), LONGEST_TEXT),
        origin=origin,
        service=cut(labels.get("service") or labels.get("job") or "", 200),
        platform=cut(labels.get("platform") or labels.get("namespace") or "", 200),
        group=group,
        facts=_facts(name if name != title else "", labels, notes, each.get("values")),
        links=safe_links([("Runbook", notes.get("runbook_url")), *((said, each.get(key)) for key, said in _LINKS.items())]),
    )
    return Incoming(alert, str(each.get("status") or state).lower() in _OVER)


def _facts(name: str, labels: Mapping[str, str], notes: Mapping[str, str], values: object) -> dict[str, str]:
    facts = {"Alert": name} if name else {}
    facts |= {key: value for key, value in labels.items() if key not in _NAMED and not key.startswith("__")}
    facts |= {key: value for key, value in notes.items() if key not in _TEXTS and not key.startswith("__")}
    if isinstance(values, Mapping):
        facts |= {str(key): str(value) for key, value in values.items()}
    kept = [(cut(key, 100), cut(value, LONGEST_VALUE)) for key, value in facts.items() if value]
    return dict(kept[:MOST_FACTS])


def _legacy(payload: Mapping[str, Any]) -> Incoming:
    """Grafana's alerting before version 9."""
    rule = str(payload.get("ruleId") or payload.get("ruleName"))
    state = str(payload.get("state", "alerting")).lower()
    matches = payload.get("evalMatches")
    found = [one for one in matches if isinstance(one, Mapping)] if isinstance(matches, list) else []
    alert = Alert(
        fingerprint=f"grafana:rule:{cut(rule, 200)}",
        title=cut(str(payload.get("ruleName") or payload.get("title") or "An alert without a name"), LONGEST_TITLE),
        severity="warning",
        text=cut(str(payload.get("message") or ""), LONGEST_TEXT),
        origin="grafana",
        facts={cut(str(one.get("metric")), 100): cut(str(one.get("value")), LONGEST_VALUE) for one in found[:MOST_FACTS]},
        links=safe_links([("Source", payload.get("ruleUrl"))]),
    )
    return Incoming(alert, state in _ENDED_LEGACY)


def _texts(value: object, field: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputInvalid(f"{field}: expected an object of texts.", field=field)
    return {str(key): str(inner) for key, inner in value.items() if inner is not None}


def _digest(parts: Iterable[str]) -> str:
    return sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:32]
