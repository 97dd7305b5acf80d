"""The embedded PostgreSQL: one cluster in the data directory, reached through a socket that only we can open.

``EmbeddedPostgres(data_dir).start()`` gives a running server, ``.url(database)`` an address, ``.stop()`` ends it. ``postgres`` is
our direct child: what ``pg_ctl`` would do (initialise, wait until it is ready, clear what a killed server left) is done here.
The caller holds a lock on the data directory, so whatever claims to run in it is either ours or stale.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Any, Self
from urllib.parse import quote

from core.errors import PartMissing
from deployments.children import HAS_PDEATHSIG, dying_with_parent, forking_beside_threads, watch_from_outside
from deployments.postgres_cluster import OWNED_DATABASES, PostgresFailed, make_cluster
from deployments.postgres_leftovers import clear_leftovers
from deployments.postgres_programs import Programs, find_programs
from deployments.secret_files import kept_secret
from deployments.unprivileged import Account, Passage, account_for

_SOCKET = ".s.PGSQL.5432"
_SOCKET_LIMIT = 103  # bytes of a socket's path: 107 on Linux, 103 on macOS
_ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C"}
_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "150",
    "jit": "off",
    "max_wal_size": "512MB",
}


class EmbeddedPostgres:
    """A PostgreSQL of our own under ``data_dir``; ``programs`` is a folder to use in place of the wheel's (``PG_BIN``)."""

    def __init__(self, data_dir: Path, programs: Path | None = None, log: Path | None = None) -> None:
        self.data_dir = data_dir.resolve()
        self.folder = self.data_dir / "postgres"
        self.data = self.folder / "data"
        self._given_programs = programs
        self._log = log
        self._account: Account | None = None
        self._programs: Programs | None = None
        self._passage: Passage | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        return self._process

    @property
    def socket_dir(self) -> Path:
        """The folder of the socket; a private temporary one, noted beside the data, where its path would be too long."""
        note = self.folder / "socket-dir"
        return Path(note.read_text().strip()) if note.is_file() else self.folder / "run"

    def url(self, database: str = "postgres") -> str:
        """A libpq address with its password; needs no running server, only one that was prepared before."""
        role = database if database in OWNED_DATABASES else "postgres"
        password = self._passwords()[role]
        return f"postgresql://{role}:{password}@/{quote(database)}?host={quote(str(self.socket_dir))}&port=5432"

    def arrange(self) -> None:
        """The folders, in no time; from then on ``url`` is what it will be."""
        self._account = account_for(self.folder)
        self._own_folder(self.folder)
        self._choose_socket_dir()

    def prepare(self) -> None:
        """Everything before a start: folders, a cluster with its roles and databases, leftovers of a killed server cleared."""
        self.arrange()
        self._programs = self._programs or find_programs(self._given_programs, self._account)
        self._passage = self._passage or Passage(self.folder, self._account)
        if not self.data.is_dir():
            make_cluster(self.data, self._passage.seen, self._programs, self._as_account(), self._passwords())
        self._check_version()
        clear_leftovers(self.data, self.socket_dir / _SOCKET)
        if self._process is not None:
            self._process.wait()  # ended or killed, but not yet waited for

    def spawn(self, output: int | IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        """The server as a child process, not yet ready; call ``prepare`` before. ``output`` takes what it logs."""
        assert self._passage is not None
        run = self.socket_dir
        seen_run = self._passage.seen / "run" if run == self.folder / "run" else run
        options = [f"{name}={value}" for name, value in {**_OPTIONS, "unix_socket_directories": str(seen_run)}.items()]
        arguments = ["-D", str(self._passage.seen / "data"), *(word for option in options for word in ("-c", option))]
        with forking_beside_threads():
            self._process = subprocess.Popen(  # noqa: S603
                [self._program("postgres"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output if output is not None else subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
                preexec_fn=dying_with_parent(signal.SIGINT),  # noqa: PLW1509 - see there
                start_new_session=True,
                **self._as_account(),
            )
        if not HAS_PDEATHSIG:
            self._watcher = watch_from_outside(self._process.pid, signal.SIGINT)
        return self._process

    def is_ready(self) -> bool:
        """Whether the child takes connections, as the server itself notes in its pid file."""
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
        except OSError:
            return False
        return self._process is not None and lines[0] == str(self._process.pid) and lines[7:8] == ["ready   "]

    def start(self, within: float = 60.0) -> Self:
        """Returns when the server takes connections. Raises ``PostgresFailed`` or ``PartMissing``."""
        for left in (2, 1, 0):  # memory of a killed server can stay claimed for a moment
            self.prepare()
            log = self._log or self.folder / "server.log"
            with log.open("ab") as output:
                process = self.spawn(output)
            if self._wait_until_ready(process, within):
                break
            if not left:
                raise PostgresFailed(f"The embedded PostgreSQL did not start: {_last_words(log)}")
            sleep(0.2)
        return self

    def stop(self, within: float = 30.0) -> None:
        """A clean stop that does not wait for clients (SIGINT, "fast shutdown"); does nothing when it is not running."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(within)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)  # immediate: recovers from its log at the next start
                self._process.wait()
        self.release()

    def release(self) -> None:
        """Give back what a stopped server leaves with us."""
        if self._watcher is not None:
            self._watcher.wait()
            self._watcher = None
        if self._passage is not None:
            self._passage.close()
            self._passage = None
        if self.socket_dir != self.folder / "run":
            shutil.rmtree(self.socket_dir, ignore_errors=True)

    def _wait_until_ready(self, process: subprocess.Popen[bytes], within: float) -> bool:
        deadline = monotonic() + within
        while process.poll() is None:
            if self.is_ready():
                return True
            if monotonic() > deadline:
                self.stop()
                return False
            sleep(0.01)
        return False

    def _passwords(self) -> dict[str, str]:
        return {role: kept_secret(self.data_dir, f"postgres-{role}") for role in ("postgres", *OWNED_DATABASES)}

    def _program(self, name: str) -> Path:
        assert self._programs is not None
        return self._programs.folder / name

    def _as_account(self) -> dict[str, Any]:
        common: dict[str, Any] = {"cwd": "/", "env": _ENVIRONMENT, "pass_fds": self._passage.descriptors if self._passage else ()}
        if self._account is None:
            return common
        return {**common, "user": self._account.uid, "group": self._account.gid, "extra_groups": []}

    def _own_folder(self, folder: Path) -> None:
        # As root others may pass through the data directory (what lies in it is closed), so that the server's user can.
        self.data_dir.mkdir(mode=0o711 if self._account else 0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        if self._account is not None:
            os.chown(folder, self._account.uid, self._account.gid)

    def _choose_socket_dir(self) -> None:
        note, run = self.folder / "socket-dir", self.folder / "run"
        if len(os.fsencode(run / _SOCKET)) <= _SOCKET_LIMIT:
            note.unlink(missing_ok=True)
            self._own_folder(run)
        elif not (note.is_file() and self._is_ours(self.socket_dir)):
            made = Path(tempfile.mkdtemp(prefix="pilothouse-"))
            self._own_folder(made)
            note.write_text(f"{made}\n")

    def _is_ours(self, folder: Path) -> bool:
        owner = self._account.uid if self._account else os.geteuid()
        return folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == owner

    def _check_version(self) -> None:
        assert self._programs is not None
        made_by = (self.data / "PG_VERSION").read_text().strip()
        if made_by != str(self._programs.major):
            raise PartMissing(
                f"The database in {self.data} was made by PostgreSQL {made_by}, but {self._programs.folder} is version "
                f"{self._programs.major}: set PG_BIN to a folder of version {made_by}."
            )


def _last_words(log: Path) -> str:
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return "it said nothing"
    return " ".join(lines[-3:])[-600:] or "it said nothing"
