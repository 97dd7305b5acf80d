"""What a killed PostgreSQL leaves behind, cleared before the next start; and one that lives on without its parent, ended.

A server believes its pid file and socket lock as long as *any* process has that number, so after a kill -9 it
may refuse to start. A process counts as ours only if it is alive (no zombie), called postgres and works in our data folder.
"""

import signal
from pathlib import Path

import psutil

_PATIENCE = 30.0


def clear_leftovers(data: Path, socket: Path) -> None:
    """End a server that still runs in ``data`` and remove the files that claim one does. Needs the lock on the data directory."""
    pid_file = data / "postmaster.pid"
    if pid_file.exists():
        _end(_server(pid_file), signal.SIGINT)
        # Backends outlive a killed postmaster for a moment and hold its shared memory.
        for process in psutil.process_iter():
            if _works_in(process, data):
                _end(process, signal.SIGQUIT)
    for stale in (pid_file, socket, socket.with_name(f"{socket.name}.lock")):
        stale.unlink(missing_ok=True)


def _server(pid_file: Path) -> psutil.Process | None:
    try:
        process = psutil.Process(int(pid_file.read_text().split("\n")[0]))
    except (OSError, ValueError, psutil.Error):
        return None
    return process if _works_in(process, pid_file.parent) else None


def _works_in(process: psutil.Process, data: Path) -> bool:
    try:
        return (
            "postgres" in process.name()
            and process.status() != psutil.STATUS_ZOMBIE
            and Path(process.cwd()).resolve() == data.resolve()
        )
    except psutil.Error:
        return False


def _end(process: psutil.Process | None, signum: signal.Signals) -> None:
    if process is None:
        return
    try:
        process.send_signal(signum)
        process.wait(_PATIENCE)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(_PATIENCE)
    except psutil.NoSuchProcess:
        return
