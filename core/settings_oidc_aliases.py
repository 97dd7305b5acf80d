"""Other platforms' variables for logins elsewhere: astron-agent's for Casdoor, ``GOOGLE_…`` and ``GITHUB_CLIENT_ID/SECRET``."""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from core.settings_sources import Entries, KeyPath

CASDOOR = ("CONSOLE_CASDOOR_URL", "CONSOLE_CASDOOR_ID", "CONSOLE_CASDOOR_APP", "CONSOLE_CASDOOR_ORG")
RESOURCE_SERVER = ("OAUTH2_ISSUER_URI", "OAUTH2_JWK_SET_URI", "OAUTH2_AUDIENCE")
OAUTH = ("GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET", "GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET")
OIDC = (*CASDOOR, *RESOURCE_SERVER, *OAUTH)
PLATFORMS_OWN = "built-in"
"""Casdoor's first organisation, which every account of a fresh installation is in."""
CASDOOR_KEYS = "/.well-known/jwks"
Said = Iterator[tuple[str, KeyPath, object]]


def oidc_settings(given: Mapping[str, str]) -> Said:
    """Each variable that counts, with the setting it stands for and its value there."""
    if _meant(given, "CONSOLE_CASDOOR_ID") and _meant(given, "CONSOLE_CASDOOR_URL"):
        yield from _casdoor(given)
    for name, fixed in (("google", {"issuer": "https://accounts.google.com"}), ("github", {"kind": "github"})):
        client, secret = f"{name.upper()}_CLIENT_ID", f"{name.upper()}_CLIENT_SECRET"
        if _meant(given, client) and _meant(given, secret):
            yield client, ("oidc", name, "client_id"), given[client]
            yield secret, ("oidc", name, "client_secret"), given[secret]
            for key, value in fixed.items():
                yield client, ("oidc", name, key), value


def oidc_hints(given: Mapping[str, str], known: Entries) -> Iterator[str]:
    """What people should know of variables that do less than they may think."""
    taken = {path[1] for _, path, _ in oidc_settings(given)}
    for name, variables in (("casdoor", CASDOOR[:2]), ("google", OAUTH[:2]), ("github", OAUTH[2:])):
        said = {path[2] for path in known if path[:2] == ("oidc", name) and len(path) > 2}
        if name not in taken and any(variable in given for variable in variables):
            yield f"{' and '.join(variables)} are of use only together, and not with sample values: no login by them"
        elif name in taken and name != "casdoor" and not said & {"allowed", "required_group", "required_claims"}:
            yield f"anybody can have an account at {name}: nobody may log in by {variables[0]} until oidc.{name}.allowed says who"


def _casdoor(given: Mapping[str, str]) -> Said:
    at = ("oidc", "casdoor")
    issuer = "OAUTH2_ISSUER_URI" if "OAUTH2_ISSUER_URI" in given else "CONSOLE_CASDOOR_URL"
    yield issuer, (*at, "issuer"), given[issuer].rstrip("/")
    yield "CONSOLE_CASDOOR_ID", (*at, "client_id"), given["CONSOLE_CASDOOR_ID"]
    if "OAUTH2_AUDIENCE" in given:
        yield "OAUTH2_AUDIENCE", (*at, "audience"), [given["OAUTH2_AUDIENCE"]]
    if _meant(given, "CONSOLE_CASDOOR_ORG") and given["CONSOLE_CASDOOR_ORG"] != PLATFORMS_OWN:
        yield "CONSOLE_CASDOOR_ORG", (*at, "required_claims"), {"owner": given["CONSOLE_CASDOOR_ORG"]}
    keys = given.get("OAUTH2_JWK_SET_URI")
    if keys is not None:
        yield "OAUTH2_JWK_SET_URI", (*at, "jwks_url"), keys
        if keys.endswith(CASDOOR_KEYS) and _origin(keys) != _origin(given[issuer]):
            yield "OAUTH2_JWK_SET_URI", (*at, "internal_url"), keys.removesuffix(CASDOOR_KEYS)


def _meant(given: Mapping[str, str], name: str) -> bool:
    """Whether somebody has set it to something of their own."""
    return name in given and not given[name].startswith("your-")


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
