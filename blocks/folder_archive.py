"""A folder as a tar stream (POSIX pax), made while it is read, and what it held, hashed on the same way."""

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from io import FileIO
from pathlib import Path

from core.backups.errors import DumpFailed, PlaceRefused, PlaceUnavailable
from core.backups.place import Fingerprint

CHUNK = 1 << 20
SMALL = 4 << 20
"""Bytes up to which a file is read before its size is said, so that one that is being written to is no trouble."""
BLOCK = tarfile.BLOCKSIZE
TOP = "."
"""What files that lie in the folder itself are counted under."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something to save: where it lies, and what it is called in the archive (``/`` between its parts)."""

    path: Path
    name: str
    stat: os.stat_result

    @property
    def top(self) -> str:
        """The folder that it is counted under."""
        first, slash, _ = self.name.partition("/")
        return first if slash else TOP


@dataclass(slots=True)
class Held:
    """How many files each folder holds, and a sum over their names and contents, told while they are read."""

    counts: dict[str, int] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    _sums: dict[str, "hashlib._Hash"] = field(default_factory=dict)

    @property
    def fingerprint(self) -> Fingerprint:
        """What was told so far; grows with it."""
        return Fingerprint(self.counts, self.checksums)

    def forget(self) -> None:
        for each in (self.counts, self.checksums, self._sums):
            each.clear()

    def add(self, entry: Entry, content: str) -> None:
        """Entries come in the order of ``entries``, so that equal folders have equal sums."""
        total = self._sums.setdefault(entry.top, hashlib.sha256())
        total.update(f"{entry.name}\0{content}\n".encode(errors="surrogateescape"))
        self.counts[entry.top] = self.counts.get(entry.top, 0) + 1
        self.checksums[entry.top] = total.hexdigest()


def entries(folder: Path, include: Sequence[str] = (), exclude: Sequence[str] = (), apart: Path | None = None) -> Iterator[Entry]:
    """What lies in the folder, sorted; of its own entries only those of ``include`` where that says some, and never ``apart``.

    Sockets, pipes and devices are left out, and what is deleted meanwhile. Raises ``PlaceRefused``, ``PlaceUnavailable``.
    """
    for name in sorted(set(include)) if include else _names(folder):
        yield from _entries(folder / name, name, exclude, apart)


def _entries(path: Path, name: str, exclude: Sequence[str], apart: Path | None) -> Iterator[Entry]:
    if path == apart or _left_out(name, exclude):
        return
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise refusal(path, error) from error
    if stat.S_ISDIR(found.st_mode):
        yield Entry(path, name, found)
        for below in _names(path):
            yield from _entries(path / below, f"{name}/{below}", exclude, apart)
    elif stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
        yield Entry(path, name, found)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise refusal(folder, error) from error


def _left_out(name: str, patterns: Sequence[str]) -> bool:
    """A pattern with a slash is meant for the whole name, one without for its last part at any depth."""
    last = name.rpartition("/")[2]
    return any(fnmatchcase(name if "/" in pattern.rstrip("/") else last, pattern.strip("/")) for pattern in patterns)


def archive(found: Iterator[Entry], held: Held) -> Iterator[bytes]:
    """The tar stream of the entries; ``held`` is told of each as it was archived. Raises ``DumpFailed``, ``PlaceRefused``."""
    held.forget()
    for entry in found:
        yield from _archived(entry, held)
    yield bytes(2 * BLOCK)


def contents(found: Iterator[Entry], held: Held) -> None:
    """``held`` is told of each entry as ``archive`` would tell it."""
    for _ in archive(found, held):
        pass


def _archived(entry: Entry, held: Held) -> Iterator[bytes]:
    try:
        if stat.S_ISLNK(entry.stat.st_mode):
            target = str(entry.path.readlink())
            yield _header(entry, tarfile.SYMTYPE, linkname=target)
            held.add(entry, f"-> {target}")
        elif stat.S_ISDIR(entry.stat.st_mode):
            yield _header(entry, tarfile.DIRTYPE)
        else:
            yield from _file(entry, held)
    except FileNotFoundError:
        return
    except OSError as error:
        raise refusal(entry.path, error) from error


def _file(entry: Entry, held: Held) -> Iterator[bytes]:
    with FileIO(os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "r") as file:
        size = os.fstat(file.fileno()).st_size
        first = b""
        if size <= SMALL:
            while len(first) <= 2 * SMALL and (chunk := file.read(CHUNK) or b""):
                first += chunk
            size = len(first)
        yield _header(entry, tarfile.REGTYPE, size)
        digest = hashlib.sha256(first)
        if first:
            yield first
        left = size - len(first)
        while left:
            chunk = file.read(min(CHUNK, left)) or b""
            if not chunk:
                raise DumpFailed(f"{entry.path} became shorter while it was read: leave it out, or stop what writes to it.")
            digest.update(chunk)
            left -= len(chunk)
            yield chunk
    if size % BLOCK:
        yield bytes(BLOCK - size % BLOCK)
    held.add(entry, f"{size} {digest.hexdigest()}")


def _header(entry: Entry, kind: bytes, size: int = 0, linkname: str = "") -> bytes:
    info = tarfile.TarInfo(entry.name)
    info.type, info.size, info.linkname = kind, size, linkname
    info.mode, info.mtime = stat.S_IMODE(entry.stat.st_mode), entry.stat.st_mtime
    info.uid, info.gid = entry.stat.st_uid, entry.stat.st_gid
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def refusal(path: Path, error: OSError) -> PlaceRefused | PlaceUnavailable:
    """Why a path cannot be read, in our words."""
    if isinstance(error, PermissionError):
        return PlaceRefused(f"{path} may not be read ({error.strerror}): give this user the right to it, or exclude it.")
    return PlaceUnavailable(f"{path} cannot be read ({error.strerror}).", retry_after=5)


def size_of(found: Iterator[Entry]) -> tuple[int, int]:
    """How many entries there are, and the bytes of all files."""
    count = size = 0
    for entry in found:
        count += 1
        size += entry.stat.st_size if stat.S_ISREG(entry.stat.st_mode) else 0
    return count, size


class Chunks:
    """Bytes that come in chunks, as a stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        """Whatever comes next, at most ``size``; empty at the end."""
        while not self._rest:
            with suppress(StopIteration):
                self._rest = memoryview(next(self._chunks))
                continue
            return b""
        taken, self._rest = (self._rest, memoryview(b"")) if size < 0 else (self._rest[:size], self._rest[size:])
        return bytes(taken)
