"""Who somebody is by the claims of a token, what they may do here, and whether they may come in at all."""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from core.errors import LoginRefused
from core.identity.directory import Person, places_of
from core.settings_access import ROLES, Role
from core.settings_oidc import OidcSettings

Claims = Mapping[str, Any]
MOST_GROUPS = 2_000


def person_of(settings: OidcSettings, claims: Claims) -> Person:
    """Raises ``LoginRefused`` for somebody whom the settings do not let in."""
    subject, email = claims.get("sub"), email_of(claims)
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
        raise LoginRefused("The provider does not say who this is.", "invalid")
    groups = tuple(_groups(settings, claims))
    _let_in(settings, claims, email, groups)
    said = [role for group, role in settings.groups.items() if group in groups]
    role: Role = max([settings.role, *said], key=ROLES.index)
    return Person(stored(subject), email, _name(claims) or email or subject, role, groups, places_of(settings.workspaces, groups))


def stored(subject: str) -> str:
    """The subject as our table keeps it, which knows small letters alone; subjects differ by their case (OIDC Core, 2)."""
    if subject == subject.lower() and "~" not in subject:
        return subject
    return f"{subject.lower()}~{sha256(subject.encode()).hexdigest()[:16]}"


def email_of(claims: Claims) -> str:
    """The address, unless the provider says that nobody has shown it to be theirs."""
    email = claims.get("email")
    verified = claims.get("email_verified", claims.get("emailVerified", True))
    if not isinstance(email, str) or verified is False or str(verified).lower() == "false":
        return ""
    email = email.strip()
    plain = email.isprintable() and not any(mark.isspace() for mark in email)
    return email if email.count("@") == 1 and len(email) <= 254 and plain else ""


def _let_in(settings: OidcSettings, claims: Claims, email: str, groups: tuple[str, ...]) -> None:
    if settings.open_to_all:
        raise LoginRefused("Nobody may log in this way yet: an administrator has to set allowed for it.", "not_allowed")
    right = all(_says(claims, name, value) for name, value in settings.required_claims.items())
    member = settings.required_group is None or settings.required_group in groups
    address = email.lower()
    domain = "@" + address.rpartition("@")[2] if address else ""
    known = not settings.allowed or any(one in (address, domain, "*") for one in settings.allowed if one)
    if not (right and member and known):
        raise LoginRefused("This account may not log in here: an administrator decides who may.", "not_allowed")


def _says(claims: Claims, name: str, value: str) -> bool:
    said = _at(claims, name)
    if isinstance(said, bool):
        return str(said).lower() == value.lower()
    return value in [str(each) for each in said] if isinstance(said, list) else said is not None and str(said) == value


def _groups(settings: OidcSettings, claims: Claims) -> Iterator[str]:
    for name in settings.groups_claims:
        found = _at(claims, name)
        for each in (found if isinstance(found, list) else [found])[:MOST_GROUPS]:
            named = each.get("name") if isinstance(each, dict) else each
            if isinstance(named, str) and named:
                yield named


def _at(claims: Claims, name: str) -> object:
    """A claim by its whole name, which may be an address with dots, else by the way through objects."""
    if name in claims:
        return claims[name]
    current: object = claims
    for part in name.split("."):
        if not isinstance(current, Mapping):
            return None
        current = current.get(part)
    return current


def _name(claims: Claims) -> str:
    for claim in ("name", "displayName", "preferred_username"):
        said = claims.get(claim)
        if isinstance(said, str) and (plain := "".join(mark for mark in said if mark.isprintable()).strip()):
            return plain[:200]
    return ""
