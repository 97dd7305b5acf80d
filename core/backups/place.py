"""A place that holds state: a database, a server, a bucket, a folder. What is read from one can be put back into another."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from typing import IO, Protocol, runtime_checkable

Counts = Mapping[str, int]
"""Rows by table (``public.messages``), objects by bucket, files by folder: what is compared after a restore."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a place says of itself before anything is done with it."""

    server: str
    """Product and version, such as ``PostgreSQL 16.4``."""
    tool: str | None
    """The program that will dump and restore, and its version; None where none is used."""
    databases: Sequence[str]
    """What there is to save, by name; empty where the engine knows no databases."""
    size: int | None
    """Bytes, as the server estimates them."""
    empty: bool
    extensions: Sequence[str] = ()
    """What a target must be able to load."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a place holds: how much of everything, and checksums of some of it."""

    counts: Counts
    checksums: Mapping[str, str] = field(default_factory=dict)
    """By table; of sampled tables only."""


class Stream(Protocol):
    """What is read in chunks of any size until one is empty."""

    def read(self, size: int = -1, /) -> bytes:
        """Blocks until there is something."""


@runtime_checkable
class Stoppable(Protocol):
    """A stream that can be told from another thread that nobody wants the rest: a read that waits then ends."""

    def stop(self) -> None:
        """Returns at once."""


@dataclass(frozen=True, slots=True)
class Part:
    """One stream of a backup.

    ``open`` is used in a thread: it blocks, and on leaving raises ``DumpFailed`` when the stream is not whole, whatever came out.
    Where a read may wait for long, what it gives is ``Stoppable`` too.
    """

    name: str
    """Unique in the backup, and safe in a key: ``dify.pgdump``, ``globals.sql``."""
    format: str
    """What opens it, such as ``pg_custom``, ``sql``, ``rdb``, ``tar``, ``bson``."""
    open: Callable[[], AbstractContextManager[Stream]] = field(repr=False)
    packed: bool = False
    """The stream is compressed already."""
    public: bool = False
    """It tells nothing of what was saved, and is never encrypted."""


@dataclass(frozen=True, slots=True)
class Dump:
    """All parts of one backup, from one moment where the engine can, and what that moment held."""

    parts: Sequence[Part]
    fingerprint: Fingerprint


class Place(Protocol):
    """The verbs that every engine answers. Errors: ``PlaceUnavailable``, ``PlaceRefused``, ``ToolTooOld``, ``DumpFailed``,
    ``RestoreFailed``."""

    async def inspect(self) -> Inspection:
        """What it is and holds; the first thing asked, so that wrong credentials are found before anything starts."""

    def dumping(self, inspection: Inspection) -> AbstractAsyncContextManager[Dump]:
        """A dump to be read within the block."""

    async def restore(self, part: str, form: str, stream: IO[bytes], only: str | None = None) -> None:
        """Put one part back, in a thread; ``only`` names one table or file of it."""

    async def fingerprint(self, like: Fingerprint) -> Fingerprint:
        """What it holds now, counted and summed as ``like`` was."""

    async def clear(self) -> None:
        """Make it empty. Only ever called on a place that a restore may replace."""
