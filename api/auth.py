"""Who may call: a token of a program or a login of a person, with one of a route's scopes; no query for each request."""

from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from api.left import show_left
from core.errors import Forbidden, Unauthorized
from core.identity.signing_in import SigningIn
from core.store.access import Principal
from core.workspaces import enter

COOKIE = "pilothouse_login"
"""What `/login` sets in a browser."""
WORKSPACE = "x-workspace"
"""The header by which somebody who is in several workspaces says in which a request is made."""
SAFE = ("GET", "HEAD", "OPTIONS")


class Require(SecurityBase):
    """A dependency that answers 401 without a valid token and 403 without one of ``scopes``; gives the ``Principal``.

    A scope may name a path parameter: ``flows:{name}``. With no scope any valid token will do. Tokens in a query string are
    never read. A browser's cookie counts where there is no token; for what changes something only on requests of our own pages.
    The principal is left in ``request.state.principal`` for the log line.
    """

    model = HTTPBearer(
        description="From `pilothouse token create`, the one in the data directory's `admin-token`, or one of `/auth/login`."
    )
    scheme_name = "token"

    def __init__(self, *scopes: str, authtoken: bool = False) -> None:
        self._scopes = scopes
        self._authtoken = authtoken

    async def __call__(self, request: Request) -> Principal:
        principal = await self._within(request, await self._caller(request))
        request.state.principal = principal
        enter(principal.workspace)
        wanted = [scope.format_map(request.path_params) for scope in self._scopes]
        if wanted and not any(principal.allows(scope) for scope in wanted):
            raise Forbidden(f"This token lacks the scope {' or '.join(self._scopes)}.")
        if not getattr(request.state, "counted", False):  # a route may ask more than once
            request.state.counted = True
            show_left(request.scope, await request.app.state.parts.gate.request(principal))
        return principal

    async def _caller(self, request: Request) -> Principal:
        plaintext = self._presented(request)
        if plaintext:
            principal = await principal_of(request, plaintext)
            if principal is None:
                raise Unauthorized("The token is not valid: unknown, expired or revoked.")
            return principal
        cookie = request.cookies.get(COOKIE)
        if cookie is not None:
            signing_in: SigningIn = request.app.state.parts.signing_in
            principal = await signing_in.of_cookie(cookie)
            if principal is not None and request.method not in SAFE and not same_site(request):
                raise Forbidden("This request was made from another site.")
            if principal is not None:
                return principal
        or_so = " or `authtoken: TOKEN`" if self._authtoken else ""
        raise Unauthorized(f"A token is needed: send `Authorization: Bearer TOKEN`{or_so}.")

    async def _within(self, request: Request, caller: Principal) -> Principal:
        wanted = request.headers.get(WORKSPACE)
        if wanted is None or wanted == caller.workspace:
            return caller
        chosen = caller.entering(wanted)
        if chosen is None:
            raise Forbidden("You are not in this workspace; ask its administrator to let you in.")
        await request.app.state.parts.workspaces.known(wanted)
        return chosen

    def _presented(self, request: Request) -> str:
        return presented(request) or (request.headers.get("authtoken", "") if self._authtoken else "")


def require(*scopes: str, authtoken: bool = False) -> Require:
    """``Depends(require("chat"))``; with ``authtoken``, FastGPT's header of that name is taken too."""
    return Require(*scopes, authtoken=authtoken)


def presented(request: HTTPConnection) -> str:
    """The bearer token in the header, or nothing."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def principal_of(request: HTTPConnection, plaintext: str) -> Principal | None:
    """Whom a token stands for: one of ours, or a login's or a configured provider's (which have dots); None for a bad one."""
    parts = request.app.state.parts
    found: Principal | None
    if plaintext.count(".") == 2:
        found = await parts.signing_in.of_access_token(plaintext)
        if found is not None:
            return found
        found = await parts.elsewhere.principal(plaintext)
        if found is not None:
            return found
    found = await parts.tokens.verify(plaintext)
    return found


def same_site(request: HTTPConnection) -> bool:
    """Whether a browser says that one of our own pages made the request. Old browsers only tell the origin."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host", "")
