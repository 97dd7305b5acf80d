"""Workspaces: departments whose sessions, runs, files, alerts and backups are kept apart.

Every task of a process works for one workspace, or for all of them as its own upkeep does. A request works for its caller's: the
context variable here is what ``core.store`` enters the database with, where row-level security holds to it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

EVERY = "*"
"""All of them: what a process does for the whole installation."""
DEFAULT = "default"
"""The workspace of what names none."""
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,38}")
_current: ContextVar[str] = ContextVar("workspace", default=EVERY)


def current_workspace() -> str:
    """Whose work is being done: a workspace's name, or ``EVERY``."""
    return _current.get()


def home() -> str:
    """The workspace of what is made now: ``DEFAULT`` for the work of the whole installation."""
    name = _current.get()
    return DEFAULT if name == EVERY else name


def enter(workspace: str) -> None:
    """Work for it from now on, in this task and what it starts."""
    _current.set(workspace)


@contextmanager
def within(workspace: str) -> Iterator[None]:
    """Work for it until the block ends."""
    token = _current.set(workspace)
    try:
        yield
    finally:
        _current.reset(token)


def inner(name: str, workspace: str | None = None) -> str:
    """A name that people choose, as it is told apart from the same name in another workspace: ``research/name``.

    The workspace is that whose work is done, unless given. In the default one it is the name itself.
    """
    workspace = workspace or home()
    return name if workspace == DEFAULT else f"{workspace}/{name}"


def outer(name: str, workspace: str | None = None) -> str:
    """What the people of a workspace, else of the one whose work is done, call what is named so within."""
    return name.removeprefix(f"{workspace or home()}/")


def workspace_of(name: str) -> str:
    """Whose a name is that ``inner`` made of one without a slash."""
    workspace, slash, _ = name.partition("/")
    return workspace if slash else DEFAULT
