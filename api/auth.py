"""Who may call: a bearer token with one of a route's scopes, declared in OpenAPI and checked without a query per request."""

from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from core.errors import Forbidden, Unauthorized
from core.store.access import Principal, Tokens


class Require(SecurityBase):
    """A dependency that answers 401 without a valid token and 403 without one of ``scopes``; gives the ``Principal``.

    A scope may name a path parameter: ``flows:{name}``. With no scope any valid token will do. Tokens in a query string are
    never read. The principal is left in ``request.state.principal`` for the log line.
    """

    model = HTTPBearer(description="A token from `pilothouse token create`, or the one in the data directory's `admin-token`.")
    scheme_name = "token"

    def __init__(self, *scopes: str, authtoken: bool = False) -> None:
        self._scopes = scopes
        self._authtoken = authtoken

    async def __call__(self, request: Request) -> Principal:
        plaintext = self._presented(request)
        if not plaintext:
            or_so = " or `authtoken: TOKEN`" if self._authtoken else ""
            raise Unauthorized(f"A token is needed: send `Authorization: Bearer TOKEN`{or_so}.")
        tokens: Tokens = request.app.state.parts.tokens
        principal = await tokens.verify(plaintext)
        if principal is None:
            raise Unauthorized("The token is not valid: unknown, expired or revoked.")
        request.state.principal = principal
        wanted = [scope.format_map(request.path_params) for scope in self._scopes]
        if wanted and not any(principal.allows(scope) for scope in wanted):
            raise Forbidden(f"This token lacks the scope {' or '.join(self._scopes)}.")
        return principal

    def _presented(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
        return request.headers.get("authtoken", "") if self._authtoken else ""


def require(*scopes: str, authtoken: bool = False) -> Require:
    """``Depends(require("chat"))``; with ``authtoken``, FastGPT's header of that name is taken too."""
    return Require(*scopes, authtoken=authtoken)
