"""Tokens over HTTP, for administrators: the installation's for all, a workspace's for their own."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, Field

from api.audited import by
from api.auth import require
from api.bodies import StrictBody
from api.parts import TheParts
from api.workspaces import within
from core.errors import Forbidden
from core.identity.signing_in import MANAGE
from core.store.access import Principal, Token, checked_scopes
from core.workspaces import NAME

router = APIRouter(prefix="/admin/tokens", tags=["administration"])
Caller = Annotated[Principal, Depends(require())]
Name = Annotated[str, Field(pattern=rf"^{NAME.pattern}$")]


class NewToken(StrictBody):
    """Who or what will use it, and for what. Without a workspace it is the caller's own."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[Annotated[str, Field(max_length=110)]], Field(min_length=1, max_length=100)]
    workspace: Name | None = None
    expires_at: Annotated[AwareDatetime | None, Field(alias="expiresAt")] = None


@router.get("", summary="Tokens without their secrets, newest first")
async def tokens(
    parts: TheParts, caller: Caller, workspace: Annotated[str | None, Query(pattern=rf"^{NAME.pattern}$")] = None
) -> dict[str, Any]:
    """Revoked and expired ones included. A workspace's administrators see its own, save those of scope `admin`."""
    own = _own(caller) if workspace is None else [within(caller, workspace).workspace]
    found = await parts.tokens.list(own, all_scopes=caller.allows("admin"))
    return {"tokens": [shown(each) for each in found]}


@router.post("", status_code=201, summary="Make a token")
async def create(body: NewToken, request: Request, response: Response, parts: TheParts, caller: Caller) -> dict[str, Any]:
    """`token` is shown this once. A workspace's administrators may give what they have themselves."""
    there = within(caller, body.workspace or caller.workspace)
    scopes = checked_scopes(body.scopes)
    beyond = [scope for scope in scopes if not there.allows(scope)]
    if beyond:
        raise Forbidden(f"You may not give what you have not: {', '.join(beyond)}.")
    made, plaintext = await parts.tokens.create(body.name, scopes, body.expires_at, there.workspace, by(request))
    response.headers["Cache-Control"] = "no-store"
    return shown(made) | {"token": plaintext}


@router.delete("/{token_id}", status_code=204, summary="Revoke a token")
async def revoke(token_id: str, request: Request, parts: TheParts, caller: Caller) -> Response:
    """Here at once, in other processes within five seconds."""
    await parts.tokens.revoke(token_id, by(request), _own(caller), all_scopes=caller.allows("admin"))
    return Response(status_code=204)


def _own(caller: Principal) -> list[str] | None:
    """The workspaces whose tokens are theirs to manage; None for all. Raises ``Forbidden`` where there are none."""
    if caller.allows("admin"):
        return None
    found = [name for name, scopes in caller.places.items() if MANAGE in scopes]
    if not found:
        raise Forbidden("Only administrators may do this.")
    return found


def shown(token: Token) -> dict[str, Any]:
    """As JSON values."""
    return {
        "id": token.id,
        "name": token.name,
        "scopes": list(token.scopes),
        "workspace": token.workspace,
        "status": token.status,
        "createdAt": token.created_at,
        "expiresAt": token.expires_at,
        "revokedAt": token.revoked_at,
        "lastUsedAt": token.last_used_at,
    }
