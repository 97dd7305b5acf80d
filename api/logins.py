"""Logging in over HTTP: for programs with tokens, for browsers with a cookie and a page that needs no JavaScript."""

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import Field, SecretStr

from api.auth import COOKIE, presented, require, same_site
from api.bodies import StrictBody
from api.pages.login import login_page
from api.parts import TheParts
from core.config import Settings
from core.errors import DirectoryUnavailable, Forbidden, TooManyAttempts, Unauthorized
from core.identity.signing_in import Login
from core.store.access import Principal
from core.store.members import Members

router = APIRouter(tags=["access"])
Username = Annotated[str, Field(min_length=1, max_length=254)]
Anyone = Annotated[Principal, Depends(require())]


class LoginRequest(StrictBody):
    """A name and a password. ``email`` and ``username`` are the same: what the account or the directory knows."""

    username: Username | None = None
    email: Username | None = None
    password: Annotated[SecretStr, Field(max_length=1024)]


class RefreshRequest(StrictBody):
    """The refresh token of the last answer."""

    refreshToken: Annotated[SecretStr, Field(max_length=200)]  # noqa: N815 - as it is on the wire


@router.post("/auth/login", summary="Log in with a name and a password")
async def login(body: LoginRequest, request: Request, response: Response, parts: TheParts) -> dict[str, Any]:
    """Gives an access token for the header `Authorization: Bearer`, and a refresh token that is good for one renewal."""
    name = body.username or body.email
    if name is None:
        raise Unauthorized("A name is needed: give email or username, and password.")
    made = await parts.signing_in.log_in(name, body.password.get_secret_value(), "api", client_of(request), agent_of(request))
    response.headers["cache-control"] = "no-store"
    return _shown(made)


@router.post("/auth/refresh", summary="Another access token for a refresh token")
async def refresh(body: RefreshRequest, request: Request, response: Response, parts: TheParts) -> dict[str, Any]:
    """A refresh token counts once, and the next one is in the answer. One that comes twice ends the login."""
    response.headers["cache-control"] = "no-store"
    return _shown(await parts.signing_in.renew(body.refreshToken.get_secret_value(), client_of(request)))


@router.post("/auth/logout", status_code=204, summary="Log out")
async def logout(request: Request, response: Response, parts: TheParts, body: RefreshRequest | None = None) -> None:
    """Ends the login of the token in the header, of the refresh token in the body, or of the browser's cookie."""
    given = [body.refreshToken.get_secret_value()] if body is not None else []
    given += [token for token in (presented(request), request.cookies.get(COOKIE) if same_site(request) else None) if token]
    for token in given:
        await parts.signing_in.log_out(token, client_of(request))
    if same_site(request):
        _forget_cookie(response, request, parts.settings)


@router.post("/logout", include_in_schema=False)
async def leave(request: Request, parts: TheParts) -> Response:
    """What the button on our pages sends: ends the browser's login, and leads to the login page."""
    if not same_site(request):
        raise Forbidden("This form was sent from another site.")
    if (cookie := request.cookies.get(COOKIE)) is not None:
        await parts.signing_in.log_out(cookie, client_of(request))
    response = RedirectResponse("login", 303, {"cache-control": "no-store"})
    _forget_cookie(response, request, parts.settings)
    return response


def _forget_cookie(response: Response, request: Request, settings: Settings) -> None:
    for domain in {None, domain_of(request, settings)}:
        response.delete_cookie(COOKIE, path="/", domain=domain)


@router.get("/auth/me", summary="Who the caller is")
async def me(caller: Anyone, parts: TheParts) -> dict[str, Any]:
    """The token's or the user's name, what may be done with it, in which workspace, and the role in each that may be chosen."""
    kind, _, user = caller.token_id.partition(":")
    role: str | None = None
    places: dict[str, str | None] = {caller.workspace: None}
    if user:
        role = (await parts.users.get(user)).role
        places = {**(await Members(parts.store).of(user))[user]} or {caller.workspace: role}
    if caller.allows("admin"):
        places = {each.name: "admin" for each in await parts.workspaces.list()}
    return {
        "kind": "user" if user else "token",
        "id": user or kind,
        "name": caller.name,
        "role": role,
        "scopes": sorted(caller.scopes),
        "workspace": caller.workspace,
        "workspaces": [{"name": name, "role": there} for name, there in places.items()],
    }


@router.get("/login", include_in_schema=False)
async def page(request: Request, parts: TheParts, next: str = "/status") -> HTMLResponse:  # noqa: A002 - as it is in the address
    """The page with the form."""
    return login_page(request, target(next, request, parts.settings))


@router.post("/login", include_in_schema=False)
async def enter(request: Request, parts: TheParts) -> Response:
    """What the form sends: leads on with a cookie, or shows the form again with what was wrong."""
    if not same_site(request):
        raise Forbidden("This form was sent from another site.")
    # Forms without files are this simple; the framework's own reader would be one more library.
    form = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10))
    username, password = form.get("username", ""), form.get("password", "")
    where = target(form.get("next", ""), request, parts.settings)
    try:
        made = await parts.signing_in.log_in(username, password, "browser", client_of(request), agent_of(request))
    except (Unauthorized, TooManyAttempts, DirectoryUnavailable) as error:
        return login_page(request, where, username=username, error=error)
    response = RedirectResponse(where, 303)
    set_cookie(response, made.renewal, request, parts.settings)
    return response


def set_cookie(response: Response, cookie: str, request: Request, settings: Settings) -> None:
    """The browser's login: never read by scripts, never sent by other sites' forms, only over TLS where there is TLS."""
    secure = request.url.scheme == "https" or settings.address.startswith("https://")
    seconds = int(settings.access.login_days * 86_400)
    domain = domain_of(request, settings)
    response.set_cookie(COOKIE, cookie, max_age=seconds, path="/", domain=domain, secure=secure, httponly=True, samesite="lax")
    response.headers["cache-control"] = "no-store"


def domain_of(request: Request, settings: Settings) -> str | None:
    """Whose hosts get the cookie; None for ours alone, also where we were asked by a name that the domain does not hold."""
    domain, host = settings.access.cookie_domain, request.url.hostname or ""
    return domain if domain is not None and f".{host}".endswith(f".{domain}") else None


def target(wanted: str, request: Request, settings: Settings) -> str:
    """Where the login page may lead on to: a path of ours, or a configured host; anything else leads to the status page."""
    try:
        parts = urlsplit(wanted)
        parts.port  # noqa: B018 - raises where it is none
    except ValueError:
        return "/status"
    if "\\" in wanted or any(ord(mark) < 33 for mark in wanted):
        return "/status"
    if not parts.scheme and not parts.netloc and wanted.startswith("/") and not wanted.startswith("//"):
        return wanted
    # Not the host that the request names: whoever makes the request chooses that.
    hosts = {urlsplit(settings.address).hostname, *settings.access.login_hosts}
    return wanted if parts.scheme in ("http", "https") and parts.hostname in hosts and parts.username is None else "/status"


def client_of(request: Request) -> str:
    """The caller's address."""
    return request.client.host if request.client is not None else ""


def agent_of(request: Request) -> str:
    """What the caller says it is."""
    return request.headers.get("user-agent", "")


def _shown(made: Login) -> dict[str, Any]:
    user = made.user
    return {
        "accessToken": made.access,
        "tokenType": "Bearer",
        "expiresIn": max(0, int((made.access_ends - datetime.now(UTC)).total_seconds())),
        "refreshToken": made.renewal,
        "user": {"id": user.id, "email": user.email, "name": user.name, "role": user.role, "source": user.source},
    }
