"""Folders for what a dump or a restore needs on disk meanwhile; those of processes that died are removed by the next one.

A lock on a file in it says that a folder is in use: unlike a process id it means the same in every container.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "pilothouse-backup-"
_LOCK = ".in-use"


@contextmanager
def dump_folder(parent: Path | None = None) -> Iterator[Path]:
    """A new folder that only we can open, gone with all in it at the end. None: where temporary files go."""
    place = parent or Path(tempfile.gettempdir())
    _clear_abandoned(place)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    lock = _locked(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _clear_abandoned(place: Path) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            # One that has no lock yet is being made.
            if (folder / _LOCK).exists() and (lock := _locked(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _locked(folder: Path) -> int | None:
    """The descriptor that holds the folder's lock; None while another one does."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
