"""The audit log over HTTP, for administrators."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from api.auth import require
from api.parts import TheParts
from core.audit.entry import Kept
from core.store.access import Principal
from core.store.audit import Audit

router = APIRouter(prefix="/admin/audit", tags=["administration"])
Admin = Annotated[Principal, Depends(require("admin"))]
Name = Annotated[str | None, Query(max_length=200)]


@router.get("", summary="Who did what, newest first")
async def entries(
    parts: TheParts,
    _caller: Admin,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    actor: Name = None,
    action: Name = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> dict[str, Any]:
    """`next` is what to give as `before` for the following page. `batch` is null for the seconds until an entry is sealed."""
    found = await Audit(parts.store).page(limit, before, actor=actor, action=action, since=since, until=until)
    return {"entries": [shown(each) for each in found], "next": found[-1].seq if len(found) == limit else None}


def shown(entry: Kept) -> dict[str, Any]:
    """As JSON values."""
    return {
        "seq": entry.seq,
        "at": entry.at,
        "action": entry.action,
        "outcome": entry.outcome,
        "actor": entry.actor,
        "actorName": entry.actor_name,
        "address": entry.address,
        "object": entry.object,
        "requestId": entry.request_id,
        "details": entry.details,
        "batch": entry.batch,
    }
