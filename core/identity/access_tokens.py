"""Access tokens: short-lived JWTs that say who somebody is, checked without a query.

RFC 7519 with HS256 (RFC 7518); ``alg`` is never taken from the token. The key is found by ``kid``, so that a new secret can
sign while those of before still count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import jwt

from core.settings_access import ROLES, Role

ISSUER = AUDIENCE = "pilothouse"
ALGORITHM = "HS256"
LEEWAY = 5.0
"""Seconds that clocks of several API machines may differ."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says: whose it is, since which login, and until when."""

    user_id: str
    login_id: str
    role: Role
    expires_at: datetime


class AccessTokens:
    """Signs with the first of ``secrets`` and believes all of them."""

    def __init__(self, secrets: Sequence[str], minutes: float) -> None:
        self._keys = {key_id(secret): secret for secret in secrets}
        self._signing = key_id(secrets[0])
        self._lasts = timedelta(minutes=minutes)

    def sign(self, user_id: str, login_id: str, role: Role) -> tuple[str, datetime]:
        """A token and when it ends."""
        now = datetime.now(UTC)
        ends = (now + self._lasts).replace(microsecond=0)
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user_id, "sid": login_id, "role": role, "iat": now, "exp": ends}
        return jwt.encode(claims, self._keys[self._signing], ALGORITHM, {"kid": self._signing}), ends

    def verify(self, token: str) -> Claims | None:
        """What it says; None for one that is altered, expired, of another issuer or audience, or not ours at all."""
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            said = jwt.decode(
                token,
                key,
                [ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "sub", "sid", "aud", "iss"]},
            )
        except (jwt.PyJWTError, KeyError, TypeError):
            return None
        if said.get("role") not in ROLES:
            return None
        return Claims(said["sub"], str(said["sid"]), said["role"], datetime.fromtimestamp(said["exp"], UTC))


def key_id(secret: str) -> str:
    """Names a key without telling anything of it."""
    return sha256(b"pilothouse key id " + secret.encode()).hexdigest()[:12]
