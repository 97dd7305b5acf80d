"""Names and passwords that were right a moment ago, for programs that send them with each request; no password is held."""

import hmac
import secrets
from time import monotonic

from core.store.logins import Standing

FRESH_SECONDS = 5.0
"""How long it is believed that a login stands, as for tokens."""
MOST = 10_000
NEWS = 3600.0
"""Seconds after which the same program's login is told of once more."""


class Remembered:
    """By a digest that only this process can make, and for seconds. ``directory_seconds``: for how long at most a directory's
    accounts are believed without asking it."""

    def __init__(self, directory_seconds: float) -> None:
        self._pepper = secrets.token_bytes(32)
        self._directory = min(FRESH_SECONDS, directory_seconds)
        self._known: dict[bytes, tuple[float, Standing]] = {}
        self._told: dict[tuple[str, str], float] = {}

    def key(self, username: str, password: str, address: str) -> bytes:
        """What stands for them."""
        said = "\0".join((username.strip().lower(), address, password))
        return hmac.digest(self._pepper, said.encode("utf-8", "replace"), "sha256")

    def get(self, key: bytes) -> Standing | None:
        """Whose they were, while that is believed."""
        until, standing = self._known.get(key, (0.0, None))
        if standing is None or until > monotonic():
            return standing
        del self._known[key]
        return None

    def put(self, key: bytes, standing: Standing, *, local: bool) -> None:
        """They were right just now."""
        seconds = FRESH_SECONDS if local else self._directory
        if seconds > 0:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[key] = (monotonic() + seconds, standing)

    def is_news(self, user_id: str, address: str) -> bool:
        """Whether nobody was told within the hour that this user logs in so from there."""
        now = monotonic()
        if self._told.get((user_id, address), -NEWS) > now - NEWS:
            return False
        if len(self._told) >= MOST:
            self._told.clear()
        self._told[(user_id, address)] = now
        return True

    def clear(self) -> None:
        """Believe nothing any more."""
        self._known.clear()
