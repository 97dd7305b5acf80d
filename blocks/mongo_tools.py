"""MongoDB's Database Tools for backups: whether they are here, how they are told where a server is, what their words mean."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, unquote

from blocks.dump_folder import dump_folder
from blocks.dump_process import Ended, Tool
from core.backups.errors import DumpFailed, PlaceRefused, PlaceUnavailable, RestoreFailed, ToolTooOld
from core.errors import PilothouseError

OLDEST = (100, 3)
"""The first that read a password from a file. Older ones are not used: they take it as an argument only."""
GONE = re.compile(
    r"connection refused|server selection|no reachable servers|no such host|timed? ?out|connection reset|connection pool"
    r"|socket was unexpectedly closed|incomplete read|broken pipe",
    re.IGNORECASE,
)
"""What they say when trying again may help."""
REFUSED = re.compile(r"auth(?:entication)? (?:failed|error)|not authorized|unauthorized|requires authentication", re.IGNORECASE)
WORTH = re.compile(r"fail|error|cannot|can't|could not|unable|refused|authoriz|timed? ?out|panic|unknown", re.IGNORECASE)
"""The lines among their progress that say what went wrong."""
LOST = re.compile(r"\b[1-9]\d* document\(s\) failed to restore|\b[1-9]\d* failures?\)")
"""``mongorestore`` may end well all the same."""
CONTENT = re.compile(r"\{.*")
"""A document, or a key of one, in what they say."""
_URL = re.compile(r"(mongodb(?:\+srv)?)://([^/?]*)(?:/([^?]*))?(?:\?(.*))?", re.DOTALL)
_HIDDEN = ("tlscertificatekeyfilepassword", "sslclientcertificatekeypassword", "authmechanismproperties")


@dataclass(frozen=True, slots=True)
class Program:
    """``mongodump`` or ``mongorestore``."""

    path: Path
    version: str

    @property
    def shown(self) -> str:
        return f"{self.path.name} {self.version}"


def installed(name: str) -> Program | None:
    """The one on the ``PATH``; None where there is none, or one that is too old to be used. Blocks."""
    path = shutil.which(name)
    if path is None:
        return None
    found = re.search(r"version: r?(\d+)\.(\d+)[\w.-]*", _version(Path(path), Path(path).stat().st_mtime))
    if found is None or (int(found.group(1)), int(found.group(2))) < OLDEST:
        return None
    return Program(Path(path), found.group().removeprefix("version: "))


def restoring_program() -> Program:
    """``mongorestore``. Blocks. Raises ``ToolTooOld``."""
    program = installed("mongorestore")
    if program is None:
        oldest = ".".join(map(str, OLDEST))
        raise ToolTooOld(
            "The backup is an archive of mongodump, and there is no mongorestore here to open it: "
            f"install the MongoDB Database Tools, {oldest} or newer (mongodb-database-tools)."
        )
    return program


@dataclass(frozen=True, slots=True)
class Login:
    """Where a server is, as its tools are told: by a file that only we can read and that is gone when they have ended."""

    url: str
    ca_file: Path | None = None

    @contextmanager
    def tool(self, program: Program, *arguments: str) -> Iterator[Tool]:
        """One of them, ready to be run within the block."""
        with dump_folder() as folder:
            file = folder / "login.yaml"
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as written:
                # A string of JSON is one of YAML.
                written.write(f"uri: {json.dumps(self.uri, ensure_ascii=False)}\n")
            command: tuple[str | Path, ...] = (program.path, f"--config={file}", *self._encryption, *arguments)
            yield Tool(command, secrets=self.secrets, worth=lambda line: WORTH.search(line) is not None)

    @property
    def uri(self) -> str:
        """The address with all its options and without its database: the tools refuse one beside another, and would take it for
        all that there is to do. Where it says where the user is known, that is said otherwise.
        """
        scheme, server, database, options = self._parts
        given = dict(each.lower().partition("=")[::2] for each in options.split("&"))
        own = given.get("authmechanism", "default").startswith(("default", "scram"))
        # Of mongodb+srv a record in the DNS may say it.
        if scheme == "mongodb" and "@" in server and "authsource" not in given and own:
            known = database.partition(".")[0] or "admin"
            options = f"{options}&authSource={known}" if options else f"authSource={known}"
        return f"{scheme}://{server}/{f'?{options}' if options else ''}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be repeated, the longest first."""
        _, server, _, options = self._parts
        words = {self.url, self.uri, server.rpartition("@")[0].partition(":")[2]}
        for each in options.split("&"):
            name, _, value = each.partition("=")
            if name.lower() in _HIDDEN:
                words.add(value)
        words |= {unquote(word) for word in words} | {quote(unquote(word), safe="") for word in words}
        return tuple(sorted(filter(None, words), key=len, reverse=True))

    @property
    def _parts(self) -> tuple[str, str, str, str]:
        found = _URL.fullmatch(self.url)
        if found is None:
            raise PlaceRefused("The url cannot be used; expected mongodb://user:password@host:27017/name.")
        scheme, server, database, options = found.groups(default="")
        return scheme, server, database, options

    @property
    def _encryption(self) -> tuple[str, ...]:
        options = self._parts[3].lower()
        encrypted = "tls=true" in options or "ssl=true" in options or self.url.startswith("mongodb+srv")
        if self.ca_file is None or not encrypted or "tlscafile" in options:
            return ()
        return (f"--sslCAFile={self.ca_file}",)


def wrong_with_dump(place: str, ended: Ended) -> PilothouseError | None:
    """What the end of ``mongodump`` means."""
    if ended.code == 0:
        return None
    return _wrong(place, ended, "dump") or DumpFailed(_told(place, ended))


def wrong_with_restore(place: str, ended: Ended) -> PilothouseError | None:
    """What the end of ``mongorestore`` means."""
    if ended.code == 0 and not LOST.search(" ".join(ended.words)):
        return None
    return _wrong(place, ended, "restore") or RestoreFailed(_told(place, ended))


def _wrong(place: str, ended: Ended, what: str) -> PilothouseError | None:
    said = " ".join(ended.words)
    if REFUSED.search(said):
        return PlaceRefused(f"{place}: the login is refused, or has too few rights for a {what} ({_told('', ended)}).")
    if ended.code > 0 and GONE.search(said):
        return PlaceUnavailable(f"{place}: the server broke off the {what} ({_told('', ended)}).", retry_after=30)
    return None


def _told(place: str, ended: Ended) -> str:
    """Without what documents hold."""
    said = str(replace(ended, words=tuple(CONTENT.sub("{…}", word) for word in ended.words)))
    return f"{place}: {said}" if place else said


@lru_cache
def _version(program: Path, _: float) -> str:
    try:
        told = subprocess.run([program, "--version"], env={}, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout
