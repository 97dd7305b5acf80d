"""Files that Pilothouse makes and serves: what is kept of one, and where it may lie."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as its store knows it. ``size`` in bytes."""

    key: str
    size: int
    media_type: str
    name: str
    modified_at: datetime
    etag: str


class ObjectStore(Protocol):
    """A place for objects by key: a folder or a bucket. Errors: ``StoreUnavailable``, ``StoreRefused``, ``NotFound``."""

    async def put(self, key: str, data: bytes | AsyncIterator[bytes], media_type: str, name: str) -> StoredObject:
        """Keep an object whole or not at all; large ones in parts, aborted when the source fails."""

    async def head(self, key: str) -> StoredObject:
        """What is known of an object without reading it."""

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Its bytes from ``start`` up to, not including, ``end``."""

    async def list(self, prefix: str = "") -> Sequence[StoredObject]:
        """The objects whose keys begin so."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Those that are gone already count as deleted."""
