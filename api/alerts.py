"""Alerts over HTTP: raised and ended by callers, by Alertmanager and by Grafana; listed."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Query
from pydantic import Field, model_validator

from api.auth import require
from api.bodies import StrictBody
from api.parts import TheParts
from api.runs import IdempotencyKey
from api.turns import checked
from core.alerts.alert import Link
from core.alerts.incoming import LONGEST_TEXT, LONGEST_URL, MOST_FACTS, MOST_LINKS, incoming
from core.alerts.posted import fingerprint_of, posted
from core.alerts.silencing import Silence, silenced
from core.errors import InputInvalid
from core.settings_services import Severity
from core.settings_types import HttpUrl
from core.store.access import Principal
from core.store.alerts import AlertRecord, Alerts, Status
from core.store.silences import Silences

router = APIRouter(prefix="/alerts", tags=["alerts"])
Sender = Annotated[Principal, Depends(require("alerts"))]
Reader = Annotated[Principal, Depends(require("read"))]
Name = Annotated[str, Field(max_length=200)]
FactName = Annotated[str, Field(min_length=1, max_length=100)]
FactValue = Annotated[str, Field(max_length=1000)] | int | float
SILENCES = 1000


class PostedLink(StrictBody):
    """A button."""

    title: Annotated[str, Field(min_length=1, max_length=100)]
    url: Annotated[HttpUrl, Field(max_length=LONGEST_URL)]


class PostedAlert(StrictBody):
    """What to tell people."""

    text: Annotated[str, Field(max_length=LONGEST_TEXT)] = ""
    title: Annotated[str, Field(max_length=300)] = ""
    """Without it the first line of the text."""
    severity: Severity = "warning"
    service: Name = ""
    platform: Name = ""
    key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """With a key it holds until it is resolved under the same; without, it is over once it is told."""
    status: Literal["open", "resolved"] = "open"
    facts: Annotated[dict[FactName, FactValue], Field(max_length=MOST_FACTS)] = Field(default={})
    links: Annotated[list[PostedLink], Field(max_length=MOST_LINKS)] = Field(default=[])

    @model_validator(mode="after")
    def _says_something(self) -> "PostedAlert":
        if self.status == "open" and not (self.text.strip() or self.title.strip()):
            raise ValueError("expected a text or a title")
        return self


@router.post("", status_code=202, summary="Tell people of something")
async def post_alert(
    body: PostedAlert, caller: Sender, parts: TheParts, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """`{id, key, status, changed}`. It goes out as every alert does: grouped, routed, silenced. `changed` is false where it held
    already, or was over. With an `Idempotency-Key`, the same request again gives the same alert."""
    checked(body.model_dump(mode="json"))
    alerts = Alerts(parts.store)
    if body.status == "resolved":
        if body.key is None:
            raise InputInvalid("key: expected the key under which the alert was posted.", field="key")
        fingerprint = fingerprint_of(body.key)
        found = await alerts.current(fingerprint)
        changed = await alerts.resolve(fingerprint, body.text.strip() or body.title.strip())
        return {"id": found.id if found is not None else None, "key": body.key, "status": "resolved", "changed": changed}
    alert = posted(
        title=body.title,
        text=body.text,
        key=body.key,
        severity=body.severity,
        service=body.service,
        platform=body.platform,
        facts={name: str(value) for name, value in body.facts.items()},
        links=[Link(link.title, link.url) for link in body.links],
    )
    request = f"{caller.token_id}:{idempotency_key}" if idempotency_key is not None else None
    alert_id, new = await alerts.raise_once(alert, request)
    return {"id": alert_id, "key": body.key, "status": "open", "changed": new}


@router.post("/alertmanager", summary="What Alertmanager or Grafana sends")
async def post_webhook(payload: Annotated[dict[str, Any], Body()], caller: Sender, parts: TheParts) -> dict[str, int]:
    """Takes version 4 of Alertmanager's webhook and Grafana's; `{firing, resolved, changed}`. What is firing holds until the same
    sender says that it is resolved."""
    checked(payload)
    found = incoming(payload)
    alerts = Alerts(parts.store)
    firing = {each.alert.fingerprint: each.alert for each in found if not each.over}
    over = [each.alert.fingerprint for each in found if each.over]
    changed = await alerts.raise_all(firing.values()) + await alerts.resolve_all(over)
    return {"firing": len(firing), "resolved": len(over), "changed": changed}


@router.get("", summary="Alerts, open ones first")
async def list_alerts(
    caller: Reader,
    parts: TheParts,
    status: Status | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(max_length=100)] = None,
) -> dict[str, Any]:
    """`{alerts, next}`; each half is newest first, and `next` is the `before` of the following page, null on the last."""
    found = await Alerts(parts.store).page(limit + 1, before, status)
    page = found[:limit]
    silences = await Silences(parts.store).page(SILENCES)
    shown = [_shown(each, silences) for each in page]
    return {"alerts": shown, "next": page[-1].id if len(found) > limit else None}


def _shown(each: AlertRecord, silences: list[Silence]) -> dict[str, Any]:
    silence = silenced(each, silences, each.read_at) if each.is_open else None
    return {
        "id": each.id,
        "fingerprint": each.fingerprint,
        "key": each.fingerprint.removeprefix("api:") if each.origin == "api" and each.lasting else None,
        "status": each.status,
        "title": each.title,
        "text": each.text,
        "severity": each.severity,
        "origin": each.origin,
        "service": each.service,
        "platform": each.platform,
        "facts": dict(each.facts),
        "links": [{"title": link.title, "url": link.url} for link in each.links],
        "raisedAt": each.raised_at,
        "resolvedAt": each.resolved_at,
        "resolvedWords": each.resolved_words,
        "times": each.times,
        "told": each.told or None,
        "channels": list(each.channels),
        "flapping": each.flapping,
        "silence": {"id": silence.id, "endsAt": silence.ends_at} if silence is not None else None,
    }
