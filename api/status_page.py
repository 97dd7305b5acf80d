"""How everything is: a page for people, and the same facts for programs."""

import base64
import binascii
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import HTTPException
from fastapi.responses import HTMLResponse

from api.auth import COOKIE, Require
from api.pages.rendering import HEADERS, Look, Theme, plain_page, status_page
from api.parts import Parts, TheParts
from api.status import STARTED
from core.errors import DatabaseUnavailable, Unauthorized
from core.status.asking import LISTED, Status
from core.status.told import told
from core.status.words import language_of
from core.store.access import Principal

router = APIRouter(tags=["health"])
REFRESH = 30
NOBODY = Principal("", "", frozenset())
CHALLENGE = 'Basic realm="Pilothouse: any name, and a token as the password", charset="UTF-8"'
KEPT = ("lang", "theme", "refresh", "platform", "page")
"""What links on the page carry on."""
Platform = Annotated[str | None, Query(max_length=200, description="List this platform's services.")]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=100_000)]


class Visitor(Require):
    """As ``Require``, and a token may be the password of Basic authentication. A browser without either is led to the login page,
    or, where nobody has an account, asks for the token in its own dialogue."""

    async def __call__(self, request: Request) -> Principal:
        try:
            return await super().__call__(_as_bearer(request))
        except Unauthorized as error:
            if "text/html" not in request.headers.get("accept", ""):
                raise
            if "authorization" not in request.headers and await _has_accounts(request.app.state.parts):
                query = f"?{request.url.query}" if request.url.query else ""
                onward = urlencode({"next": request.url.path + query})
                raise HTTPException(303, error.message, {"Location": f"login?{onward}"}) from error
            # Browsers show their dialogue on this header alone.
            raise HTTPException(401, error.message, {"WWW-Authenticate": CHALLENGE}) from error


class Door(Visitor):
    """As ``Visitor``; gives ``NOBODY``, who may see nothing, while the database is away and no token can be checked."""

    async def __call__(self, request: Request) -> Principal:
        try:
            return await super().__call__(request)
        except DatabaseUnavailable:
            return NOBODY


def who_is_shown(request: Request, caller: Principal) -> str:
    """Whose login the browser's cookie is; empty for a caller with a token, who has nothing to log out of."""
    by_cookie = COOKIE in request.cookies and "authorization" not in request.headers
    return caller.name if by_cookie and caller.token_id.startswith("user:") else ""


async def _has_accounts(parts: Parts) -> bool:
    return bool(parts.settings.ldap.urls) or await parts.users.any()


def _as_bearer(request: Request) -> Request:
    """The request with the password of its Basic authentication as a bearer token; any other as it is."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return request
    try:
        password = base64.b64decode(encoded.strip(), validate=True).partition(b":")[2]
    except binascii.Error:
        password = b""
    others = [(name, value) for name, value in request.scope["headers"] if name != b"authorization"]
    return Request({**request.scope, "headers": [*others, (b"authorization", b"Bearer " + password)]})


def install(app: FastAPI, parts: Parts) -> None:
    """Make what the status is asked of; it remembers things from one request to the next."""
    app.state.status = Status(parts.store, parts.settings, datetime.fromtimestamp(STARTED, UTC))


def status_of(request: Request) -> Status:
    """What the status is asked of."""
    found: Status = request.app.state.status
    return found


@router.get("/status", summary="How everything is, for people", response_class=HTMLResponse)
@router.head("/status", include_in_schema=False)
async def page(
    request: Request,
    caller: Annotated[Principal, Depends(Door("read"))],
    parts: TheParts,
    platform: Platform = None,
    number: PageNumber = 1,
    theme: Annotated[Theme, Query()] = "",
    refresh: Annotated[int, Query(ge=0, le=3600)] = REFRESH,
    lang: Annotated[Literal["en", "zh"] | None, Query()] = None,
) -> HTMLResponse:
    """What is down and why, and everything else worth seeing at a glance; it needs no script. `lang` is `en` or `zh` (else the
    browser's), `theme` `light` or `dark` (else the device's), `refresh` the seconds after which the page loads itself again."""
    settings = parts.settings
    look = Look(
        language_of(lang, request.headers.get("accept-language", "")),
        ZoneInfo(settings.timezone),
        theme,
        refresh,
        tuple((name, value) for name, value in request.query_params.items() if name in KEPT),
        who_is_shown(request, caller),
    )
    if caller is not NOBODY:
        with suppress(DatabaseUnavailable):
            view = await status_of(request).view(platform, number)
            return HTMLResponse(status_page(view, look), headers=dict(HEADERS))
    return HTMLResponse(plain_page("away.html", look, datetime.now(UTC)), 503, dict(HEADERS) | {"Retry-After": "10"})


@router.get("/status.json", summary="How everything is, for programs")
@router.head("/status.json", include_in_schema=False)
async def facts(
    request: Request,
    caller: Annotated[Principal, Depends(Visitor("read"))],
    response: Response,
    platform: Platform = None,
    number: PageNumber = 1,
    limit: Annotated[int, Query(ge=1, le=1000)] = LISTED,
    history: bool = True,
) -> dict[str, Any]:
    """The same facts. `services` holds all of them up to 150 in number; where there are more, those of `platform`, in pages of
    `limit`; with `history=false` quicker, without their uptimes and latencies. Times are UTC, spans seconds, sizes bytes, uptimes
    shares from 0 to 1, `latency` the mean of each of the last 24 hours, the oldest first."""
    response.headers["Cache-Control"] = "no-store"
    return told(await status_of(request).view(platform, number, limit, history=history))


@router.get("/", include_in_schema=False)
@router.head("/", include_in_schema=False)
async def door(request: Request, parts: TheParts) -> HTMLResponse:
    """Where to go from here."""
    language = language_of(request.query_params.get("lang"), request.headers.get("accept-language", ""))
    look = Look(language, ZoneInfo(parts.settings.timezone))
    return HTMLResponse(plain_page("door.html", look, datetime.now(UTC)), headers=dict(HEADERS))
