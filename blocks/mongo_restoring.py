"""What ``mongorestore`` is told, so that an archive goes where it belongs and nowhere else: pure."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

from core.backups.errors import RestoreFailed

SUFFIX = ".archive"
WHOLE = f"all{SUFFIX}"
"""The part that is a whole server."""


def part_of(database: str) -> str:
    """How the part of a database is called."""
    plain = quote(database, safe=" ")
    return (plain if not plain.startswith(".") else f"%2E{plain[1:]}") + SUFFIX


def database_of(part: str) -> str:
    """The database that a part was made of."""
    return unquote(part.removesuffix(SUFFIX))


def collection_of(only: str, database: str) -> str:
    """``only`` without the database before it, if it has that."""
    return only.removeprefix(f"{database}/").removeprefix(f"{database}.")


def apart(only: str) -> tuple[str, str]:
    """Database and collection of what is wanted from a whole server. Raises ``RestoreFailed``."""
    at = min((only.find(mark) for mark in "/." if only.find(mark) > 0), default=-1)
    if at < 0 or at == len(only) - 1:
        raise RestoreFailed("The backup is of a whole server; expected DATABASE/COLLECTION.")
    return only[:at], only[at + 1 :]


def arguments(into: Mapping[str, str], collection: str | None) -> Sequence[str]:
    """For databases by the name under which each goes back; of a single one, ``collection`` alone.

    Includes and renames are both needed: what is not renamed would go back where it came from.
    """
    told = []
    for saved, name in into.items():
        told.append(f"--nsInclude={_plain(saved)}.{_plain(collection) if collection is not None else '*'}")
        if saved != name:
            told += [f"--nsFrom={_plain(saved)}.*", f"--nsTo={_plain(name)}.*"]
    return told


def _plain(name: str) -> str:
    """A name in which nothing is a pattern."""
    return name.replace("\\", "\\\\").replace("*", "\\*")
