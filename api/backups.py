"""The catalogue of backups over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from api.auth import require
from api.parts import TheParts
from core.store.access import Principal
from core.store.backups import BackupRecord, Backups

router = APIRouter(prefix="/backups", tags=["backups"])
Caller = Annotated[Principal, Depends(require("read"))]


@router.get("", summary="Backups, newest first")
async def list_backups(
    caller: Caller,
    parts: TheParts,
    source: Annotated[str | None, Query(max_length=63)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(max_length=100)] = None,
) -> dict[str, Any]:
    """`{backups, next}`; `next` is the `before` of the following page, null on the last. Sizes are bytes, as stored and before
    compression; `status` is `running`, `good`, `bad` or `missing` (no longer in the store). `base`: the whole backup
    that an increment adds to."""
    found = await Backups(parts.store).page(limit + 1, before, source)
    page = found[:limit]
    return {"backups": [_shown(each) for each in page], "next": page[-1].id if len(found) > limit else None}


def _shown(each: BackupRecord) -> dict[str, Any]:
    manifest = each.manifest
    took = None if each.finished_at is None else (each.finished_at - each.started_at).total_seconds()
    shown: dict[str, Any] = {
        "id": each.id,
        "source": each.source,
        "engine": each.engine,
        "set": each.set_name,
        "setId": each.set_id,
        "status": each.status,
        "startedAt": each.started_at,
        "finishedAt": each.finished_at,
        "seconds": took,
        "size": each.size,
        "plainSize": each.plain_size,
        "verifiedAt": each.verified_at,
        "verifiedResult": each.verified_result,
        "error": each.error,
        "runId": each.flow_run_id,
    }
    if manifest is None:
        return shown | {"parts": [], "encrypted": None, "server": None, "tables": None, "rows": None, "notes": [], "base": None}
    return shown | {
        "parts": [
            {"name": part.name, "format": part.format, "key": part.key, "size": part.size, "plainSize": part.plain_size}
            for part in manifest.parts
        ],
        "encrypted": any(part.encryption != "none" for part in manifest.parts),
        "server": manifest.server,
        "tables": len(manifest.counts),
        "rows": sum(manifest.counts.values()),
        "notes": list(manifest.notes),
        "base": manifest.base.id if manifest.base is not None else None,
    }
