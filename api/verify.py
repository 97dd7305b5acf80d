"""``/auth/verify``: whether a request that nginx holds back may pass, for programs that have no login of their own.

nginx's ``auth_request`` sends a copy of the request's headers and lets it pass on 2xx. The answer's headers say who it is.
"""

import base64
import binascii
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Request, Response

from api.auth import COOKIE, WORKSPACE
from api.logins import client_of
from api.parts import Parts, TheParts
from core.errors import Forbidden
from core.identity.signing_in import principal, role_at
from core.settings_access import ROLES, Role
from core.store.logins import Standing

router = APIRouter(tags=["access"])


@router.get("/auth/verify", summary="Whether a request may pass, for nginx's auth_request")
@router.head("/auth/verify", include_in_schema=False)
async def verify(request: Request, response: Response, parts: TheParts, role: Annotated[Role, Query()] = "viewer") -> None:
    """By the cookie of `/login`, else by Basic authentication; any other `Authorization` is the guarded program's own business.

    Answers 200 with `X-Auth-User`, `X-Auth-Email`, `X-Auth-Name` (percent-encoded), `X-Auth-Workspace` (the first, or the one of
    `X-Workspace`) and `X-Auth-Role` there, of which `admin` is the installation's administrator alone; 403 for someone whose role
    is less than `role`; 401 for nobody, with the login page in `X-Auth-Login`, which leads back to the `X-Original-URL` given.
    """
    user = await _user(request, parts)
    if user is None:
        raise HTTPException(401, "Log in first.", {"X-Auth-Login": _login(request, parts)})
    found = principal(user)
    there = found.entering(request.headers.get(WORKSPACE) or found.workspace)
    if there is None:
        raise Forbidden("You are not in this workspace; ask its administrator to let you in.")
    await parts.workspaces.known(there.workspace)
    has = role_at(user, there.workspace)
    if ROLES.index(has) < ROLES.index(role):
        raise Forbidden(f"This needs the role {role}; {user.login} is {has}.")
    response.headers.update(
        {
            "X-Auth-User": quote(user.login, safe="@"),
            "X-Auth-Email": quote(user.email, safe="@"),
            "X-Auth-Name": quote(user.name),
            "X-Auth-Role": has,
            "X-Auth-Workspace": there.workspace,
            "Cache-Control": "no-store",
        }
    )


def _login(request: Request, parts: Parts) -> str:
    """The login page's address: nginx cannot put an address into another one's query."""
    wanted = request.headers.get("x-original-url", "").encode("latin-1")
    return f"{parts.settings.address.rstrip('/')}/login" + (f"?next={quote(wanted, safe='')}" if wanted else "")


async def _user(request: Request, parts: Parts) -> Standing | None:
    cookie = request.cookies.get(COOKIE)
    if cookie and (standing := await parts.signing_in.standing(cookie)) is not None:
        return standing
    given = _basic(request.headers.get("authorization", ""))
    return await parts.signing_in.of_basic(*given, client_of(request)) if given is not None else None


def _basic(header: str) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, found, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, password) if found else None
