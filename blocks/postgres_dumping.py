"""Streams of ``pg_dump``: one archive as it comes, or a directory that several workers fill and that is sent as a tar."""

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event

from blocks.dump_folder import dump_folder
from blocks.dump_process import Judge, Tool, output_of, run
from blocks.handover import CHUNK, Abandoned
from blocks.postgres_contents import LOCKED, LeftOut
from blocks.postgres_tools import Programs, tool, wrong_with_dump
from core.backups.errors import DumpFailed, NoRoom
from core.backups.place import Stream

GLOBALS_END = b"-- PostgreSQL database cluster dump complete"


@dataclass(frozen=True, slots=True)
class Dumping:
    """How a server's databases are dumped."""

    place: str
    programs: Programs
    left_out: LeftOut
    jobs: int
    scratch: Path | None
    workspaces: bool = False
    """The database is one of ours: read through the policies of its tables, and without what it grants, which it grants anew."""

    def custom(self, environment: dict[str, str], snapshot: str) -> Iterator[Stream]:
        """One archive, not compressed: the pipe does that faster than ``pg_dump``."""
        dump = self._dump(environment, snapshot, "--format=custom")
        with output_of(dump, self._judge) as output:
            yield output

    def directory(self, environment: dict[str, str], snapshot: str, size: int) -> Iterator[Stream]:
        """A tar of what several workers write; ``size`` is what it may take on disk meanwhile."""
        parent = self.scratch or Path(tempfile.gettempdir())
        free = shutil.disk_usage(parent).free
        if free < size:
            raise NoRoom(f"{self.place}: {parent} has {free:,} bytes left where the dump may need {size:,}: use format = custom.")
        with dump_folder(self.scratch) as folder:
            target = folder / "archive"
            dump = self._dump(environment, snapshot, "--format=directory", f"--jobs={self.jobs}", f"--file={target}", "--no-sync")
            yield _Tarred(dump, self._judge, target)

    def globals(self, environment: dict[str, str], passwords: bool) -> Iterator[Stream]:
        """Roles, their settings and tablespaces as SQL."""
        hidden = () if passwords else ("--no-role-passwords",)
        command = ("--globals-only", "--no-password", f"--lock-wait-timeout={LOCKED * 1000}", *hidden)
        with output_of(tool(self.programs, "pg_dumpall", command, environment), self._judge, ends_with=GLOBALS_END) as output:
            yield output

    @property
    def _judge(self) -> Judge:
        return partial(wrong_with_dump, self.place)

    def _dump(self, environment: dict[str, str], snapshot: str, *how: str) -> Tool:
        left_out = [f"--exclude-table={pattern}" for pattern in self.left_out.tables]
        left_out += [f"--exclude-table-data={pattern}" for pattern in self.left_out.rows]
        waits = ("--no-password", f"--lock-wait-timeout={LOCKED * 1000}", f"--snapshot={snapshot}")
        if self.workspaces:
            how += ("--enable-row-security", "--no-privileges")
            environment = environment | {"PGOPTIONS": f"{environment.get('PGOPTIONS', '')} -c pilothouse.workspace=*".strip()}
        return tool(self.programs, "pg_dump", (*how, "--compress=0", *waits, *left_out), environment)


opened_custom = contextmanager(Dumping.custom)
opened_directory = contextmanager(Dumping.directory)
opened_globals = contextmanager(Dumping.globals)


class _Tarred:
    """The tar of a folder that a program fills first; each file goes when it has been read."""

    def __init__(self, dump: Tool, judge: Judge, folder: Path) -> None:
        self._dump = dump
        self._judge = judge
        self._folder = folder
        self._stopped = Event()
        self._chunks = self._packed()

    def read(self, _: int = CHUNK, /) -> bytes:
        return next(self._chunks, b"")

    def stop(self) -> None:
        """See ``core.backups.place.Stoppable``."""
        self._stopped.set()

    def _packed(self) -> Iterator[bytes]:
        try:
            ended = run(self._dump, self._stopped)
        except Abandoned:
            raise DumpFailed("The dump was broken off.") from None
        if (wrong := self._judge(ended)) is not None:
            raise wrong
        # The table of contents first.
        for file in sorted(self._folder.iterdir(), key=lambda file: (file.name != "toc.dat", file.name)):
            size = file.stat().st_size
            header = tarfile.TarInfo(file.name)
            header.size, header.mode = size, 0o600
            yield header.tobuf(tarfile.PAX_FORMAT)
            with file.open("rb") as source:
                while chunk := source.read(CHUNK):
                    yield chunk
            if padding := -size % tarfile.BLOCKSIZE:
                yield bytes(padding)
            file.unlink()
        yield bytes(2 * tarfile.BLOCKSIZE)
