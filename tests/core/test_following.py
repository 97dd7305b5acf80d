"""Following a turn: what is replayed is what was live, and no reader is left hanging."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any, cast

import orjson
import pytest

from core import following
from core.errors import DatabaseUnavailable, NotFound, PilothouseError, ProviderFailed
from core.events import StreamEvent
from core.following import follow_turn, replayed
from core.store.turns import Status, TurnRecord, Turns
from core.streams import MemoryStreams
from core.voice import Voice

CHUNKS = (
    {"role": "assistant", "content": ""},
    {"content": "one "},
    {"reasoning_content": "hm"},
    {"content": "两 "},
    {"content": "🙂"},
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "BEAT", 0.01)
    monkeypatch.setattr(following, "AGAIN", 0.01)


class FakeTurns:
    """What ``get`` answers, one after another; the last for ever."""

    def __init__(self, *answers: TurnRecord | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def get(self, turn_id: str, session_id: str | None = None) -> TurnRecord:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def spoken(status: Status = "done", failure: PilothouseError | None = None) -> tuple[MemoryStreams, Voice]:
    """A turn's live stream, ended."""
    streams = MemoryStreams()
    streams.open("turn")
    voice = Voice(streams, "turn", "session")
    voice.speak_for("model")
    for delta in CHUNKS:
        voice.say({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    if status == "done":
        voice.say({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"total_tokens": 3}})
    voice.end(status, failure)
    return streams, voice


def record(voice: Voice, status: Status = "done", failure: PilothouseError | None = None) -> TurnRecord:
    """The same turn as it was kept."""
    return TurnRecord(
        id="turn",
        session_id="session",
        status=status,
        owner="owner",
        options={},
        answer=voice.answer.text,
        marks=voice.marks,
        message=dict(voice.answer.message()),
        provider="fake",
        model="model",
        usage=voice.answer.usage,
        finish_reason=voice.answer.finish_reason,
        error=None if failure is None else {"code": failure.code, "message": failure.message},
        created_at=datetime.now(UTC),
        first_token_ms=1,
        duration_ms=2,
        finished_at=None,
        flow_run_id=None,
        task_run_id=None,
        tracked=None,
    )


async def followed(streams: MemoryStreams, turns: FakeTurns, after: int = 0, turn_id: str = "turn") -> list[StreamEvent]:
    async with asyncio.timeout(30):
        return [event async for batch in follow_turn(streams, cast(Turns, turns), turn_id, after) for event in batch]


def told(events: list[StreamEvent]) -> list[tuple[str, int, Any]]:
    """Kind, number, and what a reader makes of the event."""
    found: list[tuple[str, int, Any]] = []
    for event in events:
        data: Any = orjson.loads(event.data) if event.data else None
        if event.kind == "chunk":
            (choice,) = data["choices"]
            data = (choice["delta"].get("content") or "", choice["finish_reason"], data["id"], data["model"])
        elif event.kind == "usage":
            data = data["usage"]
        found.append((event.kind, event.n, data))
    return found


@pytest.mark.parametrize(("status", "failure"), [("done", None), ("interrupted", ProviderFailed("broke")), ("cancelled", None)])
async def test_a_replay_tells_what_was_told_live(status: Status, failure: PilothouseError | None) -> None:
    streams, voice = spoken(status, failure)
    live = await followed(streams, FakeTurns(NotFound("nobody asks")))
    again = replayed(record(voice, status, failure), 0)
    assert told(again) == told(live)
    for after in range(1, len(voice.marks) + 1):
        rest = await followed(streams, FakeTurns(NotFound("nobody asks")), after)
        assert told(replayed(record(voice, status, failure), after)) == told(rest)


async def test_a_replay_of_tool_calls_has_them_whole() -> None:
    streams = MemoryStreams()
    streams.open("turn")
    voice = Voice(streams, "turn", None)
    voice.speak_for("model")
    for delta in (
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
    ):
        voice.say({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    voice.say({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    chunks = [orjson.loads(event.data) for event in replayed(record(voice), 0) if event.kind == "chunk"]
    assert len(chunks) == 3
    last = chunks[-1]["choices"][0]
    assert last["finish_reason"] == "tool_calls"
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    assert last["delta"]["tool_calls"] == [call]


async def test_an_ended_turn_without_a_log_is_told_from_the_store() -> None:
    _, voice = spoken()
    events = await followed(MemoryStreams(), FakeTurns(record(voice)), 2)
    assert [event.n for event in events if event.kind == "chunk"] == [3, 4, 5, 6]
    assert events[-1].kind == "done"


async def test_a_turn_that_never_was_is_not_found() -> None:
    with pytest.raises(NotFound):
        await followed(MemoryStreams(), FakeTurns(NotFound("No such turn.")))


async def test_a_turn_whose_process_died_is_told_once_that_is_known() -> None:
    """There is a log, as another process wrote it, which nobody goes on with."""
    streams = MemoryStreams()
    streams.open("turn")
    voice = Voice(streams, "turn", "session")
    voice.speak_for("model")
    voice.say({"choices": [{"index": 0, "delta": {"content": "half"}, "finish_reason": None}]})
    running, dead = record(voice, "running"), record(voice, "interrupted", ProviderFailed("gone"))
    turns = FakeTurns(running, DatabaseUnavailable("restarting"), running, dead)
    events = await followed(streams, turns)
    assert [event.kind for event in events] == ["chunk", "error", "turn", "done"]
    assert turns.asked >= 4


async def test_a_log_that_is_not_there_yet_is_looked_for_again() -> None:
    streams, voice = spoken()

    class Late(MemoryStreams):
        looks = 0

        async def follow(
            self, turn_id: str, after: int = 0, beat: float | None = None
        ) -> AsyncGenerator[list[StreamEvent], None]:
            self.looks += 1
            if self.looks < 3:
                raise LookupError
            async for batch in streams.follow(turn_id, after, beat):
                yield batch

    events = await followed(Late(), FakeTurns(record(voice, "queued")))
    assert told(events) == told(await followed(streams, FakeTurns(record(voice))))
