"""Silences over HTTP: what nobody is to be told of for a while."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, Field

from api.auth import require
from api.bodies import StrictBody
from api.parts import TheParts
from api.turns import checked
from core.alerts.silencing import Silence
from core.errors import InputInvalid
from core.ids import new_id
from core.settings_services import Severity
from core.store.access import Principal
from core.store.silences import Silences

router = APIRouter(prefix="/silences", tags=["alerts"])
Reader = Annotated[Principal, Depends(require("read"))]
Admin = Annotated[Principal, Depends(require("admin"))]
Pattern = Annotated[str, Field(min_length=1, max_length=200)]
Patterns = Annotated[list[Pattern], Field(max_length=50)]
LONGEST = timedelta(days=366)


class NewSilence(StrictBody):
    """What it is about (every list that is not empty must fit; `*` stands for any text) and until when."""

    services: Patterns = Field(default=[])
    platforms: Patterns = Field(default=[])
    severities: Annotated[list[Severity], Field(max_length=3)] = Field(default=[])
    fingerprints: Patterns = Field(default=[])
    starts_at: Annotated[AwareDatetime | None, Field(alias="startsAt")] = None
    ends_at: Annotated[AwareDatetime, Field(alias="endsAt")]
    comment: Annotated[str, Field(max_length=1000)] = ""
    by: Annotated[str, Field(max_length=100)] = ""
    """Who wants it; the token's name if empty."""


@router.post("", status_code=201, summary="Silence alerts for a while")
async def add_silence(body: NewSilence, caller: Admin, parts: TheParts) -> dict[str, Any]:
    """Alerts that fit are kept and shown, and nobody is told of them. That one is over is told to whoever was told of it."""
    checked(body.model_dump(mode="json"))
    now = datetime.now(UTC)
    starts = body.starts_at or now
    if not (body.services or body.platforms or body.severities or body.fingerprints):
        raise InputInvalid(
            'services: name what is to be silent: services, platforms, severities or fingerprints; ["*"] for all.',
            field="services",
        )
    if body.ends_at <= max(now, starts):
        raise InputInvalid("endsAt: expected a time to come, after startsAt.", field="endsAt")
    if body.ends_at - starts > LONGEST:
        raise InputInvalid(f"endsAt: a silence holds for {LONGEST.days} days at most.", field="endsAt")
    silence = Silence(
        id=new_id(),
        starts_at=starts,
        ends_at=body.ends_at,
        made_by=body.by.strip() or caller.name,
        comment=body.comment,
        services=tuple(body.services),
        platforms=tuple(body.platforms),
        severities=tuple(body.severities),
        fingerprints=tuple(body.fingerprints),
    )
    await Silences(parts.store).add(silence)
    return _shown(silence)


@router.get("", summary="Silences, newest first")
async def list_silences(
    caller: Reader,
    parts: TheParts,
    over: Annotated[bool, Query(alias="all")] = False,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(max_length=100)] = None,
) -> dict[str, Any]:
    """`{silences, next}`: those that hold or are to come; with `all` also those that are over. `next` is the `before` of the
    following page, null on the last."""
    found = await Silences(parts.store).page(limit + 1, before, over)
    page = found[:limit]
    return {"silences": [_shown(each) for each in page], "next": page[-1].id if len(found) > limit else None}


@router.delete("/{silence_id}", status_code=204, summary="End a silence now")
async def end_silence(silence_id: str, caller: Admin, parts: TheParts) -> Response:
    """What it kept back and still holds is told then. 404 where it is over already."""
    await Silences(parts.store).end(silence_id)
    return Response(status_code=204)


def _shown(silence: Silence) -> dict[str, Any]:
    return {
        "id": silence.id,
        "services": list(silence.services),
        "platforms": list(silence.platforms),
        "severities": list(silence.severities),
        "fingerprints": list(silence.fingerprints),
        "startsAt": silence.starts_at,
        "endsAt": silence.ends_at,
        "by": silence.made_by,
        "comment": silence.comment,
    }
