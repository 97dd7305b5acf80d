"""Administration of users over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field, SecretStr

from api.audited import by
from api.auth import require
from api.bodies import StrictBody
from api.parts import TheParts
from core.settings_access import Role
from core.store.access import Principal
from core.store.users import User

router = APIRouter(prefix="/admin/users", tags=["administration"])
Admin = Annotated[Principal, Depends(require("admin"))]
Password = Annotated[SecretStr, Field(min_length=8, max_length=1024)]


class NewUser(StrictBody):
    """A local account."""

    email: Annotated[str, Field(min_length=3, max_length=254)]
    name: Annotated[str, Field(max_length=200)] = ""
    role: Role = "member"
    password: Password


class ChangedUser(StrictBody):
    """What shall change."""

    role: Role | None = None
    disabled: bool | None = None
    password: Password | None = None


@router.get("", summary="Users, by what they log in with")
async def users(
    parts: TheParts,
    _caller: Admin,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    after: Annotated[str, Query(max_length=254)] = "",
) -> dict[str, Any]:
    """`next` is what to give as `after` for the following page."""
    found = await parts.users.list(limit, after)
    return {"users": [shown(user) for user in found], "next": found[-1].login if len(found) == limit else None}


@router.post("", status_code=201, summary="Make a local account")
async def create(body: NewUser, request: Request, parts: TheParts, _caller: Admin) -> dict[str, Any]:
    """409 where the address is taken."""
    hashed = await parts.signing_in.passwords.hash(body.password.get_secret_value())
    return shown(await parts.users.create(body.email, body.name, body.role, hashed, by(request)))


@router.patch("/{user_id}", summary="Change a user's role or password, or shut them out")
async def change(user_id: str, body: ChangedUser, request: Request, parts: TheParts, _caller: Admin) -> dict[str, Any]:
    """Ends the user's logins. The last administrator stays one (409)."""
    hashed = await parts.signing_in.passwords.hash(body.password.get_secret_value()) if body.password is not None else None
    changed = await parts.users.change(user_id, role=body.role, disabled=body.disabled, password=hashed, by=by(request))
    parts.signing_in.forget()
    return shown(changed)


def shown(user: User) -> dict[str, Any]:
    """As JSON values."""
    return {
        "id": user.id,
        "source": user.source,
        "login": user.login,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "disabled": user.disabled,
        "createdAt": user.created_at,
        "lastLoginAt": user.last_login_at,
    }
