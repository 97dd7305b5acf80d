"""Restoring a backup over HTTP: checked here as far as it can be told at once, done by the flow ``restore``."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from api.auth import require
from api.bodies import StrictBody
from api.parts import TheParts
from api.runs import IdempotencyKey, accepted
from core.backups.choosing import parts_for, place_for, require_consent, restorable, source_behind
from core.errors import InputInvalid
from core.store.access import Principal
from core.store.backups import Backups
from flows.catalogue import triggerable

router = APIRouter(prefix="/backups", tags=["backups"])
Admin = Annotated[Principal, Depends(require("admin"))]
Name = Annotated[str, Field(min_length=1, max_length=63)]


class RestoreRequest(StrictBody):
    """Where a backup shall go."""

    target: Name
    """A section ``[targets.NAME]`` of the configuration, or the source itself."""
    confirm: Name
    """The target's name once more; the source's, where the target is the source itself."""
    replace: bool = False
    """Delete what the target holds."""
    only: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    """One table (``schema.table``) or one file of it."""


@router.post("/{backup_id}/restore", status_code=202, summary="Restore a backup")
async def restore(
    backup_id: str,
    body: RestoreRequest,
    response: Response,
    caller: Admin,
    parts: TheParts,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, str]:
    """Starts a run of the flow `restore`. A target that holds something is refused unless it may be replaced."""
    manifest = restorable(await Backups(parts.store).get(backup_id))
    parts_for(manifest, body.only)
    place_for(parts.settings, body.target)
    expected = source_behind(parts.settings, body.target) or body.target
    if body.confirm not in (body.target, expected):
        raise InputInvalid(f"confirm: expected {expected}, the name of what is written to.", field="confirm")
    require_consent(parts.settings, body.target, replace=body.replace, confirm=body.confirm)
    parameters = body.model_dump(exclude_defaults=True) | {"backup_id": backup_id}
    view = await parts.runs.trigger(triggerable("restore"), parameters, caller=caller.token_id, key=idempotency_key)
    return accepted(view, response, parts.settings)
