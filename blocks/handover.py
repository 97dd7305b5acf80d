"""Chunks of bytes handed from a thread to the event loop, and the other way; whoever is faster waits."""

import asyncio
import io
import queue
import threading
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

CHUNK = 1 << 20
ROOM = 4
"""Chunks on their way."""


class Abandoned(Exception):
    """The other side has gone; nobody wants the rest."""


class Outlet:
    """A thread writes, the event loop reads. Made in the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._free = threading.Semaphore(ROOM)
        self._abandoned = threading.Event()
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        """From the thread: blocks while the loop is behind. Raises ``Abandoned``."""
        self._held += data
        while len(self._held) >= CHUNK:
            self._hand(bytes(self._held[:CHUNK]))
            del self._held[:CHUNK]
        return len(data)

    def flush(self) -> None:
        """Chunks go when they are full; ``end`` sends the last one."""

    def end(self) -> None:
        """From the thread: nothing more comes."""
        if self._held:
            self._hand(bytes(self._held))
            self._held.clear()
        self._send(None)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """In the loop: what was written, in chunks of a megabyte, until ``end`` or ``close``."""
        while (chunk := await self._chunks.get()) is not None:
            self._free.release()
            yield chunk

    def close(self) -> None:
        """From either side: the writer fails, the reader is at the end."""
        self._abandoned.set()
        self._free.release()
        self._send(None)

    def _hand(self, chunk: bytes) -> None:
        self._free.acquire()
        if self._abandoned.is_set():
            self._free.release()
            raise Abandoned
        self._send(chunk)

    def _send(self, chunk: bytes | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)


class Inlet(io.RawIOBase):
    """A thread reads it as a file; the event loop or another thread writes. Made in the loop."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._chunks: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
        self._free = threading.Semaphore(ROOM)
        self._freed = asyncio.Event()
        self._abandoned = threading.Event()
        self._rest = memoryview(b"")
        self._last: bytes | Exception | None = None

    async def put(self, chunk: bytes) -> None:
        """In the loop: waits while the reader is behind."""
        while not self._free.acquire(blocking=False):
            self._freed.clear()
            await self._freed.wait()
        self._chunks.put(chunk)

    def write(self, data: "ReadableBuffer") -> int:
        """From another thread: blocks while the reader is behind. Raises ``Abandoned``."""
        self._free.acquire()
        if self._abandoned.is_set():
            self._free.release()
            raise Abandoned
        chunk = bytes(data)
        self._chunks.put(chunk)
        return len(chunk)

    def end(self, error: Exception | None = None) -> None:
        """From any side: nothing more comes, or the reader is to fail with ``error`` after what came."""
        self._chunks.put(b"" if error is None else error)

    def abandon(self) -> None:
        """From any side: nobody reads any more."""
        self._abandoned.set()
        self._free.release()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Raises what the writing side ended with."""
        if not self._rest:
            self._rest = memoryview(self._next())
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _next(self) -> bytes:
        found = self._chunks.get() if self._last is None else self._last
        if isinstance(found, Exception):
            self._last = found
            raise found
        if not found:
            self._last = found
            return found
        self._free.release()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._freed.set)
        return found
