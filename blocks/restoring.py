"""A stored part on its way back into a place: opened, checked while it is read, counted."""

import asyncio
import io
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, cast

from pydantic import SecretStr

from blocks.bucket_backups import SavedBucket
from blocks.bucket_increments import IncrementTarget
from blocks.mongo_backups import MongoServer
from blocks.mongo_dumping import ARCHIVE, OPLOG
from blocks.mongo_restoring import WHOLE
from blocks.mongo_tools import restoring_program
from blocks.mysql_backups import MySQLServer
from blocks.pipe_reading import reading_part
from blocks.postgres_backups import PostgresServer
from core.backups.manifest import Manifest, PartRecord
from core.backups.place import Place
from core.files import ObjectStore

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Seen = Callable[[int], None]
"""Called from a thread with the plain bytes read since the last call."""


async def check_part(record: PartRecord, store: ObjectStore, identity: SecretStr | None) -> None:
    """Read all of it to its end: returns when it can be opened and is what was saved.

    Raises ``BackupDamaged``, ``ConfigurationInvalid``, ``StoreUnavailable``, ``StoreRefused``.
    """
    async with reading_part(record, store, identity):
        pass


async def restore_part(
    place: Place, record: PartRecord, store: ObjectStore, identity: SecretStr | None, only: str | None, seen: Seen
) -> None:
    """Put it back. Wrong bytes are found at its end at the latest: the place is incomplete then. Raises as ``Place.restore``."""
    async with reading_part(record, store, identity) as stream:
        await place.restore(record.name, record.format, cast(IO[bytes], _Counted(stream, seen)), only)


def as_target(place: Place, manifest: Manifest) -> Place:
    """The place in the form in which it takes the backup: with the databases that it has, made where they are missing, or
    with the backup that an increment builds on."""
    if isinstance(place, MongoServer) and place.prefix:  # a drill's: nothing may go where the source lies
        return place.model_copy(update={"databases": manifest.databases if _several(manifest) else (), "all_databases": False})
    if isinstance(place, SavedBucket) and manifest.base is not None:
        return IncrementTarget(place)
    if not isinstance(place, PostgresServer | MySQLServer):
        return place
    shape = {"databases": manifest.databases if _several(manifest) else (), "all_databases": False, "may_create": True}
    return place.model_copy(update=shape)


async def require_programs(manifest: Manifest) -> None:
    """Returns when what opens the backup's parts is here, before anything is replaced by them. Raises ``ToolTooOld``."""
    if any(part.format in (ARCHIVE, OPLOG) for part in manifest.parts):
        await asyncio.to_thread(restoring_program)


def _several(manifest: Manifest) -> bool:
    several = any("/" in name for name in manifest.counts) or len(manifest.databases) > 1
    return several or any(part.name == WHOLE for part in manifest.parts)


class _Counted(io.RawIOBase):
    """The stream, and how much of it was read."""

    def __init__(self, stream: IO[bytes], seen: Seen) -> None:
        super().__init__()
        self._stream = stream
        self._seen = seen

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._seen(len(data))
        return data

    def readinto(self, buffer: "WriteableBuffer") -> int:
        target = memoryview(buffer).cast("B")
        data = self.read(len(target))
        target[: len(data)] = data
        return len(data)
