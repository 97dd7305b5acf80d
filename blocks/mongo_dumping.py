"""The stream of ``mongodump --archive``: counted, summed and checked while it goes by.

An archive begins with four bytes that say what it is and a list of its collections, then has blocks: a document that names a
collection, documents of it as they are, and four bytes that end the block. Blocks of several collections alternate; one whose
first document says ``EOF`` is a collection's last. With ``--oplog`` what was written meanwhile is a collection of no database.
"""

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import bson

from blocks.dump_process import Output, output_of
from blocks.handover import CHUNK
from blocks.mongo_archive import LARGEST, SUMMED, Tally, key_of, weight_of
from blocks.mongo_tools import Login, Program, wrong_with_dump
from core.backups.errors import DumpFailed
from core.backups.place import Stream

ARCHIVE, OPLOG = "mongodump", "mongodump_oplog"
"""Forms of a part: one database; a whole server with what was written while it was saved."""
MAGIC = b"\x6d\xe2\x99\x81"
END = b"\xff\xff\xff\xff"
CUT_OFF = "The archive of mongodump is cut off."


@dataclass(frozen=True, slots=True)
class Dumping:
    """What is dumped: ``database``, or without one the whole server with its oplog. ``shown``: see ``Archive.databases``."""

    place: str
    login: Login
    program: Program
    shown: Mapping[str, str]
    database: str | None = None

    def opened(self, tally: Tally) -> Iterator[Stream]:
        """The archive; what it holds is in the tally when it has been read."""
        what = "--oplog" if self.database is None else f"--db={self.database}"
        with self.login.tool(self.program, "--archive", what) as tool:
            seen = Seen(self.shown if self.database is None else {self.database: self.shown[self.database]})
            with output_of(tool, partial(wrong_with_dump, self.place), ends_with=END) as output:
                yield _Watched(output, seen)
            seen.tell(tally)


opened_dump = contextmanager(Dumping.opened)


class _Watched:
    """The output as it comes."""

    def __init__(self, output: Output, seen: "Seen") -> None:
        self._output = output
        self._seen = seen

    def read(self, size: int = CHUNK, /) -> bytes:
        chunk = self._output.read(size)
        self._seen.feed(chunk)
        return chunk

    def stop(self) -> None:
        """See ``core.backups.place.Stoppable``."""
        self._output.stop()


@dataclass(slots=True)
class Seen:
    """What has gone by of an archive. Databases that are not in ``shown`` are not counted, nor what is the server's own, nor
    views and time series, whose documents are not those that one reads.
    """

    shown: Mapping[str, str]
    _held: bytearray = field(default_factory=bytearray)
    _begun: bool = False
    _listed: bool = False
    _others: set[tuple[str, str]] = field(default_factory=set)
    _block: tuple[str, str] | None = None
    _open: set[tuple[str, str]] = field(default_factory=set)
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)
    _sums: dict[tuple[str, str], int] = field(default_factory=dict)
    _changed: set[tuple[str, str]] = field(default_factory=set)

    def feed(self, chunk: bytes) -> None:
        """The next bytes. Raises ``DumpFailed`` for what is no archive."""
        self._held += chunk
        at = 0
        while len(self._held) - at >= len(END):
            head = self._held[at : at + len(END)]
            (size,) = struct.unpack("<i", head)
            if not self._begun:
                self._begun, size = head == MAGIC, len(MAGIC)
                if not self._begun:
                    raise DumpFailed("What mongodump wrote is no archive.")
            elif head == END:
                self._listed, self._block, size = True, None, len(END)
            elif not 5 <= size <= LARGEST:
                raise DumpFailed("What mongodump wrote is no archive.")
            elif len(self._held) - at < size:
                break
            elif self._listed:
                self._take(bytes(self._held[at : at + size]))
            else:
                self._list(bson.decode(self._held[at : at + size]))
            at += size
        del self._held[:at]

    def tell(self, tally: Tally) -> None:
        """Put it into the tally, in place of what an earlier try saw. Raises ``DumpFailed`` without an end.

        Collections that were written to meanwhile, as the oplog says, are left out: what a restore makes of them depends on
        whether it is played back.
        """
        if self._held or self._open or self._block is not None or not self._listed:
            raise DumpFailed(CUT_OFF)
        begins = tuple(key_of(shown, "") for shown in self.shown.values())
        for key in [key for key in tally.counts if key.startswith(begins)]:
            del tally.counts[key]
            tally.checksums.pop(key, None)
        for (database, collection), count in self._counts.items():
            if {(database, collection), (database, "")} & self._changed:
                continue
            key = key_of(self.shown[database], collection)
            tally.counts[key] = count
            if count <= SUMMED:
                tally.checksums[key] = f"sum:{self._sums[database, collection]:x}"

    def _list(self, entry: Mapping[str, Any]) -> None:
        is_view = entry.get("type") in ("view", "timeseries") or '"viewOn"' in entry.get("metadata", "")
        if is_view:
            self._others.add((entry["db"], entry["collection"]))

    def _take(self, document: bytes) -> None:
        if self._block is None:
            head = bson.decode(document)
            self._block = name = head["db"], head["collection"]
            if head.get("EOF"):
                self._open.discard(name)
            else:
                self._open.add(name)
            if name[0] in self.shown and name not in self._others and not name[1].startswith("system."):
                self._counts.setdefault(name, 0)
                self._sums.setdefault(name, 0)
        elif self._block in self._counts:
            self._counts[self._block] += 1
            if self._counts[self._block] <= SUMMED:
                self._sums[self._block] += weight_of(document)
        elif not self._block[0]:
            self._changed.update(changed_by(bson.decode(document)))


def changed_by(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The collections that an entry of the oplog changes; an empty name stands for all of the database."""
    if entry.get("op") == "n":
        return
    database, _, collection = str(entry.get("ns", "")).partition(".")
    what = entry.get("o", {})
    if collection != "$cmd":
        yield database, collection
    elif "applyOps" in what:
        for each in what["applyOps"]:
            yield from changed_by(each)
    else:
        yield database, ""
        if "to" in what:
            yield str(what["to"]).partition(".")[0], ""
