"""Running a program as another user when we are root, since PostgreSQL refuses to run as root.

Needs from outside: an account named ``postgres``, or any system account without a login shell.
"""

import os
import pwd
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from core.errors import PartMissing

_PREFERRED = ("postgres", "_postgres")
_NO_SHELL = ("nologin", "false")


@dataclass(frozen=True, slots=True)
class Account:
    """A user to run as."""

    name: str
    uid: int
    gid: int

    def may_enter(self, folder: Path) -> bool:
        """Whether every folder down to and with ``folder`` lets this user through, by mode bits (access lists are not read)."""
        return all(self._may_search(part.stat()) for part in (folder, *folder.parents))

    def _may_search(self, info: os.stat_result) -> bool:
        if info.st_uid == self.uid:
            return bool(info.st_mode & stat.S_IXUSR)
        if info.st_gid == self.gid:
            return bool(info.st_mode & stat.S_IXGRP)
        return bool(info.st_mode & stat.S_IXOTH)


def account_for(folder: Path) -> Account | None:
    """The account that shall own ``folder``: its owner if it exists already, None when we are not root ourselves.

    Raises ``PartMissing`` when root finds no other account.
    """
    if os.geteuid() != 0:
        return None
    if folder.exists() and (owner := folder.stat()).st_uid != 0:
        return Account(_name(owner.st_uid), owner.st_uid, owner.st_gid)
    accounts = {entry.pw_name: entry for entry in pwd.getpwall()}
    candidates = [accounts[name] for name in _PREFERRED if name in accounts]
    candidates += sorted(
        (entry for entry in accounts.values() if 0 < entry.pw_uid < 1000 and Path(entry.pw_shell).name in _NO_SHELL),
        key=lambda entry: entry.pw_uid,
    )
    if not candidates:
        raise PartMissing(
            "PostgreSQL does not run as root, and there is no system user to run it as: create a user named postgres."
        )
    return Account(candidates[0].pw_name, candidates[0].pw_uid, candidates[0].pw_gid)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


class Passage:
    """A folder as an account sees it that may not pass the folder's parents (a closed home); their modes are not ours to change.

    On Linux a child that inherits an open descriptor reaches the folder as ``/proc/self/fd/N``, whatever lies above it.
    """

    def __init__(self, folder: Path, account: Account | None) -> None:
        self._descriptor: int | None = None
        self.seen = folder
        if account is None or account.may_enter(folder.parent):
            return
        if sys.platform != "linux" or not Path("/proc/self/fd").is_dir():
            raise PartMissing(
                f"User {account.name}, who has to run PostgreSQL in place of root, cannot enter {folder.parent}: "
                "choose another --data-dir, or do not start as root."
            )
        self._descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        self.seen = Path(f"/proc/self/fd/{self._descriptor}")

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the child has to inherit."""
        return () if self._descriptor is None else (self._descriptor,)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
