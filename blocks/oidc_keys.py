"""The keys that a provider signs with, kept for an hour, and asked for again when a token names one that is not among them."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import structlog
from jwt import PyJWK

from blocks.identity_http import Told
from core.errors import DirectoryUnavailable
from core.identity.oidc_tokens import Invalid, KeyUnknown, keys_in, verified

log = structlog.get_logger(__name__)

KEPT_SECONDS = 3600.0
AWAY_SECONDS = 3.0
"""Before a provider that did not answer is asked again, so that strangers cannot have us ask it all the time."""
AGAIN_SECONDS = 30.0
"""Between two questions because of a key that is not known: anybody can make up names of keys."""
NO_KEYS = "The provider of this login does not give keys that can be used: try again in a moment, or look at its signing keys."


class OidcKeys:
    """``ask`` fetches the provider's JWKS; ``again`` is the least time between two questions because of unknown keys."""

    def __init__(self, name: str, ask: Callable[[], Awaitable[Told]], again: float = AGAIN_SECONDS) -> None:
        self._name, self._ask, self._again = name, ask, again
        self._keys: tuple[PyJWK, ...] = ()
        self._asked: float | None = None
        self._due = 0.0
        self._doubted: float | None = None
        self._lock = asyncio.Lock()

    async def verified(self, token: str, issuer: str, audiences: tuple[str, ...]) -> dict[str, Any]:
        """A token's claims. Raises ``Invalid``, and ``DirectoryUnavailable`` while no keys are to be had."""
        now = monotonic()
        if not self._keys or self._due < now:
            await self._fetch(now)
        try:
            return verified(token, self._keys, issuer, audiences)
        except KeyUnknown:
            if self._doubted is not None and self._doubted + self._again > now:
                raise Invalid("kid") from None
            self._doubted = now
            await self._fetch(now)
        try:
            return verified(token, self._keys, issuer, audiences)
        except KeyUnknown:
            raise Invalid("kid") from None

    async def _fetch(self, since: float) -> None:
        """New keys; the old ones count on while the provider is away."""
        async with self._lock:
            if self._asked is not None and self._asked >= since - (0.0 if self._keys else AWAY_SECONDS):
                if not self._keys:
                    raise DirectoryUnavailable(NO_KEYS, retry_after=AWAY_SECONDS)
                return  # somebody else has asked meanwhile
            self._asked = monotonic()
            try:
                told = await self._ask()
                self._keys = keys_in(told.document or {})
                self._due = monotonic() + KEPT_SECONDS
                log.info("oidc_keys_read", provider=self._name, keys=len(self._keys))
            except (DirectoryUnavailable, Invalid) as error:
                self._due = monotonic() + self._again
                log.warning("oidc_keys_not_read", provider=self._name, reason=type(error).__name__)
                if not self._keys:
                    raise DirectoryUnavailable(NO_KEYS, retry_after=AWAY_SECONDS) from error
