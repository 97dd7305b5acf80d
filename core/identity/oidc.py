"""Logging in by another provider: what the browser holds on its way there and back, and who comes back.

Authorization code with PKCE (RFC 6749, RFC 7636, RFC 9700). The browser's cookie is signed, so that nothing is kept here for
those who never come back; it names the provider, the state and the nonce, and so binds the answer to this browser.
"""

import base64
import hmac
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from time import monotonic
from typing import Protocol

import jwt

from core.errors import LoginRefused
from core.identity.directory import Person

SECONDS = 600
"""How long somebody may take at the other provider."""
AUDIENCE = "pilothouse login elsewhere"
LONGEST_NEXT = 1500
"""Characters of where to go afterwards; browsers keep cookies of 4 KB."""
REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Begun:
    """A login on its way. ``verifier`` proves to the provider that who began it ends it."""

    provider: str
    state: str
    nonce: str
    verifier: str
    next: str

    @property
    def challenge(self) -> str:
        """PKCE's ``S256`` of the verifier."""
        return base64.urlsafe_b64encode(sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()


class IdentityProvider(Protocol):
    """Another provider of logins."""

    source: str
    """What it is called in our table: ``oidc:NAME``."""
    label: str
    """What people call it."""

    async def leads(self, begun: Begun, back: str) -> str:
        """The address to send the browser to, which comes back to ``back``. Raises ``DirectoryUnavailable``."""

    async def person(self, begun: Begun, code: str, back: str) -> Person:
        """Who comes back with this code. Raises ``LoginRefused`` and ``DirectoryUnavailable``."""

    async def bearer(self, token: str) -> Person | None:
        """Whose access token it is; None where it is none of this provider's. Raises ``DirectoryUnavailable``."""


class LoginsElsewhere:
    """Begins logins and knows those that come back. ``secret`` is shared by all API processes."""

    def __init__(self, secret: str) -> None:
        # A key of its own, so that what it signs is never taken for anything else signed with the same secret.
        self._key = hmac.digest(secret.encode(), b"pilothouse logins elsewhere", sha256)
        self._ended: dict[str, float] = {}

    def begin(self, provider: str, where: str) -> tuple[Begun, str]:
        """A new login, and the browser's cookie for it."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        begun = Begun(provider, state, nonce, verifier, where if len(where) <= LONGEST_NEXT else "/status")
        ends = datetime.now(UTC) + timedelta(seconds=SECONDS)
        return begun, jwt.encode({**asdict(begun), "aud": AUDIENCE, "exp": ends}, self._key, "HS256")

    def ended(self, provider: str, state: str, cookie: str | None) -> Begun:
        """The login that comes back, once. Raises ``LoginRefused`` where this browser did not begin it."""
        begun = self.read(cookie)
        if begun is None or begun.provider != provider or not hmac.compare_digest(begun.state.encode(), state.encode()):
            raise _lost()
        now = monotonic()
        if len(self._ended) >= REMEMBERED:
            self._ended = {one: until for one, until in self._ended.items() if until > now}
        if self._ended.get(begun.state, 0.0) > now:
            raise _lost()
        self._ended[begun.state] = now + SECONDS
        return begun

    def read(self, cookie: str | None) -> Begun | None:
        """What a cookie of ours says; None for any other."""
        try:
            said = jwt.decode(cookie or "", self._key, ["HS256"], audience=AUDIENCE, options={"require": ["exp", "aud"]})
            return Begun(**{name: str(said[name]) for name in Begun.__dataclass_fields__})
        except (jwt.PyJWTError, KeyError):
            return None


def _lost() -> LoginRefused:
    return LoginRefused("This login was not begun in this browser, took too long or has been used: log in again.", "lost")
