"""Logging in by another provider: the browser is sent there, and comes back with a code."""

from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.logins import agent_of, client_of, set_cookie, target
from api.pages.login import login_page
from api.parts import Parts, TheParts
from core.errors import DirectoryUnavailable, LoginRefused, NotFound
from core.identity.oidc import SECONDS, Begun, IdentityProvider

router = APIRouter(tags=["access"])
COOKIE = "pilothouse_elsewhere"
"""What a browser holds on its way there and back."""
Text = Annotated[str, Query(max_length=4096)]


@router.get("/auth/oidc/{name}/login", status_code=303, summary="Log in by another provider", response_class=RedirectResponse)
async def begin(name: str, request: Request, parts: TheParts, next: str = "/status", here: bool = False) -> Response:  # noqa: A002
    """Leads the browser to the provider `[oidc.NAME]`, and afterwards on to `next`."""
    provider = _provider(parts, name)
    where = target(next, request, parts.settings)
    if request.url.hostname != urlsplit(parts.settings.address).hostname and not here:
        # The provider leads back to our own address, and only there the cookie would come along.
        address = f"{parts.settings.address}/auth/oidc/{name}/login?here=1&next={quote(where, safe='')}"
        return RedirectResponse(address, 303, {"cache-control": "no-store"})
    begun, cookie = parts.elsewhere.logins.begin(name, where)
    try:
        leads = await provider.leads(begun, _back(parts, name))
    except DirectoryUnavailable as error:
        return login_page(request, where, error=error, by=provider.label)
    response = RedirectResponse(leads, 303, {"cache-control": "no-store", "referrer-policy": "no-referrer"})
    response.set_cookie(COOKIE, cookie, SECONDS, path="/", secure=_secure(request, parts), httponly=True, samesite="lax")
    return response


@router.get("/auth/oidc/{name}/callback", status_code=303, summary="Where another provider leads back to")
async def end(
    name: str, request: Request, parts: TheParts, state: Text = "", code: Text = "", error: Text = "", iss: Text | None = None
) -> Response:
    """Where the provider leads back to: on with our cookie, or the login page with what was wrong."""
    provider = _provider(parts, name)
    held = request.cookies.get(COOKIE)
    try:
        begun = parts.elsewhere.logins.ended(name, state, held)
        person = await provider.person(_answered(begun, code, error, iss, parts), code, _back(parts, name))
        made = await parts.signing_in.let_in(provider.source, person, "browser", client_of(request), agent_of(request))
    except (LoginRefused, DirectoryUnavailable) as wrong:
        reason = wrong.reason if isinstance(wrong, LoginRefused) else wrong.code
        known = parts.elsewhere.logins.read(held)
        page = login_page(request, known.next if known else "/status", error=wrong, by=provider.label)
        if reason != "lost":  # anybody can send a browser here, which is neither worth noting nor ends a login on its way
            page.delete_cookie(COOKIE, path="/")
        if reason not in ("lost", "disabled"):
            await parts.signing_in.refused(provider.source, client_of(request), reason)
        return page
    response = RedirectResponse(begun.next, 303)
    response.delete_cookie(COOKIE, path="/")
    set_cookie(response, made.renewal, request, parts.settings)
    return response


def _answered(begun: Begun, code: str, error: str, issuer: str | None, parts: Parts) -> Begun:
    """The login where the provider answered with a code. What else it says is shown to nobody: anybody can write it."""
    if error:
        raise LoginRefused("The other provider did not let you in.", "denied" if error == "access_denied" else "invalid")
    expected = parts.settings.oidc[begun.provider].address
    if not code or (issuer is not None and issuer != expected):  # RFC 9207
        raise LoginRefused("The other provider's answer could not be taken: log in again.", "invalid")
    return begun


def _provider(parts: Parts, name: str) -> IdentityProvider:
    provider = parts.elsewhere.providers.get(name)
    if provider is None:
        raise NotFound("There is no such provider of logins; the configuration's [oidc.X] name them.")
    return provider


def _back(parts: Parts, name: str) -> str:
    return f"{parts.settings.address}/auth/oidc/{name}/callback"


def _secure(request: Request, parts: Parts) -> bool:
    return request.url.scheme == "https" or parts.settings.address.startswith("https://")
