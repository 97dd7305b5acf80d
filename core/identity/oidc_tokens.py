"""Tokens that other providers sign: whether one is genuine, meant for us and in time.

RFC 7519, RFC 8725 and OpenID Connect Core 1.0, 3.1.3.7. The algorithms are public-key ones alone, so that ``none`` and an HMAC
with the public key count for nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from jwt import PyJWK, PyJWKSet

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
LEEWAY = 30.0
"""Seconds that clocks may differ."""
LONGEST = 16_384
OTHER_USES = frozenset({"id", "refresh", "logout", "refresh-token", "logout+jwt", "dpop+jwt", "id-token"})
"""What a token may say of itself that is no access token: Keycloak by ``typ``, Casdoor by ``tokenType``, others in the header."""


class Invalid(Exception):
    """A token that counts for nothing; the message says why, without anything of the token."""


class KeyUnknown(Exception):
    """A token signed with a key that is not among the known ones."""


@dataclass(frozen=True, slots=True)
class Header:
    """What is read of a token before anything of it is believed."""

    algorithm: str
    key_id: str | None
    type: str


def header_of(token: str) -> Header:
    """Raises ``Invalid``."""
    if len(token) > LONGEST:
        raise Invalid("too long")
    try:
        said = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise Invalid("no signed token") from error
    algorithm, key_id = said.get("alg"), said.get("kid")
    if algorithm not in ALGORITHMS:
        raise Invalid("algorithm")
    return Header(algorithm, key_id if isinstance(key_id, str) else None, str(said.get("typ", "")).lower())


def issuer_of(token: str) -> str | None:
    """Who it says has signed it, not yet believed."""
    try:
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss") if len(token) <= LONGEST else None
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    return issuer if isinstance(issuer, str) else None


def keys_in(document: dict[str, Any]) -> tuple[PyJWK, ...]:
    """The public signing keys of a JWKS. Raises ``Invalid`` where there are none."""
    try:
        found = PyJWKSet.from_dict(document).keys
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Invalid("no usable keys") from error
    signing = tuple(key for key in found if key.key_type != "oct" and key.public_key_use in (None, "sig"))
    if not signing:
        raise Invalid("no usable keys")
    return signing


def verified(token: str, keys: Sequence[PyJWK], issuer: str, audiences: Collection[str]) -> dict[str, Any]:
    """Its claims. Raises ``Invalid``, and ``KeyUnknown`` where newer keys might tell more."""
    header = header_of(token)
    key = _key(header, keys)
    if key.key_type != ("EC" if header.algorithm.startswith("ES") else "RSA"):
        raise Invalid("algorithm")
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            [header.algorithm],
            issuer=issuer,
            audience=list(audiences),
            leeway=LEEWAY,
            options={"require": ["exp", "iat", "sub", "aud", "iss"]},
        )
    except jwt.InvalidSignatureError as error:
        # A provider may have made new keys without new names for them.
        raise (Invalid("signature") if header.key_id else KeyUnknown) from error
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise Invalid(type(error).__name__) from error
    return claims


def for_client(claims: dict[str, Any], client_id: str, nonce: str) -> None:
    """Returns where an ID token is the answer to our own question. Raises ``Invalid``."""
    audience, party = claims["aud"], claims.get("azp")
    if isinstance(audience, list) and len(audience) > 1 and party is None:
        raise Invalid("azp")
    if party is not None and party != client_id:
        raise Invalid("azp")
    if claims.get("nonce") != nonce:
        raise Invalid("nonce")


def for_access(token: str, claims: dict[str, Any]) -> None:
    """Returns where a token does not say that it is for something else. Raises ``Invalid``."""
    says = {header_of(token).type, *(str(claims.get(name, "")).lower() for name in ("typ", "tokenType"))}
    if says & OTHER_USES:
        raise Invalid("use")


def _key(header: Header, keys: Sequence[PyJWK]) -> PyJWK:
    fitting = [key for key in keys if header.key_id is None or key.key_id == header.key_id]
    if header.key_id is None and len(fitting) > 1:
        raise Invalid("kid")
    if not fitting:
        raise KeyUnknown
    return fitting[0]
