"""Heartbeats over HTTP: jobs elsewhere say that they are well."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from api.auth import require
from api.parts import TheParts
from core.errors import Forbidden, NotFound
from core.store.access import Principal
from core.store.heartbeats import Heartbeats
from core.sweeps.beating import heartbeat_names
from core.workspaces import DEFAULT

router = APIRouter(prefix="/heartbeats", tags=["alerts"])
Sender = Annotated[Principal, Depends(require("heartbeat"))]
NAMED = 20


@router.post("/{name}", summary="Say that a job is well")
async def beat(name: str, caller: Sender, parts: TheParts) -> dict[str, Any]:
    """`{name, at}`. The name is that of a service with `check = "heartbeat"`, or its `name`; any other is 404. Services are the
    installation's, and so callers have to be of the default workspace."""
    if caller.workspace != DEFAULT:
        raise Forbidden("Services are the installation's: a token of the default workspace tells how they are.")
    known = await asyncio.to_thread(heartbeat_names, parts.settings)
    if known is not None and name not in known:
        listed = ", ".join(sorted(known)[:NAMED]) or "none"
        raise NotFound(f'No service waits for a heartbeat of that name; check = "heartbeat" have: {listed}.')
    return {"name": name, "at": await Heartbeats(parts.store).beat(name)}
