"""Streams of ``mysqldump``, all begun while nobody writes, and the table that is taken out of one."""

import re
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial

from blocks.dump_process import Output, Tool, output_of
from blocks.handover import CHUNK, Abandoned
from blocks.mysql_tools import END, wrong_with_dump
from core.backups.errors import PlaceRefused, RestoreFailed
from core.backups.place import Stream

SECTION = b"\n--\n-- "
"""What every part of a dump begins with. The first is its head, written before the dump's transaction begins."""
HIDDEN = b"\n-- insufficient privileges to "
"""What is written in place of a routine that the login may not see."""
_TABLE = re.compile(rb"-- (?:Temporary table structure for view|Table structure for table|Dumping data for table) `(.*)`\s*")


@dataclass(slots=True)
class Begun:
    """Dumps that run already and wait to be read; those that nobody reads end with ``close``."""

    place: str
    _stacks: list[ExitStack] = field(default_factory=list)

    def begin(self, tool: Tool) -> Callable[[], "_Opening"]:
        """Returns when the program sees what it will write; what happens later is not in its dump. Blocks."""
        stack = ExitStack()
        self._stacks.append(stack)
        output = stack.enter_context(output_of(tool, partial(wrong_with_dump, self.place), ends_with=END))
        head = b""
        while head.count(SECTION) < 2 and (chunk := output.read(CHUNK)):
            head += chunk
        if not head:
            stack.pop_all().close()  # says why
        return lambda: _Opening(stack, _Dumped(self.place, head, output))

    def close(self) -> None:
        """From a thread. Whatever was not opened is ended."""
        for stack in self._stacks:
            unread = stack.pop_all()
            with suppress(Abandoned):
                unread.__exit__(Abandoned, Abandoned(), None)


@dataclass(frozen=True, slots=True)
class _Opening:
    """The stream, once."""

    stack: ExitStack
    stream: "_Dumped"

    def __enter__(self) -> Stream:
        return self.stream

    def __exit__(self, *raised: object) -> bool | None:
        return self.stack.pop_all().__exit__(*raised)  # type: ignore[arg-type]


class _Dumped:
    """A head that was read ahead, and the rest."""

    def __init__(self, place: str, head: bytes, output: Output) -> None:
        self._place = place
        self._head = head
        self._output = output
        self._tail = b""

    def read(self, size: int = CHUNK, /) -> bytes:
        if self._head:
            chunk, self._head = self._head, b""
        else:
            chunk = self._output.read(size)
        if HIDDEN in self._tail + chunk:
            raise PlaceRefused(
                f"{self._place}: the login may not see all routines; grant it SHOW_ROUTINE or SELECT on mysql.proc."
            )
        self._tail = chunk[-len(HIDDEN) :]
        return chunk

    def stop(self) -> None:
        """See ``core.backups.place.Stoppable``."""
        self._output.stop()


class OneTable:
    """A dump without everything but one table: its definition, rows and triggers."""

    def __init__(self, stream: Stream, table: str) -> None:
        self._stream = stream
        self._name = table.encode()
        self._rest = b""
        self._wanted = True
        self._tables = True
        self.found = False

    def read(self, _: int = CHUNK, /) -> bytes:
        kept: list[bytes] = []
        while not kept and (chunk := self._stream.read(CHUNK)):
            lines = (self._rest + chunk).split(b"\n")
            self._rest = lines.pop()
            kept = [line + b"\n" for line in lines if self._wants(line)]
        if kept:
            return b"".join(kept)
        if not self.found:
            raise RestoreFailed("The backup has no such table.")
        return b""

    def _wants(self, line: bytes) -> bool:
        """Sections of tables come first; after them a line of a routine may look like anything."""
        if self._tables and line.startswith(b"-- "):
            match = _TABLE.fullmatch(line)
            if match is not None:
                self._wanted = match.group(1).replace(b"``", b"`") == self._name
                self.found |= self._wanted
            elif line.startswith(
                (b"-- Dumping events", b"-- Dumping routines", b"-- Final view structure", b"-- Dump completed")
            ):
                self._tables = self._wanted = False
        return self._wanted
