"""What each kind of check needs to be told, and what it is not for; a service that lacks something is refused when it is read.

Messages name keys and never repeat an address, since it may hold a password.
"""

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit


class Address(NamedTuple):
    """The addresses that a kind of check takes. ``place``: what must be in it besides the scheme."""

    schemes: tuple[str, ...]
    example: str
    place: str = "host"
    needed: bool = True


HTTP = ("http", "https")
ADDRESSES: Mapping[str, Address] = {
    "http": Address(HTTP, "https://host:port/path"),
    "tcp": Address(("tcp",), "tcp://host:port", "port"),
    "dns": Address(("dns",), "dns://name, or dns://server/name"),
    "tls": Address(("tls", "https"), "tls://host:port"),
    "icmp": Address(("icmp",), "icmp://host"),
    "postgres": Address(("postgres", "postgresql"), "postgresql://user:password@host:5432/database", "any"),
    "mysql": Address(("mysql", "mariadb"), "mysql://user:password@host:3306/database", "any"),
    "redis": Address(("redis", "rediss", "valkey", "valkeys", "unix"), "redis://:password@host:6379/0", "any"),
    "mongo": Address(("mongodb", "mongodb+srv"), "mongodb://user:password@host:27017", "any"),
    "s3": Address(HTTP, "https://host:port"),
    "ldap": Address(("ldap", "ldaps", "ldap+starttls"), "ldaps://host, ldap://host or ldap+starttls://host"),
    "oidc": Address(HTTP, "https://host/realm"),
    "weaviate": Address(HTTP, "http://host:8080"),
    "model": Address(HTTP, "http://host:8000/v1", needed=False),
    "prefect": Address(HTTP, "http://host:4200/api", needed=False),
}
"""By the kind of check; the others ask no address."""
FOR: Mapping[str, Collection[str]] = {
    "method": ("http",),
    "status": ("http",),
    "contains": ("http",),
    "json_path": ("http",),
    "json_value": ("http",),
    "redirects": ("http",),
    "headers": ("http", "oidc", "model", "prefect", "weaviate"),
    "bucket": ("s3",),
    "issuer": ("oidc",),
    "jwks_url": ("oidc",),
    "model": ("model",),
    "one_token": ("model",),
    "address": ("dns",),
    "path": ("disk",),
}
"""Keys that only some kinds of check read; elsewhere they would be ignored without a word."""
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name (RFC 9110)."""


def refuse_address(check: str, url: str | None) -> None:
    """Raises ``ValueError`` where a kind of check cannot work with this address."""
    rule = ADDRESSES.get(check)
    if rule is None or (url is None and not rule.needed):
        return
    message = f'check = "{check}" needs a url such as {rule.example}'
    if url is None:
        raise ValueError(message)
    if any(letter.isspace() or not letter.isprintable() for letter in url):
        raise ValueError(f"{message}, without spaces")
    scheme = url.partition("://")[0].lower()
    driver_free = scheme.partition("+")[0] if check in {"postgres", "mysql"} else scheme
    if driver_free not in rule.schemes:
        raise ValueError(message)
    if rule.place == "any":
        return
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(message) from None
    if not host or port == 0 or (rule.place == "port" and port is None):
        raise ValueError(message)


def refuse_strays(check: str, given: Collection[str]) -> None:
    """Raises ``ValueError`` where one of the keys that are ``given`` means nothing to a kind of check."""
    for key in given:
        if key in FOR and check not in FOR[key]:
            kinds = " or ".join(f'"{kind}"' for kind in FOR[key])
            raise ValueError(f'{key} means nothing with check = "{check}": expected check = {kinds}')


def refuse_headers(headers: Mapping[str, str]) -> None:
    """Raises ``ValueError`` where a header cannot be sent."""
    for name, value in headers.items():
        if not TOKEN.fullmatch(name):
            raise ValueError("headers: expected names such as X-Api-Key")
        if any(letter in value for letter in "\r\n\0"):
            raise ValueError(f"headers: {name} holds a line break; expected one line")


def refuse_json_path(path: str) -> None:
    """Raises ``ValueError`` where it is no JSONPath."""
    from jsonpath_ng.exceptions import JSONPathError  # noqa: PLC0415 - its grammar takes a while to load, and few need it
    from jsonpath_ng.ext.parser import parse  # noqa: PLC0415

    try:
        parse(path)
    except JSONPathError:
        raise ValueError("json_path: expected a JSONPath such as $.status or $.checks[0].state") from None


def refuse_statuses(statuses: str) -> None:
    """Raises ``ValueError`` where a range ends before it begins."""
    for part in statuses.split(","):
        first, _, last = part.partition("-")
        if last and int(last) < int(first):
            raise ValueError(f"status: {part} ends before it begins; expected a range such as 200-299")
