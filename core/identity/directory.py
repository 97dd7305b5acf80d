"""Who vouches for people besides our own table: what a company's directory answers to a name and a password."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from core.settings_access import ROLES, Role, placed


@dataclass(frozen=True, slots=True)
class Person:
    """Someone whom a directory knows. ``subject`` is what names them there for good, in lower case."""

    subject: str
    email: str
    name: str
    role: Role
    groups: tuple[str, ...] = ()
    """Names of their groups; a directory's by their DNs and by their common names."""
    places: Mapping[str, Role] = field(default_factory=dict)
    """The workspaces that the configuration gives to their groups, with the role there."""


class Directory(Protocol):
    """A directory that checks passwords."""

    source: str
    """What it is called in our table: ``ldap``."""

    async def person(self, username: str, password: str) -> Person | None:
        """Who it is; None for a wrong name, a wrong password or an account that may not log in.

        Raises ``DirectoryUnavailable`` when no server answers.
        """


def places_of(workspaces: Mapping[str, str], groups: Collection[str]) -> dict[str, Role]:
    """Of what the configuration says of groups (``"eng" = "research:operator"``), what holds for somebody in these."""
    names = {group.lower() for group in groups}
    found: dict[str, Role] = {}
    for group, said in workspaces.items():
        if group.lower() in names:
            workspace, role = placed(said)
            found[workspace] = max(found.get(workspace, role), role, key=ROLES.index)
    return found


def names_of(source: str, groups: Collection[str]) -> list[str]:
    """The names by which the groups may be invited: ``eng`` from anywhere, ``oidc:keycloak:eng`` from there alone."""
    names = {group.lower() for group in groups}
    plain = {name for name in names if not name.startswith(("ldap:", "oidc:"))}
    return sorted(plain | {f"{source}:{name}" for name in names})
