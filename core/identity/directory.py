"""Who vouches for people besides our own table: what a company's directory answers to a name and a password."""

from dataclasses import dataclass
from typing import Protocol

from core.settings_access import Role


@dataclass(frozen=True, slots=True)
class Person:
    """Someone whom a directory knows. ``subject`` is what names them there for good, in lower case."""

    subject: str
    email: str
    name: str
    role: Role
    groups: tuple[str, ...] = ()


class Directory(Protocol):
    """A directory that checks passwords."""

    source: str
    """What it is called in our table: ``ldap``."""

    async def person(self, username: str, password: str) -> Person | None:
        """Who it is; None for a wrong name, a wrong password or an account that may not log in.

        Raises ``DirectoryUnavailable`` when no server answers.
        """
