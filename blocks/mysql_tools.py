"""The programs of MySQL and MariaDB for backups: which of those installed fits a server, how to call it, what it says."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from blocks.dump_process import Ended, Tool
from core.backups.errors import DumpFailed, PlaceRefused, PlaceUnavailable, RestoreFailed, ToolTooOld
from core.errors import PilothouseError

NAMES = {True: ("mariadb-dump", "mysqldump"), False: ("mysqldump", "mariadb-dump")}
"""By whether the server is a MariaDB, the best first. Distributions of MariaDB have its programs under both names."""
CLIENTS = {"mariadb-dump": "mariadb", "mysqldump": "mysql"}
END = b"-- Dump completed"
GONE = re.compile(r"\b(?:1040|1053|1077|1152|1159|1161|1927|2002|2003|2005|2006|2013|2026|4031)\b")
"""Numbers of the errors after which trying again may help."""
REFUSED = re.compile(r"\b(?:1044|1045|1049|1130|1142|1143|1227|1370|1698|1820|3118)\b")
PACKET = "--max-allowed-packet=1G"


@dataclass(frozen=True, slots=True)
class Programs:
    """``mysqldump`` and ``mysql``, or what MariaDB calls them, and their version."""

    dump: Path
    client: Path
    version: str
    maria: bool

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    @property
    def shown(self) -> str:
        return f"{self.dump.name} {self.version}{' (MariaDB)' if self.maria else ''}"


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself: ``10.11.6-MariaDB-…`` or ``8.0.36``."""

    version: str

    @property
    def maria(self) -> bool:
        return "mariadb" in self.version.lower()

    @property
    def number(self) -> str:
        """Without the prefix under which MariaDB once hid from old replicas."""
        found = re.match(r"\d+(?:\.\d+)*", self.version.removeprefix("5.5.5-"))
        return found.group() if found else "0"

    @property
    def shown(self) -> str:
        return f"{'MariaDB' if self.maria else 'MySQL'} {self.number}"


def programs_for(server: Server, given: Path | None) -> Programs:
    """Those of its own kind if there are any, as new as it is. Blocks. Raises ``ToolTooOld``."""
    found = list(_installed(server, given))
    own = [each for each in found if each.maria == server.maria] or found
    package = "mariadb-client" if server.maria else "mysql-client"
    if not own:
        raise ToolTooOld(f"There is no {NAMES[server.maria][0]} here: install {package}, or name the folder of its programs.")
    best = max(own, key=lambda each: each.major)
    if best.maria == server.maria and best.major < int(server.number.partition(".")[0]):
        raise ToolTooOld(f"The server is {server.shown}, and the newest here is {best.shown}: install {package} as new as it.")
    return best


@dataclass(frozen=True, slots=True)
class Login:
    """Where a server is, as its programs are told; the password goes by their environment."""

    url: str
    ca_file: Path | None = None

    def tool(self, programs: Programs, program: Path, *arguments: str) -> Tool:
        """One of the programs, ready to be run. No file of options is read, wherever one lies."""
        parts = urlsplit(self.url)
        password = unquote(parts.password or "")
        address = (f"--host={parts.hostname}", f"--port={parts.port or 3306}", f"--user={unquote(parts.username or '')}")
        command: tuple[str | Path, ...] = (
            program,
            "--no-defaults",
            "--protocol=TCP",
            *address,
            *self._encryption(programs),
            *arguments,
        )
        return Tool(command, {"MYSQL_PWD": password}, (password,) if password else ())

    def _encryption(self, programs: Programs) -> Sequence[str]:
        mode = dict(parse_qsl(urlsplit(self.url).query)).get("ssl-mode", "PREFERRED")
        ca = (f"--ssl-ca={self.ca_file}",) if self.ca_file is not None and mode.startswith("VERIFY") else ()
        if not programs.maria:
            return (f"--ssl-mode={mode}", *ca)
        if mode == "DISABLED":
            return ("--skip-ssl",)
        if mode.startswith("VERIFY"):
            return ("--ssl", "--ssl-verify-server-cert", *ca)
        return (*(("--ssl",) if mode == "REQUIRED" else ()), "--skip-ssl-verify-server-cert")


def dumping_tool(login: Login, programs: Programs, database: str, without: Sequence[str], empty: Sequence[str]) -> Tool:
    """One database as SQL, without its name in it, of one moment where its tables are transactional.

    ``without``: tables that are left out; ``empty``: tables whose rows are. Raises ``ToolTooOld`` for programs that cannot.
    """
    if empty and not programs.maria:
        raise ToolTooOld(
            f"{programs.shown} cannot leave out rows alone: name the tables in exclude_tables, or install mariadb-client."
        )
    what = ("--single-transaction", "--quick", "--routines", "--triggers", "--events", "--no-tablespaces", "--hex-blob")
    # Nothing is dropped by a restore: one into a database that is in use stops at its first table.
    how = ("--skip-add-drop-table", "--skip-add-locks", "--default-character-set=utf8mb4", PACKET)
    own = () if programs.maria else ("--set-gtid-purged=OFF", "--column-statistics=0")
    left_out = [f"--ignore-table={database}.{table}" for table in without]
    left_out += [f"--ignore-table-data={database}.{table}" for table in empty]
    return login.tool(programs, programs.dump, *what, *how, *own, *left_out, "--", database)


def restoring_tool(login: Login, programs: Programs, database: str) -> Tool:
    """Reads SQL into a database. In binary mode a dump cannot make the client run commands of the shell."""
    return login.tool(
        programs, programs.client, "--binary-mode", "--default-character-set=utf8mb4", PACKET, f"--database={database}"
    )


def wrong_with_dump(place: str, ended: Ended) -> PilothouseError | None:
    """What the end of ``mysqldump`` means."""
    if ended.code == 0:
        return None
    return _wrong(place, ended, "dump") or DumpFailed(f"{place}: {ended}")


def wrong_with_restore(place: str, ended: Ended) -> PilothouseError | None:
    """What the end of ``mysql`` means. It stops at the first error."""
    if ended.code == 0:
        return None
    return _wrong(place, ended, "restore") or RestoreFailed(f"{place}: {ended}")


def _wrong(place: str, ended: Ended, what: str) -> PilothouseError | None:
    said = " ".join(ended.words)
    if ended.code > 0 and GONE.search(said):
        return PlaceUnavailable(f"{place}: the server broke off the {what} ({ended}).", retry_after=30)
    if REFUSED.search(said):
        return PlaceRefused(f"{place}: the login has too few rights for a {what} ({ended}).")
    return None


def _installed(server: Server, given: Path | None) -> Iterator[Programs]:
    for name in NAMES[server.maria]:
        dump, client = (shutil.which(each, path=str(given) if given else None) for each in (name, CLIENTS[name]))
        if dump is None or client is None:
            continue
        told = _version(Path(dump), Path(dump).stat().st_mtime)
        found = re.search(r"(?:Distrib|from) (\d+[\d.]*)-MariaDB", told) or re.search(r"Ver (\d+[\d.]*)", told)
        if found is not None:
            yield Programs(Path(dump), Path(client), found.group(1), "mariadb" in told.lower())


@lru_cache
def _version(program: Path, _: float) -> str:
    try:
        told = subprocess.run(  # noqa: S603  (MySQL's own program)
            [program, "--no-defaults", "--version"], env={}, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout
