"""A turn's log on its way to Valkey and back: ``Writer`` copies this process's logs there, ``Mirror`` one turn's log from there.

``pilothouse:turn:{id}`` is a stream with one entry an event (``kind``, ``n``, ``data``). The log's i-th event has the entry id
``i-0``: so it is known after any failure what has arrived, and nothing can arrive twice. ``0-1`` marks an opened log.
"""

import asyncio
import random
from contextlib import suppress
from typing import Any, cast

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

from core.events import Kind, StreamEvent
from core.streams import MemoryStreams, TurnLog

log = structlog.get_logger(__name__)

AWAY = (RedisError, OSError, TimeoutError)
"""However Valkey fails to answer."""
BATCH = 1000
"""Commands in one pipeline, entries in one read."""
LIFETIME = 6 * 3600
"""Seconds after which the stream of a turn that never ended is gone: what a dead process leaves."""
BACKOFF = (0.1, 3.0)


def key_of(turn_id: str) -> str:
    return f"pilothouse:turn:{turn_id}"


async def pause(tries: int) -> None:
    """Exponential backoff with jitter."""
    first, longest = BACKOFF
    await asyncio.sleep(min(longest, first * 2 ** min(tries, 10)) * random.uniform(0.5, 1.0))  # noqa: S311  (jitter)  # nosec B311


class Writer:
    """Copies what is published here to Valkey, in the background, batch after batch.

    It keeps no queue of its own: it holds a position in each log, so while Valkey is away it costs what the logs cost, and a log
    that is forgotten meanwhile is simply not sent.
    """

    def __init__(self, client: Redis, local: MemoryStreams, keep: float) -> None:
        self._client = client
        self._local = local
        self._keep = max(1, round(keep))
        self._sent: dict[str, int | None] = {}
        """Events of each log that Valkey has; None while it does not know the turn."""
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def opened(self, turn_id: str) -> None:
        self._sent[turn_id] = None
        self.grown(turn_id)

    def grown(self, turn_id: str) -> None:
        self._dirty.add(turn_id)
        self._wake.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="valkey writer")

    async def aclose(self, within: float) -> None:
        """Send what is left, for ``within`` seconds at most."""
        if self._task is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._dirty:
                    self._settled.clear()
                    await self._settled.wait()
        await ended(self._task)
        self._task = None

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                if failures:
                    await self._find_positions()
                while self._dirty:
                    await self._send()
            except AWAY as error:
                if not failures:
                    log.warning("valkey away", cause=type(error).__name__, detail="other processes cannot follow our turns")
                failures += 1
                self._wake.set()
                await pause(failures)
                self._forget_dropped()
            else:
                if failures:
                    log.info("valkey back", tries=failures)
                failures = 0
                self._settled.set()

    async def _send(self) -> None:
        """One pipeline of what is new in the logs that grew."""
        pipe = self._client.pipeline(transaction=False)
        reached: dict[str, tuple[int | None, int]] = {}
        for turn_id in list(self._dirty):
            source = self._local.held(turn_id)
            if source is None or turn_id not in self._sent:
                self._forget(turn_id)
                continue
            reached[turn_id] = (self._sent[turn_id], self._add(pipe, turn_id, source, BATCH - len(pipe)))
            if len(pipe) >= BATCH:
                break
        if reached:
            await pipe.execute()
        for turn_id, (before, sent) in reached.items():
            if self._sent.get(turn_id) == before:
                self._sent[turn_id] = sent
                self._settle(turn_id, sent)

    def _add(self, pipe: Pipeline, turn_id: str, source: TurnLog, room: int) -> int:
        """The position in the log once ``pipe`` has run."""
        key, sent = key_of(turn_id), self._sent[turn_id]
        if sent is None:
            pipe.execute_command("DEL", key)
            pipe.execute_command("XADD", key, "0-1", "open", "")
            pipe.execute_command("EXPIRE", key, LIFETIME)
            sent = 0
        for event in source.events[sent : sent + max(1, room)]:
            sent += 1
            pipe.execute_command("XADD", key, f"{sent}-0", "kind", event.kind, "n", event.n, "data", event.data)
        if source.ended and sent == len(source.events):
            pipe.execute_command("EXPIRE", key, self._keep)
        return sent

    def _settle(self, turn_id: str, sent: int) -> None:
        """The log may have grown, ended or been forgotten while the pipeline ran."""
        source = self._local.held(turn_id)
        if source is None or (source.ended and sent == len(source.events)):
            self._forget(turn_id)
        elif sent == len(source.events):
            self._dirty.discard(turn_id)

    async def _find_positions(self) -> None:
        """After a failure: ask how far each stream came; it may have lost everything or have got more than was answered."""
        turns = [turn_id for turn_id, sent in self._sent.items() if sent is not None]
        for start in range(0, len(turns), BATCH):
            asked = turns[start : start + BATCH]
            pipe = self._client.pipeline(transaction=False)
            for turn_id in asked:
                pipe.execute_command("XREVRANGE", key_of(turn_id), "+", "-", "COUNT", 1)
            for turn_id, last in zip(asked, await pipe.execute(), strict=True):
                if turn_id in self._sent:
                    self._sent[turn_id] = int(last[0][0].partition(b"-")[0]) if last else None
        self._dirty.update(self._sent)

    def _forget_dropped(self) -> None:
        for turn_id in [turn_id for turn_id in self._sent if self._local.held(turn_id) is None]:
            self._forget(turn_id)

    def _forget(self, turn_id: str) -> None:
        self._sent.pop(turn_id, None)
        self._dirty.discard(turn_id)


class Mirror:
    """The log of a turn that another process answers, copied from Valkey while anyone here reads it."""

    def __init__(self, client: Redis, turn_id: str, timeout: float) -> None:
        self.log = TurnLog()
        self._client = client
        self._key = key_of(turn_id)
        self._readers = 0
        # The server answers an empty read before the client takes its silence for a fault.
        self._block = max(1, int(min(timeout * 0.5, 5.0) * 1000))
        self._task = asyncio.get_running_loop().create_task(self._copy(), name="valkey mirror")

    def joined(self) -> None:
        self._readers += 1

    def left(self) -> bool:
        """One reader less; true when it was the last, which ends the copying."""
        self._readers -= 1
        if self._readers == 0:
            self.log.close()
            self._task.cancel()
        return self._readers == 0

    async def aclose(self) -> None:
        """The readers end with what has come so far."""
        self.log.close()
        await ended(self._task)

    async def _copy(self) -> None:
        last = b"0-0"
        failures = 0
        try:
            while not (self.log.ended or self.log.closed):
                try:
                    last = await self._read(last)
                    failures = 0
                except AWAY:
                    failures += 1
                    await pause(failures)
        finally:
            self.log.close()

    async def _read(self, last: bytes) -> bytes:
        """Append what came after entry ``last``; the id of the newest entry read."""
        reply: Any = await self._client.xread({self._key: last}, count=BATCH, block=self._block)
        for _, entries in reply:
            for entry, fields in entries:
                last = entry
                if b"kind" in fields:
                    kind = cast(Kind, fields[b"kind"].decode())
                    self.log.append(StreamEvent(kind, int(fields[b"n"]), fields[b"data"]))
        return last


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it is over."""
    while not task.done():
        # Once may not do: in Python 3.11 the wait_for under a redis-py call can swallow a cancellation.
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
