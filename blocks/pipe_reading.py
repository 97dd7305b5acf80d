"""The pipe backwards: a stored part as the stream that came from the tool, checked while it is read.

Nothing goes to disk. Wrong bytes are found at the stream's end at the latest, which then raises instead of ending: a tool that is
fed must not take what it got for the whole.
"""

import asyncio
import hashlib
import io
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import IO, TYPE_CHECKING, cast

import zstandard
from pydantic import SecretStr

from blocks.age import Identity, decrypt, identities_of
from blocks.handover import CHUNK, Abandoned, Inlet
from blocks.own_thread import ended, in_own_thread
from core.backups.errors import BackupDamaged
from core.backups.manifest import PartRecord
from core.backups.place import Stream
from core.errors import ConfigurationInvalid, NotFound
from core.files import ObjectStore

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


@asynccontextmanager
async def reading_part(
    record: PartRecord, store: ObjectStore, identity: SecretStr | None = None
) -> AsyncGenerator[IO[bytes], None]:
    """The part's plain stream, to be read in a thread; what the block leaves unread is read and checked at its end.

    Reading raises ``BackupDamaged``, ``StoreUnavailable``, ``StoreRefused``. Raises ``ConfigurationInvalid`` for a missing or
    unusable ``identity``.
    """
    identities = _identities(record, identity)
    inlet, plain = Inlet(), Inlet()
    stored = _Stored(record, inlet)
    pump = asyncio.create_task(_pump(record, store, inlet))
    opening = in_own_thread(lambda: _decrypt(stored, plain, identities), "backup-age") if identities else None
    stream = _Unpacked(record, plain if identities else stored)
    checking: asyncio.Future[None] | None = None
    try:
        yield cast(IO[bytes], stream)
        checking = in_own_thread(stream.finish, "backup-check")
        await asyncio.shield(checking)
    finally:
        pump.cancel()
        await asyncio.wait({pump})
        for each in (inlet, plain):
            each.end(BackupDamaged(f"{record.name}: reading it was broken off."))
            each.abandon()
        await ended(opening, checking)


async def verify_part(record: PartRecord, store: ObjectStore) -> None:
    """Returns when the stored bytes are those that were saved; needs no identity.

    Raises ``BackupDamaged``, ``StoreUnavailable``, ``StoreRefused``.
    """
    sealed = record.model_copy(update={"plain_size": record.size, "compression": "none", "encryption": "none"})
    async with reading_part(sealed, store):
        pass


class _Stored:
    """The bytes as they lie in the store; the end is reached only if they are those that were saved."""

    def __init__(self, record: PartRecord, source: Inlet) -> None:
        self._record = record
        self._source = source
        self._digest = hashlib.sha256()

    def read(self, size: int = CHUNK, /) -> bytes:
        chunk = self._source.read(size) or b""
        self._digest.update(chunk)
        if not chunk and self._digest.hexdigest() != self._record.sha256:
            raise BackupDamaged(f"{self._record.key}: the stored bytes are not those that were saved (their sha256 differs).")
        return chunk


class _Unpacked(io.RawIOBase):
    """The plain stream as a file."""

    def __init__(self, record: PartRecord, source: Stream) -> None:
        super().__init__()
        self._record = record
        self._source = source
        self._size = 0
        if record.compression == "zstd":
            opener = zstandard.ZstdDecompressor()
            self._source = opener.stream_reader(cast(IO[bytes], source), read_size=CHUNK, read_across_frames=True, closefd=False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        target = memoryview(buffer).cast("B")
        try:
            chunk = self._source.read(len(target))
        except zstandard.ZstdError as error:
            raise BackupDamaged(f"{self._record.key} cannot be decompressed ({error}).") from None
        self._size += len(chunk)
        if not chunk and len(target) and self._size != self._record.plain_size:
            raise BackupDamaged(f"{self._record.key} holds {self._size} bytes where {self._record.plain_size} were saved.")
        target[: len(chunk)] = chunk
        return len(chunk)

    def finish(self) -> None:
        while self.read(CHUNK):
            pass


async def _pump(record: PartRecord, store: ObjectStore, inlet: Inlet) -> None:
    """From the store to the thread; whatever happens here, the thread hears of it."""
    try:
        async with aclosing(store.read(record.key)) as chunks:
            async for chunk in chunks:
                await inlet.put(chunk)
    except NotFound:
        inlet.end(BackupDamaged(f"{record.key} is not in the store any more."))
    except Exception as error:  # noqa: BLE001  (raised where the stream is read)
        inlet.end(error)
    else:
        inlet.end()


def _decrypt(stored: _Stored, plain: Inlet, identities: list[Identity]) -> None:
    try:
        decrypt(stored, plain, identities)
    except Abandoned:
        pass
    except Exception as error:  # noqa: BLE001  (raised where the stream is read)
        plain.end(error)
    else:
        plain.end()


def _identities(record: PartRecord, identity: SecretStr | None) -> list[Identity]:
    if record.encryption == "none":
        return []
    if identity is None:
        raise ConfigurationInvalid(
            f"{record.key} is encrypted: set backups.identity to the secret key of one of its recipients (file:PATH or env:NAME)."
        )
    return identities_of(identity.get_secret_value())
