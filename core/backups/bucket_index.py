"""How the next backup of a bucket knows what is unchanged, and how a restore knows what of the older one is still in force: pure.

Content may be encrypted to keys that are not ours to have. So a whole backup keeps an index that tells no names: a digest of each
object, keyed by a random salt at its head. An increment keeps the list of all keys in force, encrypted as the objects are.
"""

import hmac
import secrets
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self

from core.backups.errors import BackupDamaged
from core.backups.place import Stream

MAGIC = b"pilothouse-index-1\n"
SALT = 32
WIDTH = 16
"""Bytes of a digest."""
CHUNK = 1 << 20
UNCHANGED, HERE = "=", "+"
"""At the beginning of a key's line: as it is in the base, or in this backup."""
LIST_HEAD = b"# objects.keys 1\0"
UNREADABLE = "The list of keys in force is none that this release can read."
LONGEST = 1 << 16
"""Bytes of a line; S3 allows keys of 1,024."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as the listing, or the answer that brought it, has it; its key without the prefix, ``modified`` in Unix seconds.

    The time tells of changed metadata, which an ETag does not.
    """

    key: str
    size: int
    etag: str = ""
    modified: int = 0


class Digests:
    """A set of digests, in little more memory than their bytes take: 16 MB for a million."""

    def __init__(self) -> None:
        self._rows = [bytearray() for _ in range(256)]
        self._mixed: set[int] = set()

    def add(self, digest: bytes) -> None:
        self._rows[digest[0]] += digest
        self._mixed.add(digest[0])

    def clear(self) -> None:
        for row in self._rows:
            row.clear()
        self._mixed.clear()

    def __contains__(self, digest: bytes) -> bool:
        row = self._ordered(digest[0])
        at = bisect_left(range(len(row) // WIDTH), digest, key=lambda place: bytes(row[place * WIDTH : (place + 1) * WIDTH]))
        return row[at * WIDTH : (at + 1) * WIDTH] == digest

    def __len__(self) -> int:
        return sum(map(len, self._rows)) // WIDTH

    def chunks(self) -> Iterator[bytes]:
        """All of them, sorted."""
        for first in range(256):
            if row := self._ordered(first):
                yield bytes(row)

    def _ordered(self, first: int) -> bytearray:
        row = self._rows[first]
        if first in self._mixed:
            row[:] = b"".join(sorted(bytes(row[at : at + WIDTH]) for at in range(0, len(row), WIDTH)))
            self._mixed.discard(first)
        return row


@dataclass(slots=True)
class Index:
    """The objects of a whole backup. One without an ETag is never known again, and so is saved each time."""

    salt: bytes = field(default_factory=lambda: secrets.token_bytes(SALT), repr=False)
    digests: Digests = field(default_factory=Digests, repr=False)

    def add(self, one: Listed) -> None:
        if one.etag:
            self.digests.add(self._digest(one))

    def __contains__(self, one: Listed) -> bool:
        return bool(one.etag) and self._digest(one) in self.digests

    def chunks(self) -> Iterator[bytes]:
        """As it is kept."""
        yield MAGIC + self.salt
        yield from self.digests.chunks()

    @classmethod
    def read(cls, stream: Stream) -> Self:
        """From where it is kept. Raises ``BackupDamaged``."""
        held = bytearray()
        while len(held) < len(MAGIC) + SALT and (chunk := stream.read(CHUNK)):
            held += chunk
        if not held.startswith(MAGIC) or len(held) < len(MAGIC) + SALT:
            raise BackupDamaged("The index of the bucket's last whole backup is none that this release can read.")
        found = cls(bytes(held[len(MAGIC) : len(MAGIC) + SALT]))
        del held[: len(MAGIC) + SALT]
        while True:
            whole = len(held) - len(held) % WIDTH
            for at in range(0, whole, WIDTH):
                found.digests.add(bytes(held[at : at + WIDTH]))
            del held[:whole]
            if not (chunk := stream.read(CHUNK)):
                break
            held += chunk
        if held:
            raise BackupDamaged("The index of the bucket's last whole backup ends in the middle of an entry.")
        return found

    def _digest(self, one: Listed) -> bytes:
        told = f"{one.etag}\0{one.size}\0{one.modified}\0{one.key}".encode()
        return hmac.digest(self.salt, told, "sha256")[:WIDTH]


def digest_of(key: str) -> bytes:
    """A key in a set of keys that is only held in memory."""
    return sha256(key.encode()).digest()[:WIDTH]


def line_of(one: Listed, *, unchanged: bool) -> bytes:
    """An object in the list of keys in force: ``= ETAG SIZE KEY``, ended by a zero byte, which no key holds."""
    etag = "".join(one.etag.split()) or "-"
    return f"{UNCHANGED if unchanged else HERE} {etag} {one.size} {one.key}\0".encode()


def unchanged_in(stream: Stream) -> Digests:
    """The keys (``digest_of``) that a list says are as they are in the base. Raises ``BackupDamaged``."""
    found, lines = Digests(), _lines(stream)
    if next(lines, b"") + b"\0" != LIST_HEAD:
        raise BackupDamaged(UNREADABLE)
    for line in lines:
        if (key := _unchanged(line)) is not None:
            found.add(digest_of(key))
    return found


def _lines(stream: Stream) -> Iterator[bytes]:
    held = b""
    while chunk := stream.read(CHUNK):
        *lines, held = (held + chunk).split(b"\0")
        yield from lines
        if len(held) > LONGEST:
            break
    if held:
        raise BackupDamaged(UNREADABLE)


def _unchanged(line: bytes) -> str | None:
    """The key of a line that says so."""
    try:
        kind, _, _, key = line.decode().split(" ", 3)
    except ValueError:
        kind = key = ""
    if kind not in (UNCHANGED, HERE):
        raise BackupDamaged(UNREADABLE)
    return key if kind == UNCHANGED else None
