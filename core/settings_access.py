"""Who may log in: ``[access]`` local accounts and what a login is worth, ``[ldap]`` the company's directory."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from core.settings_types import ExistingFile, Section, secret, workspace_name

Role = Literal["viewer", "member", "operator", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "member", "operator", "admin")
"""From the least to the most; each may do what those before it may."""


def _long_enough(value: str) -> str:
    if len(value) < 16:
        raise ValueError("expected at least 16 characters; `openssl rand -base64 32` makes a good one")
    return value


def domain_name(value: str) -> str:
    """``example.com``: a name with a dot, since browsers refuse cookies for a whole ``com``, and for addresses."""
    name = value.strip().lower().removeprefix(".")
    labels = name.split(".")
    if (
        len(labels) < 2
        or labels[-1].isdigit()
        or not all(re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", label) for label in labels)
    ):
        raise ValueError("expected the domain that the hosts share, such as example.com")
    return name


def ldap_url(value: str) -> str:
    """``ldap://host``, ``ldaps://host:636``."""
    scheme, _, host = value.strip().partition("://")
    if scheme.lower() not in ("ldap", "ldaps") or not host.strip("/") or "@" in host:
        raise ValueError("expected an address such as ldaps://dc1.example.com:636")
    return value.strip().rstrip("/")


def placed(value: str) -> tuple[str, Role]:
    """``research`` or ``research:operator`` as the workspace and the role there. Raises ``ValueError``."""
    name, colon, said = value.strip().partition(":")
    role = next((each for each in ROLES if each == (said if colon else "member")), None)
    if role is None:
        raise ValueError(f"expected a workspace, and a role after a colon where it is not member: {', '.join(ROLES)}")
    return workspace_name(name), role


def _placement(value: str) -> str:
    return ":".join(placed(value))


Placement = Annotated[str, AfterValidator(_placement)]


class AccessSettings(Section):
    """``[access]``: local accounts, and how long a login lasts."""

    admin_email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    """The first administrator's (``ADMIN_EMAIL``), made at the first start when there is no user yet."""
    admin_password: SecretStr | None = None
    """``ADMIN_PASSWORD``; None makes one up, which is written to ``DIR/admin-password``."""
    jwt_secret: Annotated[SecretStr, secret(_long_enough)] | None = None
    """Signs access tokens (``JWT_SECRET``); None: one made up and kept in ``DIR/secrets``, or shared in the database."""
    jwt_secrets_before: tuple[SecretStr, ...] = ()
    """Earlier ones that are still accepted: a key is changed by moving the old one here for as long as a token lasts."""
    session_secret: Annotated[SecretStr, secret(_long_enough)] | None = None
    """Signs what a browser holds while somebody logs in elsewhere (``SESSION_SECRET``); None: made from ``jwt_secret``."""
    access_minutes: Annotated[float, Field(gt=0, le=1440)] = 15.0
    """How long an access token lasts."""
    login_days: Annotated[float, Field(gt=0, le=365)] = 14.0
    """How long a login lasts when nobody uses it; each use of its refresh token, or of its cookie, begins that time anew."""
    attempts: Annotated[int, Field(ge=1, le=1000)] = 5
    """Wrong passwords for one account from one address after which it has to wait: a minute, then twice as long each time."""
    lockout_minutes: Annotated[float, Field(gt=0, le=1440)] = 15.0
    """The longest such wait."""
    login_hosts: tuple[str, ...] = ()
    """Hosts besides our own that the login page may lead back to (``next``)."""
    cookie_domain: Annotated[str, AfterValidator(domain_name)] | None = None
    """The domain whose hosts all get the login's cookie, for programs behind nginx; None: our own host alone."""


class LdapSettings(Section):
    """``[ldap]``: accounts of an LDAP directory or Active Directory."""

    urls: tuple[Annotated[str, AfterValidator(ldap_url)], ...] = ()
    """Servers, asked in this order; the first that answers decides."""
    bind_dn: str | None = None
    """Who searches for users; None searches anonymously."""
    bind_password: SecretStr | None = None
    search_base: str = ""
    """Where users are, such as ``OU=Users,DC=example,DC=com``."""
    search_filter: str = "(sAMAccountName={{username}})"
    """Finds one user; ``{{username}}`` is what was typed, escaped."""
    admin_filter: str | None = None
    """A user whom this filter finds as well is an administrator."""
    start_tls: bool = False
    """Encrypt ``ldap://`` before anything is sent."""
    ca_file: ExistingFile | None = None
    """None: the top-level ``ca_file``."""
    timeout: Annotated[float, Field(gt=0, le=60)] = 5.0
    role: Role = "member"
    """Of a user whom no group says more of."""
    groups: dict[str, Role] = Field(default={})
    """Role by group: a group's DN or its common name."""
    workspaces: dict[str, Placement] = Field(default={})
    """Workspace by group, with a role there after a colon (else member): ``eng = "research:operator"``."""
    required_group: str | None = None
    """Only its members may log in."""
    email: str = "mail"
    """The attribute with the e-mail address."""
    name: str = "displayName"
    """The attribute with the name that people see."""
    cache_seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """How long a right password is believed without asking the directory again, for Basic authentication; 0: never."""
    fastgpt_config: Path | None = None
    """FastGPT's ``config.json``, of which its ``ldap`` section is read for what is not said here."""

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.urls and not self.search_base:
            raise ValueError("ldap.search_base: expected where users are, such as OU=Users,DC=example,DC=com")
        if "{{username}}" not in self.search_filter:
            raise ValueError("ldap.search_filter: expected {{username}} in it, such as (sAMAccountName={{username}})")
        if self.bind_dn is not None and not (self.bind_password and self.bind_password.get_secret_value()):
            raise ValueError("ldap.bind_password: expected the password of bind_dn; an empty one would be an anonymous bind")
        return self
