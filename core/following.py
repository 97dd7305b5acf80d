"""A turn's stream for a reader, wherever it is: the live log, the log of another process, or the turn as it was kept."""

from asyncio import sleep as pause
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson

from core.errors import DatabaseUnavailable
from core.events import StreamEvent
from core.store.turns import ACTIVE, TurnRecord, Turns
from core.streams import Streams

BEAT = 2.5
"""Seconds of silence after which an empty batch is yielded."""
AGAIN = 0.5
"""Seconds until a turn without a log is looked for again: until its process wrote a first event, or was found dead."""
QUIET_BEATS = 3
"""Silent beats after which the store is asked whether the turn's process ended it, or died."""


async def follow_turn(streams: Streams, turns: Turns, turn_id: str, after: int = 0) -> AsyncGenerator[list[StreamEvent], None]:
    """Batches of the turn's events behind chunk ``after``; the last event is always ``done``. Silence yields empty batches.

    Raises ``NotFound`` on the first step for a turn that never was.
    """
    seen = after
    while True:
        try:
            async with aclosing(_live(streams, turns, turn_id, seen)) as batches:
                async for batch in batches:
                    yield batch
                    if batch:
                        seen = batch[-1].n
                        if batch[-1].kind == "done":
                            return
        except LookupError:
            pass  # no log is held here: not yet, or not any more
        record = await turns.get(turn_id)
        if record.status not in ACTIVE:
            yield replayed(record, seen)
            return
        yield []
        await pause(AGAIN)


async def _live(streams: Streams, turns: Turns, turn_id: str, after: int) -> AsyncGenerator[list[StreamEvent], None]:
    """The turn's log, until ``done`` or until the store says that its process, dead or not, will not say it any more."""
    quiet = 0
    async with aclosing(streams.follow(turn_id, after, BEAT)) as batches:
        async for batch in batches:
            quiet = 0 if batch else quiet + 1
            if quiet and quiet % QUIET_BEATS == 0 and await _ended(turns, turn_id):
                return
            yield batch


async def _ended(turns: Turns, turn_id: str) -> bool:
    try:
        return (await turns.get(turn_id)).status not in ACTIVE
    except DatabaseUnavailable:
        return False  # nobody knows; the next beats ask again


def replayed(record: TurnRecord, after: int) -> list[StreamEvent]:
    """The events behind chunk ``after`` of an ended turn, made again from its text and marks: same numbers, same texts."""
    frame = {
        "id": f"chatcmpl-{record.id}",
        "object": "chat.completion.chunk",
        "created": int(record.created_at.timestamp()),
        "model": record.model,
    }
    events: list[StreamEvent] = []
    start = 0
    for n, end in enumerate(record.marks, start=1):
        text, start = record.answer[start:end], end
        if n > after:
            delta: dict[str, object] = {"role": "assistant", "content": text} if n == 1 else {"content": text}
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            if n == len(record.marks):
                choice["finish_reason"] = record.finish_reason
                delta |= {"tool_calls": _indexed(record)} if record.message and record.message.get("tool_calls") else {}
            events.append(StreamEvent("chunk", n, orjson.dumps(frame | {"choices": [choice]})))
    last = len(record.marks)
    if record.usage is not None:
        events.append(StreamEvent("usage", last, orjson.dumps(frame | {"choices": [], "usage": record.usage})))
    if record.error is not None or record.status == "cancelled":
        error = record.error or {"code": "cancelled", "message": "The turn was cancelled."}
        events.append(StreamEvent("error", last, orjson.dumps({"error": error})))
    state = {"turnId": record.id, "sessionId": record.session_id, "status": record.status}
    events.append(StreamEvent("turn", last, orjson.dumps(state)))
    events.append(StreamEvent("done", last, b""))
    return events


def _indexed(record: TurnRecord) -> list[dict[str, object]]:
    calls = (record.message or {}).get("tool_calls") or []
    return [{"index": at, **call} for at, call in enumerate(calls)]
