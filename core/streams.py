"""Streams by turn id: one writer, any number of readers, resumable by chunk number."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from operator import attrgetter
from typing import Protocol

from core.events import Kind, StreamEvent

EVENT_OVERHEAD = 160
"""Bytes that an event costs in memory beside its data (objects, list slot), as measured on CPython 3.11."""


class Streams(Protocol):
    """Where a turn's events are published and followed.

    A reader never slows the writer or another reader: the log of a turn is kept once, and each reader holds a position in it.
    """

    def open(self, turn_id: str) -> None:
        """Begin a turn's log; call before the first ``publish``. A log that is open already is left as it is."""

    def publish(self, turn_id: str, kind: Kind, data: bytes) -> StreamEvent:
        """Append one event and wake the readers; never waits. ``done`` ends the log, which is kept for some minutes more.

        Raises ``LookupError`` for a turn that was not opened or has ended.
        """

    def follow(self, turn_id: str, after: int = 0, beat: float | None = None) -> AsyncGenerator[list[StreamEvent], None]:
        """Batches of events that come after chunk number ``after``, the last of them ``done``.

        With ``beat``, that many seconds of silence yield an empty batch: a place to ping the reader or to ask whether the writer
        still lives (cancelling a pending step, as ``wait_for`` does, would end the generator).
        Raises ``LookupError`` on the first step when no log of that turn is held (any more).
        """

    async def ping(self) -> None:
        """Raises ``StreamsUnavailable`` unless streams can be shared."""

    async def aclose(self) -> None:
        """Release connections; readers still following end."""


class TurnLog:
    """One turn's events, appended by one writer and read by any number of followers, all in one event loop."""

    __slots__ = ("_waiters", "closed", "ended", "events", "n", "size")

    def __init__(self) -> None:
        self.events: list[StreamEvent] = []
        self.n = 0
        """Number of the last chunk."""
        self.size = 0
        """Bytes held, about."""
        self.ended = False
        """``done`` has been appended."""
        self.closed = False
        """No further event can come, though ``done`` never did."""
        self._waiters: dict[asyncio.Future[None], None] = {}

    def append(self, event: StreamEvent) -> None:
        self.events.append(event)
        self.n = event.n
        self.size += len(event.data) + EVENT_OVERHEAD
        if event.kind == "done":
            self.ended = True
        if self._waiters:
            self._wake()

    def close(self) -> None:
        """End the followers once they have read what is there."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            _release(waiter)

    def _start(self, after: int) -> int:
        """Index of the first event behind chunk ``after``: named events carry the number of the chunk before them."""
        index = bisect_left(self.events, after, key=attrgetter("n"))
        return index + 1 if 0 < after <= self.n else index

    async def follow(self, after: int, beat: float | None) -> AsyncGenerator[list[StreamEvent], None]:
        """As ``Streams.follow``. Chunks that a reader has and this log has not seen yet are waited for, not sent again."""
        while self.n < after and not (self.ended or self.closed):
            if not await self._grown(beat):
                yield []
        index = self._start(min(after, self.n))
        while True:
            if batch := self.events[index:]:
                index += len(batch)
                yield batch
            elif self.ended or self.closed:
                return
            elif not await self._grown(beat):
                yield []

    async def _grown(self, beat: float | None) -> bool:
        """Wait for an append or ``close``; false after ``beat`` silent seconds."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters[waiter] = None
        timer = None if beat is None else loop.call_later(beat, _release, waiter)
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            # An append empties the line before it wakes; a timer or a cancelled reader leaves the waiter standing in it.
            silent = waiter in self._waiters
            self._waiters.pop(waiter, None)
        return not silent


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class MemoryStreams:
    """Streams in one process's memory, used from one event loop.

    A finished log is held for ``keep`` seconds, and the oldest ones go earlier once all finished logs exceed ``budget`` bytes.
    """

    def __init__(self, keep: float = 300.0, budget: int = 64_000_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._keep = keep
        self._budget = budget
        self._clock = clock
        self._logs: dict[str, TurnLog] = {}
        self._finished: dict[str, float] = {}
        """Turn id -> when its log ended, oldest first."""
        self._finished_size = 0

    def open(self, turn_id: str) -> None:
        log = self.held(turn_id)
        if log is None or log.ended:
            self._drop(turn_id)
            self._logs[turn_id] = TurnLog()

    def held(self, turn_id: str) -> TurnLog | None:
        """The turn's log, while it is kept."""
        if self._finished:
            self._sweep()
        return self._logs.get(turn_id)

    def publish(self, turn_id: str, kind: Kind, data: bytes) -> StreamEvent:
        log = self._logs.get(turn_id)
        if log is None or log.ended:
            raise LookupError(f"the stream of turn {turn_id} is not open")
        event = StreamEvent(kind, log.n + 1 if kind == "chunk" else log.n, data)
        log.append(event)
        if kind == "done":
            self._finished[turn_id] = self._clock()
            self._finished_size += log.size
            self._sweep()
        return event

    async def follow(self, turn_id: str, after: int = 0, beat: float | None = None) -> AsyncGenerator[list[StreamEvent], None]:
        log = self.held(turn_id)
        if log is None:
            raise LookupError(f"no stream of turn {turn_id} is held")
        async with aclosing(log.follow(after, beat)) as batches:
            async for batch in batches:
                yield batch

    async def ping(self) -> None:
        """Memory is always there."""

    async def aclose(self) -> None:
        for log in self._logs.values():
            log.close()
        self._logs.clear()
        self._finished.clear()
        self._finished_size = 0

    def _sweep(self) -> None:
        expired = self._clock() - self._keep
        while self._finished:
            turn_id, ended_at = next(iter(self._finished.items()))
            if ended_at > expired and self._finished_size <= self._budget:
                return
            self._drop(turn_id)

    def _drop(self, turn_id: str) -> None:
        log = self._logs.pop(turn_id, None)
        if log is not None and self._finished.pop(turn_id, None) is not None:
            self._finished_size -= log.size
