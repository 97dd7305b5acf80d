"""Which turns wait for which flow runs: none for a server that is busy opening others."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from core.config import ChatSettings
from flows import chat
from flows.chat import OPENING_AT_ONCE, Conversations
from flows.presence import Presence
from tests.waiting import eventually


@pytest.fixture
async def opening(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[list[str], None]:
    """The sessions whose flow runs are opening, which never comes to an end."""
    sessions: list[str] = []
    holding: list[asyncio.Task[object] | None] = []

    async def never(session_id: str) -> None:
        sessions.append(session_id)
        holding.append(asyncio.current_task())
        await asyncio.Event().wait()

    monkeypatch.setattr(chat, "conversation", never)
    yield sessions
    for task in holding:
        if task is not None:
            task.cancel()


async def test_only_some_flow_runs_open_at_once(opening: list[str]) -> None:
    conversations = Conversations(ChatSettings(), Presence("http://127.0.0.1:9/api"))
    given = [conversations.inbox(f"s{n}") for n in range(10)]
    assert [inbox is not None for inbox in given] == [True] * OPENING_AT_ONCE + [False] * (10 - OPENING_AT_ONCE)
    await eventually(lambda: len(opening) == OPENING_AT_ONCE, what="the first ones are opening")
    assert conversations.inbox("s0") is given[0], "one that is opening is waited for, not opened again"

    assert given[0] is not None
    given[0].opened.set()
    assert conversations.inbox("s9") is not None, "there is room for another once one has opened"
