"""``[oidc.X]``: providers of logins that people reach with their browser, by OpenID Connect or GitHub's OAuth."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from core.addresses import http_url
from core.settings_access import Placement, Role
from core.settings_types import HttpUrl, Section

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
GITHUB = "https://github.com"
OPEN_TO_ALL = ("https://accounts.google.com", GITHUB)
"""Issuers where anybody can have an account."""
LABELS: Mapping[str, str] = {
    "casdoor": "Casdoor",
    "keycloak": "Keycloak",
    "entra": "Microsoft",
    "google": "Google",
    "github": "GitHub",
}
SCOPES = ("openid", "profile", "email")
GITHUB_SCOPES = ("read:user", "user:email")
GITHUB_GROUPS = "read:org"


def issuer_address(value: str) -> str:
    """As it stands, since tokens are compared with it letter by letter: a slash at its end counts."""
    http_url(value)
    if any(mark in value for mark in "?#@{}") or "/common/" in value or "/organizations/" in value:
        raise ValueError("expected one issuer such as https://login.microsoftonline.com/TENANT/v2.0, without a query")
    return value.strip()


def allowed_person(value: str) -> str:
    """``ann@example.com``, ``@example.com`` or ``*``."""
    value = value.strip().lower()
    if value != "*" and (value.count("@") != 1 or value.endswith("@")):
        raise ValueError("expected an e-mail address, a domain such as @example.com, or *")
    return value


class OidcSettings(Section):
    """``[oidc.X]``: a provider; X stands in the addresses of its logins."""

    kind: Literal["oidc", "github"] = "oidc"
    issuer: Annotated[str, AfterValidator(issuer_address)] = ""
    """Exactly what its tokens say in ``iss``; for GitHub ``https://github.com``, or an enterprise server's address."""
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: SecretStr | None = None
    """None: a public client, which PKCE alone protects."""
    internal_url: HttpUrl | None = None
    """Where we reach the issuer ourselves, where that is another origin than people's; it is asked under the issuer's name."""
    jwks_url: HttpUrl | None = None
    """Where its keys are, where discovery would name another address."""
    scopes: tuple[str, ...] = ()
    """Empty: ``openid profile email``; for GitHub what its answers need."""
    audience: tuple[str, ...] = ()
    """Audiences besides ``client_id`` of bearer tokens that the API takes."""
    groups_claims: tuple[str, ...] = ("groups", "roles", "realm_access.roles")
    """Claims that hold groups: texts, or objects with a ``name``; a dot leads into an object."""
    userinfo: bool = False
    """Ask the provider for claims that its ID token does not hold."""
    role: Role = "member"
    """Of a user whom no group says more of."""
    groups: dict[str, Role] = Field(default={})
    """Role by group, exactly as the claim has it."""
    workspaces: dict[str, Placement] = Field(default={})
    """Workspace by group, with a role there after a colon (else member): ``eng = "research:operator"``."""
    required_group: str | None = None
    """Only its members may log in."""
    required_claims: dict[str, str] = Field(default={})
    """Only those whose token says so may log in, such as ``hd = "example.com"``."""
    allowed: tuple[Annotated[str, AfterValidator(allowed_person)], ...] = ()
    """Only these may log in: addresses, domains such as ``@example.com``, ``*``; empty: all, at Google and GitHub nobody."""
    label: str | None = None
    """What the login page calls it."""
    timeout: Annotated[float, Field(gt=0, le=60)] = 10.0
    """Seconds that one question to it may take."""

    @property
    def address(self) -> str:
        """The issuer, GitHub's own where none is given."""
        return self.issuer or GITHUB

    @property
    def open_to_all(self) -> bool:
        """Whether anybody at all could log in: then somebody has to say who may."""
        restricted = self.allowed or self.required_group or self.required_claims
        return self.address.rstrip("/") in OPEN_TO_ALL and not restricted

    @property
    def asked_scopes(self) -> tuple[str, ...]:
        """What is asked for."""
        if self.scopes or self.kind == "oidc":
            return self.scopes or SCOPES
        return (*GITHUB_SCOPES, GITHUB_GROUPS) if self.asks_groups else GITHUB_SCOPES

    @property
    def asks_groups(self) -> bool:
        """Whether GitHub is asked for somebody's groups, which takes a scope more."""
        return bool(self.groups or self.workspaces or self.required_group or GITHUB_GROUPS in self.scopes)

    def outward(self, url: str) -> str:
        """The address that we ask ourselves for one of the issuer's."""
        own, theirs = urlsplit(self.address), urlsplit(url)
        if self.internal_url is None or (own.scheme, own.netloc) != (theirs.scheme, theirs.netloc):
            return url
        return self.internal_url + url.removeprefix(f"{own.scheme}://{own.netloc}")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.kind == "oidc" and not self.issuer:
            raise ValueError("issuer: expected what its tokens say in iss, such as https://login.example.com/realms/company")
        if self.kind == "oidc" and "openid" not in self.asked_scopes:
            raise ValueError("scopes: expected openid among them")
        return self


def providers_named(oidc: Mapping[str, OidcSettings]) -> None:
    """Returns when every name can stand in an address. Raises ``ValueError`` that begins with the key."""
    for name in oidc:
        if not NAME.fullmatch(name):
            raise ValueError(f"oidc.{name}: expected a name of at most 63 small letters, digits, dashes and underscores")
