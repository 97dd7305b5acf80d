"""Files that Pilothouse makes and serves: their keys and names, where they may lie, and what leads to one."""

import re
import secrets
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import quote

KEY = re.compile(r"[0-9a-f]{32}-[A-Za-z0-9_][A-Za-z0-9._-]{0,79}")
"""Of the files that are served: nobody guesses the first part."""
INLINE = ("image/", "text/plain", "application/pdf")
"""What a browser shows; it saves anything else."""
CACHED = "private, max-age=86400, immutable"
"""What lies under a key never changes, but it may be deleted: no shared cache keeps it."""


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object as a listing tells it. ``size`` in bytes."""

    key: str
    size: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as its store knows it. ``name`` is what a browser would call it when saving."""

    key: str
    size: int
    media_type: str
    name: str
    modified_at: datetime


class ObjectStore(Protocol):
    """A place for objects by key: a folder or a bucket. Errors: ``StoreUnavailable``, ``StoreRefused``, ``NotFound``."""

    async def put(self, key: str, data: bytes | AsyncIterator[bytes], media_type: str, name: str) -> int:
        """Keep an object whole or not at all, in place of an older one; large ones in parts. Its size in bytes."""

    async def head(self, key: str) -> StoredObject:
        """What is known of an object without reading it."""

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """Its bytes from ``start`` up to, not including, ``end``, in chunks; nothing where it is shorter."""

    def list(self, prefix: str = "") -> AsyncGenerator[Sequence[ListedObject], None]:
        """The objects whose keys begin so, a page at a time."""

    async def remove(self, keys: Sequence[str]) -> None:
        """Those that are gone already count as deleted."""


class Tidied(Protocol):
    """A store that may be left with unfinished things when a process dies; asked whether it works, too."""

    async def tidy(self, hours: float) -> int:
        """Remove what was begun more than ``hours`` ago and never finished; how many."""

    async def check(self) -> None:
        """Returns when the store answers and takes our credentials."""


class Links(Protocol):
    """How a reader gets to an object."""

    async def url(self, key: str) -> str:
        """An address that opens in a browser."""


@dataclass(frozen=True, slots=True)
class BaseLinks:
    """Links that are a base and the key: to our own ``/files``, or to a bucket that everyone may read."""

    base: str

    async def url(self, key: str) -> str:
        return f"{self.base.rstrip('/')}/{quote(key)}"


def new_key(name: str) -> str:
    """A key that nobody guesses (128 random bits), telling the file's name as far as ASCII can: ``<32 hex>-chart.svg``."""
    stem, dot, suffix = shown_name(name).rpartition(".")
    if not dot:
        stem, suffix = suffix, ""
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()).strip("-")
    ending = re.sub(r"[^A-Za-z0-9]", "", suffix)[:10]
    return f"{secrets.token_hex(16)}-{plain[:60].strip('-') or 'file'}{f'.{ending}' if ending else ''}"


def shown_name(name: str) -> str:
    """The name without folders and control characters, at most 150 characters long; its ending stays."""
    plain = "".join(each for each in re.split(r"[/\\]", name)[-1] if unicodedata.category(each)[0] != "C").strip(" .")
    stem, dot, suffix = plain.rpartition(".")
    if len(plain) > 150:
        plain = f"{stem[: 149 - len(suffix)]}.{suffix}" if dot and len(suffix) <= 10 else plain[:150]
    return plain or "file"


def disposition(name: str, media_type: str) -> str:
    """The ``Content-Disposition`` header (RFC 6266): pictures open in the browser, under their own name when saved."""
    kind = "inline" if media_type.startswith(INLINE) else "attachment"
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
