"""One run's events, appended by one follower of Prefect and read by any number of clients."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import orjson

from core.runs import Cursor, RunEvent, RunEventKind

HELD = 10_000
"""Events kept in memory for one run; a reader that falls further behind misses the oldest of them, and is told."""


class RunLog:
    """Append-only until ``end``; a reader never slows the writer or another reader."""

    def __init__(self) -> None:
        self._events: list[tuple[int, RunEvent]] = []
        self._first = 0
        """Number of the first event still held; the events are numbered from 0."""
        self._cursor = Cursor(feed=secrets.token_hex(3))
        self._news = asyncio.Event()
        self.ended = False

    def append(self, kind: RunEventKind, at: int, data: Mapping[str, Any]) -> None:
        """Add one event that happened ``at`` (microseconds since 1970)."""
        self._cursor = self._cursor.then(kind, at)
        event = RunEvent(kind, str(self._cursor), orjson.dumps(data, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC))
        self._events.append((at, event))
        if len(self._events) > HELD:
            keep = HELD * 9 // 10
            self._first += len(self._events) - keep
            del self._events[:-keep]
        self._wake()

    def end(self) -> None:
        """No event follows; the readers end once they have read what is there."""
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def follow(self, after: Cursor, beat: float) -> AsyncGenerator[list[RunEvent], None]:
        """Batches of events past ``after``; an empty batch after ``beat`` seconds of silence; ends with the run."""
        exact = after.feed == self._cursor.feed
        position = after.n if exact else 0
        while True:
            news = self._news
            if position < self._first:
                missed, position = self._first - position, self._first
                yield [self._gap(missed)]
            fresh = self._events[position - self._first :]
            position += len(fresh)
            if batch := [event for at, event in fresh if exact or not after.covers(event.kind, at)]:
                yield batch
            elif self.ended:
                return
            else:
                try:
                    async with asyncio.timeout(beat):
                        await news.wait()
                except TimeoutError:
                    yield []

    def _gap(self, missed: int) -> RunEvent:
        note = {"level": "WARNING", "message": f"{missed} earlier events are left out here; Prefect's page of the run has them."}
        return RunEvent("log", str(Cursor(self._cursor.feed, self._first)), orjson.dumps(note))
