"""The other providers of logins: those who are on their way to one, and bearer tokens of theirs, checked every few seconds."""

from collections.abc import Mapping
from hashlib import sha256
from time import monotonic

from core.identity.oidc import IdentityProvider, LoginsElsewhere
from core.identity.remembered import FRESH_SECONDS
from core.identity.signing_in import SigningIn
from core.store.access import Principal

REMEMBERED = 10_000


class Elsewhere:
    """``providers`` by name; ``secret`` is shared by all API processes."""

    def __init__(self, providers: Mapping[str, IdentityProvider], signing_in: SigningIn, secret: str) -> None:
        self.providers, self.logins, self._signing_in = providers, LoginsElsewhere(secret), signing_in
        self._known: dict[bytes, tuple[float, Principal]] = {}
        """By the token's SHA-256: until when it is believed, and whose it is."""

    async def principal(self, token: str) -> Principal | None:
        """Whom it stands for; None where it counts for nothing. Raises ``DirectoryUnavailable`` while its provider is away."""
        if not self.providers:
            return None
        key = sha256(token.encode()).digest()
        until, known = self._known.get(key, (0.0, None))
        if known is not None and until > monotonic():
            return known
        self._known.pop(key, None)
        for provider in self.providers.values():
            person = await provider.bearer(token)
            found = await self._signing_in.vouched(provider.source, person) if person is not None else None
            if found is not None:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[key] = (monotonic() + FRESH_SECONDS, found)
                return found
        return None
