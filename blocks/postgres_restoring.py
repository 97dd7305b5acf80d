"""Putting a ``pg_dump`` archive back, in a thread.

An archive in one stream goes through ``pg_restore`` as it comes: definitions and rows first, without a disk. Its table of
contents lies at its head, which is kept aside; indexes, constraints and triggers are made from that afterwards, several at once.
A directory archive is unpacked first, and all of it is restored several things at once.
"""

import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import structlog

from blocks.dump_folder import dump_folder
from blocks.dump_process import Ended, Tool, feed, output_of, run
from blocks.handover import CHUNK
from blocks.postgres_archive import RIGHTS, ROW_SECURITY, Archive, archive
from blocks.postgres_input import Chained, LinesWithout, unpack
from blocks.postgres_tools import GONE, Programs, tool
from core.backups.errors import (
    BackupDamaged,
    ExtensionMissing,
    PlaceUnavailable,
    RestoreFailed,
    TargetNotEmpty,
    ToolTooOld,
)
from core.backups.place import Stream
from core.errors import PilothouseError

log = structlog.get_logger(__name__)

HEAD = 4 << 20
"""Bytes read at first to find the table of contents; four times as many where it does not end there."""
LARGEST_HEAD = 1 << 30
HARMLESS = (
    'unrecognized configuration parameter "transaction_timeout"',
    'unrecognized configuration parameter "idle_in_transaction_session_timeout"',
    'schema "public" already exists',
)
"""What programs that are newer than the server ask for in vain, and what every database has."""
OF_ONE_TABLE = ("already exists", "does not exist", "there is no unique constraint matching")
"""What is no failure where one table alone comes back: its types may be there still, and the tables that it refers to be gone."""
ROLES_THERE = re.compile(r'role "[^"]*" already exists')
NO_ROLE = re.compile(r'ERROR: +role "(.*)" does not exist$')
"""Said of grants and policies alone: whatever belongs to such a role is restored as somebody else's."""
_ME = r'^(?:CREATE|ALTER|DROP) ROLE (?:{0}|"{0}")(?:[ ;]|$)'


@dataclass(frozen=True, slots=True)
class Target:
    """The database that is restored into, and what its server has."""

    place: str
    programs: Programs
    environment: dict[str, str]
    user: str
    powerful: bool
    """A superuser, who may make things owned by others."""
    roles: Collection[str]
    extensions: Collection[str]
    """Those that can be loaded."""
    tables: Mapping[str, str]
    """How they are shown, by schema and name with a space between them."""
    jobs: int
    scratch: Path | None


