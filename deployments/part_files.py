"""What ``up`` keeps about itself in the data directory: the lock that says it runs, and the list of its child processes."""

import fcntl
import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from core.errors import PartMissing
from deployments.secret_files import write_secret

_PATIENCE = 5.0


class DirectoryLock:
    """Held while ``up`` runs; the kernel releases it whatever ends us. Raises ``PartMissing`` when another holds it."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        path = self._data_dir / "lock"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text().strip()
            os.close(self._descriptor)
            by = f" by process {holder}" if holder else ""
            raise PartMissing(f"{self._data_dir} is in use{by}: stop it first, or choose another --data-dir.") from None
        os.truncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class RunningParts:
    """The child processes by part, kept in a file so that the next ``up`` can end what a killed one left running."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "run" / "parts.json"
        self._noted: dict[str, tuple[int, float]] = {}

    def note(self, part: str, pid: int) -> None:
        with suppress(psutil.NoSuchProcess):  # it ended at once; whoever watches it will see
            self._noted[part] = (pid, psutil.Process(pid).create_time())
            self._write()

    def forget(self, part: str) -> None:
        if self._noted.pop(part, None) is not None:
            self._write()

    def clear(self) -> None:
        self._noted.clear()
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        with suppress(OSError):  # a full disk: the list helps only after a kill
            write_secret(self._path, json.dumps(self._noted))


def end_leftovers(data_dir: Path) -> list[str]:
    """End what a killed ``up`` left running here, and tell which parts those were. Needs the lock.

    On Linux such parts are told by the kernel and mostly gone by now; one may still be finishing its requests.
    """
    path = data_dir / "run" / "parts.json"
    try:
        noted = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return []
    found = {part: process for part, (pid, made) in noted.items() if (process := _same(pid, made))}
    everyone = [*found.values(), *(child for process in found.values() for child in _children(process))]
    for process in everyone:
        # PostgreSQL's SIGTERM waits for its clients; SIGINT is its clean stop.
        _send(process, signal.SIGINT if process is found.get("postgres") else signal.SIGTERM)
    _, alive = psutil.wait_procs(everyone, timeout=_PATIENCE)
    for process in alive:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=_PATIENCE)
    path.unlink(missing_ok=True)
    return list(found)


def _same(pid: int, made: float) -> psutil.Process | None:
    """The process with that number if it is the one that was noted, and no zombie."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if abs(process.create_time() - made) < 1 and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _children(process: psutil.Process) -> list[psutil.Process]:
    if "postgres" in process.name():
        return []  # the server ends its own
    with suppress(psutil.Error):
        return process.children(recursive=True)
    return []


def _send(process: psutil.Process, signum: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signum)
