"""Streams by turn id: one writer, any number of readers, resumable by chunk number."""

from collections.abc import AsyncGenerator
from typing import Protocol

from core.events import Kind, StreamEvent


class Streams(Protocol):
    """Where a turn's events are published and followed.

    A reader never slows the writer or another reader: the log of a turn is kept once, and each reader holds a position in it.
    """

    def open(self, turn_id: str) -> None:
        """Begin a turn's log; call before the first ``publish``."""

    def publish(self, turn_id: str, kind: Kind, data: bytes) -> StreamEvent:
        """Append one event and wake the readers; never waits. ``done`` ends the log, which is kept for some minutes more."""

    def follow(self, turn_id: str, after: int = 0) -> AsyncGenerator[list[StreamEvent], None]:
        """Batches of events that come after chunk number ``after``, the last of them ``done``.

        Raises ``LookupError`` on the first step when no log of that turn is held (any more).
        """

    async def aclose(self) -> None:
        """Release connections; readers still following end."""