class Restoring:
    """One restore of one archive; ``stopped`` ends it."""

    def __init__(self, target: Target, only: str | None, stopped: Event) -> None:
        schema, dot, table = (only or "").rpartition(".")
        self._target = target
        self._only = (schema if dot else "public", table) if only else None
        self._stopped = stopped
        self._missing: set[str] = set()

    def custom(self, stream: Stream) -> None:
        """A single stream. Raises ``RestoreFailed``, ``ExtensionMissing``, ``TargetNotEmpty``, ``PlaceUnavailable``, …"""
        with dump_folder(self._target.scratch) as folder:
            head = folder / "head"
            contents = self._head(stream, head)
            choices = self._choices(contents, folder)
            with head.open("rb") as start:
                whole = Chained(start, stream)
                first = self._tool("--section=pre-data", "--section=data", *choices)
                self._judge(feed(first, whole, self._stopped))
            self._judge(run(self._tool("--section=post-data", f"--jobs={self._target.jobs}", *choices, head), self._stopped))
            self._guard_rows(contents, folder, head)
            self._give_rights(contents, folder, head)

    def directory(self, stream: Stream) -> None:
        """A tar of a directory archive. Raises as ``custom``, and ``NoRoom``."""
        with dump_folder(self._target.scratch) as folder:
            unpacked = folder / "archive"
            unpacked.mkdir()
            unpack(stream, unpacked, self._stopped)
            contents = self._contents(unpacked)
            if contents is None:
                raise BackupDamaged(f"{self._target.place}: pg_restore does not find its table of contents in the backup.")
            choices = self._choices(contents, folder)
            self._judge(run(self._tool(f"--jobs={self._target.jobs}", *choices, unpacked), self._stopped))
            self._guard_rows(contents, folder, unpacked)
            self._give_rights(contents, folder, unpacked)

    def roles(self, stream: Stream) -> None:
        """The globals of ``pg_dumpall``. Roles that exist get the attributes they had; the role that restores stays as it is."""
        lines = LinesWithout(stream, re.compile(_ME.format(re.escape(self._target.user)).encode()))
        self._run_script(lines, (ROLES_THERE.pattern,))

    def _head(self, stream: Stream, head: Path) -> Archive:
        size, wanted = 0, HEAD
        with head.open("wb") as file:
            while True:
                while size < wanted and (chunk := stream.read(CHUNK)):
                    size += len(chunk)
                    file.write(chunk)
                file.flush()
                contents = self._contents(head)
                if contents is not None:
                    return contents
                if size < wanted or wanted >= LARGEST_HEAD:
                    raise BackupDamaged(f"{self._target.place}: pg_restore does not find its table of contents in the backup.")
                wanted *= 4

    def _contents(self, source: Path) -> Archive | None:
        listed = self._told("--list", source)
        if listed is None or self._only is None:
            return None if listed is None else archive(listed)
        return archive(listed, self._told("--verbose", "--schema-only", "--file=-", source) or "")

    def _told(self, *arguments: str | Path) -> str | None:
        """What ``pg_restore`` prints; None when it cannot read the archive (yet)."""
        ends: list[Ended] = []

        def judge(ended: Ended) -> PilothouseError | None:
            ends.append(ended)
            if any("unsupported version" in words for words in ended.words):
                return ToolTooOld(
                    f"{self._target.place}: the backup was made by a newer pg_dump than {self._target.programs.version}, the "
                    "newest here: install newer PostgreSQL programs, or set PG_BIN to their folder."
                )
            return None

        printed = io.BytesIO()
        with output_of(tool(self._target.programs, "pg_restore", arguments, {}), judge) as output:
            while chunk := output.read():
                printed.write(chunk)
        return printed.getvalue().decode(errors="replace") if ends[-1].code == 0 else None

    def _choices(self, contents: Archive, folder: Path) -> Sequence[str]:
        """What to leave out. Finds what cannot work before anything is touched."""
        target = self._target
        require_extensions(target.place, contents.extensions, target.extensions)
        schema, table = self._only or (None, None)
        wanted = contents.tables if self._only is None else {f"{schema} {table}"}
        if there := sorted(target.tables[name] for name in wanted & target.tables.keys()):
            raise TargetNotEmpty(
                f"{target.place} has {len(there)} of the backup's tables already, such as {there[0]}: "
                "rename or drop them first, or restore into an empty database."
            )
        chosen = contents.use_list(schema, table, extension_comments=target.powerful)
        if chosen == "":
            raise RestoreFailed(f"The backup has no table {schema}.{table}.")
        return [*([] if chosen is None else [_kept(chosen, folder / "list")]), *self._ownership(contents)]

    def _ownership(self, contents: Archive) -> Sequence[str]:
        powerful = self._target.powerful and contents.owners <= set(self._target.roles)
        return () if powerful else ("--no-owner", "--no-privileges")

    def _guard_rows(self, contents: Archive, folder: Path, source: Path) -> None:
        """Turn row-level security on where it was, once everything else is there."""
        schema, table = self._only or (None, None)
        chosen = contents.use_list(schema, table, extension_comments=False, kinds={ROW_SECURITY})
        if chosen:
            last = _kept(chosen, folder / "last")
            self._judge(run(self._tool(last, *self._ownership(contents), source), self._stopped))

    def _give_rights(self, contents: Archive, folder: Path, source: Path) -> None:
        """Where roles are missing, everybody else's rights: ``pg_restore`` gives all rights to a table at once or none."""
        if not self._missing:
            return
        log.warning("rights_left_out", place=self._target.place, no_such_roles=sorted(self._missing))
        schema, table = self._only or (None, None)
        chosen = contents.use_list(schema, table, extension_comments=False, kinds=RIGHTS)
        if chosen and not self._ownership(contents):
            script = self._told("--file=-", _kept(chosen, folder / "rights"), source) or ""
            self._run_script(io.BytesIO(script.encode()), (NO_ROLE.pattern,))

    def _run_script(self, script: Stream, tolerated: Sequence[str]) -> None:
        command = ("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=0", "--file=-")
        ended = feed(self._with_worth("psql", command, _worth(tolerated, "psql:", "ERROR")), script, self._stopped)
        if ended.code or ended.lines:
            raise self._failed(ended)

    def _tool(self, *arguments: str | Path) -> Tool:
        tolerated = (*map(re.escape, HARMLESS), *(map(re.escape, OF_ONE_TABLE) if self._only else ()))
        worth = _worth(tolerated, "pg_restore: error:", "pg_restore: fatal:", "FATAL:")

        def judged(line: str) -> bool:
            if (found := NO_ROLE.search(line)) is not None:
                self._missing.add(found.group(1))
            return found is None and worth(line)

        return self._with_worth("pg_restore", ("--no-password", "--dbname=", *arguments), judged)

    def _with_worth(self, name: str, arguments: Sequence[str | Path], worth: Callable[[str], bool]) -> Tool:
        made = tool(self._target.programs, name, arguments, self._target.environment)
        return Tool(made.command, made.environment, made.secrets, worth, strict=name == "pg_restore")

    def _judge(self, ended: Ended) -> None:
        """``pg_restore`` goes on after an error and ends with 1, also for the harmless ones, which are not kept."""
        if ended.code not in {0, 1} or ended.lines:
            raise self._failed(ended)

    def _failed(self, ended: Ended) -> PilothouseError:
        said = " ".join(ended.words)
        if ended.code > 0 and any(words in said for words in GONE):
            return PlaceUnavailable(f"{self._target.place}: PostgreSQL broke off the restore ({ended}).", retry_after=30)
        count = f"{ended.lines} errors; " if ended.lines > 1 else ""
        return RestoreFailed(f"{self._target.place}: {count}{ended}")


def _kept(chosen: str, path: Path) -> str:
    path.write_text(f"{chosen}\n", encoding="utf-8")
    return f"--use-list={path}"


def require_extensions(place: str, needed: Collection[str], there: Collection[str]) -> None:
    """Raises ``ExtensionMissing`` where the server cannot load all that a backup needs."""
    if missing := sorted(set(needed) - set(there)):
        raise ExtensionMissing(
            f"{place}: the server has no extension {', '.join(missing)}, which the backup needs: install it there.",
            extensions=missing,
        )


def _worth(tolerated: Sequence[str], *marks: str) -> Callable[[str], bool]:
    """Whether a line tells of an error; what else is said may quote rows."""
    harmless = re.compile("|".join(tolerated))
    return lambda line: any(mark in line for mark in marks) and not harmless.search(line)
