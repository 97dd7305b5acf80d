"""The pipe of a backup: a part's stream, compressed, encrypted and hashed on its way into the store, never on disk.

One thread reads the tool and packs; the event loop uploads. Whoever is slower holds the others up, so memory is bounded whatever
the size. When anything fails the upload is given up: an object in the store is whole. Stock programs open it again:
``age -d -i KEY X.pgdump.zst.age | zstd -d | pg_restore …``.
"""

import asyncio
import hashlib
import io
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import IO, Self, cast

import zstandard

from blocks.age import Recipient, encrypt, recipients_of
from blocks.handover import CHUNK, Abandoned, Outlet
from blocks.own_thread import cores, ended, in_own_thread
from core.backups.errors import DumpFailed
from core.backups.manifest import PartRecord
from core.backups.place import Part, Stoppable, Stream
from core.files import ObjectStore

Progress = Callable[[int, int], None]
"""Called from a thread, about once a megabyte: bytes from the tool so far, bytes to the store so far."""
ZSTD, AGE = ".zst", ".age"
JOB = 2 << 20
"""Bytes that one thread compresses at a time; zstd's own choice costs three times the memory and saves next to nothing."""
THREADS = 8
"""More than any dump tool keeps busy."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard the machine works for a backup: zstd's ``level``, its ``threads``, and whether all of it makes way for others."""

    level: int = 4
    threads: int = 1
    quiet: bool = True

    @classmethod
    def of(cls, fast: bool) -> Self:
        return cls(level=4, threads=min(cores(fast=fast), THREADS), quiet=not fast)


async def store_part(
    part: Part,
    store: ObjectStore,
    folder: str,
    *,
    recipients: Sequence[str] = (),
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> PartRecord:
    """Keep one part under ``folder``, whole or not at all.

    Raises ``DumpFailed`` (or what ``part.open`` raises), ``StoreUnavailable``, ``StoreRefused``, ``ConfigurationInvalid``.
    """
    effort = effort or Effort.of(fast=False)
    keys = recipients_of(() if part.public else recipients)
    key = f"{folder}{part.name}{'' if part.packed else ZSTD}{AGE if keys else ''}"
    outlet = Outlet()
    packing = _Packing(part, outlet, keys, effort, progress)
    work = in_own_thread(packing.run, "backup-pipe", quiet=effort.quiet)
    try:
        async with aclosing(_chunks(outlet, work)) as chunks:
            size = await store.put(key, chunks, "application/octet-stream", key.rpartition("/")[2])
    finally:
        outlet.close()
        packing.stop()
        await ended(work)
    if size != packing.size:
        raise DumpFailed(f"{part.name}: the store says {size} bytes of {packing.size}.")
    return PartRecord(
        name=part.name,
        format=part.format,
        key=key,
        sha256=packing.digest.hexdigest(),
        size=packing.size,
        plain_size=packing.plain_size,
        compression="none" if part.packed else "zstd",
        encryption="age" if keys else "none",
    )


async def _chunks(outlet: Outlet, work: asyncio.Future[None]) -> AsyncGenerator[bytes, None]:
    """What the thread packs; fails as it fails, so that the store never takes a beginning for the whole."""
    async with aclosing(outlet.chunks()) as chunks:
        async for chunk in chunks:
            yield chunk
    await asyncio.shield(work)


class _Packing:
    """The thread's side: reads the part, packs, writes to the outlet."""

    def __init__(
        self, part: Part, outlet: Outlet, recipients: Sequence[Recipient], effort: Effort, progress: Progress | None
    ) -> None:
        self.digest = hashlib.sha256()
        self.size = 0
        self.plain_size = 0
        self._part = part
        self._outlet = outlet
        self._recipients = recipients
        self._effort = effort
        self._progress = progress
        self._stream: Stream = io.BytesIO()
        self._told = 0
        self._stopped = threading.Event()

    def run(self) -> None:
        """To the end of the part. Raises what the part raises."""
        try:
            with self._part.open() as self._stream:
                self._pack()
                if not self.plain_size:
                    raise DumpFailed(f"{self._part.name}: nothing came out, not even an empty dump.")
            self._outlet.end()
        except Abandoned:
            raise DumpFailed(f"{self._part.name}: the upload ended before the dump did.") from None
        finally:
            self._outlet.close()

    def stop(self) -> None:
        """From the loop: whatever the thread waits for ends."""
        self._stopped.set()
        stream: object = self._stream
        if isinstance(stream, Stoppable):
            stream.stop()

    def read(self, _: int = CHUNK, /) -> bytes:
        """As a file: what the part gives."""
        if self._stopped.is_set():
            raise Abandoned
        chunk = self._stream.read(CHUNK)
        self.plain_size += len(chunk)
        if self._progress is not None and (not chunk or self.plain_size - self._told >= CHUNK):
            self._told = self.plain_size
            self._progress(self.plain_size, self.size)
        return chunk

    def write(self, data: bytes) -> int:
        """As a file: what goes to the store."""
        self.digest.update(data)
        self.size += len(data)
        return self._outlet.write(data)

    def _pack(self) -> None:
        source: Stream = self
        if not self._part.packed:
            several = {"threads": self._effort.threads, "job_size": JOB} if self._effort.threads > 1 else {}
            shape = zstandard.ZstdCompressionParameters.from_level(self._effort.level, write_checksum=True, **several)
            source = zstandard.ZstdCompressor(compression_params=shape).stream_reader(
                cast(IO[bytes], self), read_size=CHUNK, closefd=False
            )
        if self._recipients:
            encrypt(source, self, self._recipients)
        else:
            while chunk := source.read(CHUNK):
                self.write(chunk)
