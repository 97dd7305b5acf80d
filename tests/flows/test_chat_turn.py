"""chat_turn: one turn answered outside any conversation, where it makes sense and nowhere else."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import get_client

from core.config import DatabaseSettings
from core.errors import Conflict, InputInvalid, NotFound, TurnInterrupted
from core.ids import new_id
from core.store.base import Store
from core.store.sessions import MessageRecord, Sessions
from core.store.turns import NewTurn, Outcome, Status, Turns
from flows.chat import chat_turn
from tests.prefect_server import RunningServer
from tests.upstream import KEY, FakeUpstream
from tests.upstream.behaviours import text_of as said_by

CONFIG = """
[providers.fake]
base_url = "{url}"
api_key = "{key}"
models = [{{name = "plain"}}, {{name = "echo"}}, {{name = "refuse-401"}}, {{name = "cut-after-3"}}, {{name = "chart"}}]
"""


@pytest.fixture(autouse=True)
def configured(
    database_url: str, upstream: FakeUpstream, prefect_client: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the flow finds when it loads its settings, as in the process of its run."""
    config = tmp_path / "pilothouse.toml"
    config.write_text(CONFIG.format(url=upstream.base_url, key=KEY))
    monkeypatch.setenv("PILOTHOUSE_CONFIG", str(config))
    monkeypatch.setenv("PILOTHOUSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", database_url)


class Asked:
    """One session whose turns ended long ago, in a process that is gone."""

    def __init__(self, store: Store) -> None:
        self.id = new_id()
        self.turns = Turns(store)
        self._sessions = Sessions(store, 3600)

    async def open(self) -> "Asked":
        await self._sessions.create(self.id)
        return self

    async def turn(self, text: str, status: Status, model: str = "plain", said: str = "half an", **options: Any) -> str:
        turn = NewTurn(new_id(), self.id, "gone", [{"role": "user", "content": text}], {"model": model, **options})
        await self.turns.begin(turn)
        error = None if status == "done" else {"code": "turn_interrupted", "message": "Once upon a time."}
        message = {"role": "assistant", "content": said} if said else None
        await self.turns.finish(turn.id, "gone", 1, Outcome(status, said, [len(said)] if said else [], message, error=error))
        return turn.id

    async def messages(self) -> list[MessageRecord]:
        return await self._sessions.messages(self.id, 100, None)


@pytest.fixture
async def asked(database_url: str) -> AsyncIterator[Asked]:
    store = Store.from_settings(DatabaseSettings.model_validate({"url": database_url}))
    yield await Asked(store).open()
    await store.aclose()


@pytest.mark.parametrize("status", ["interrupted", "failed", "cancelled"])
async def test_a_turn_without_a_whole_answer_is_answered_again(asked: Asked, status: Status) -> None:
    turn_id = await asked.turn("hello", status, said="" if status == "failed" else "half an")
    assert await chat_turn(turn_id=turn_id) == {"turnId": turn_id, "status": "done"}
    turn = await asked.turns.get(turn_id)
    assert (turn.status, turn.answer, turn.error, turn.provider) == ("done", said_by(), None, "fake")
    assert [(message.role, message.status) for message in await asked.messages()] == [("user", "done"), ("assistant", "done")]


async def test_the_runs_that_answered_are_noted(asked: Asked) -> None:
    turn_id = await asked.turn("hello", "interrupted")
    await chat_turn(turn_id=turn_id)
    turn = await asked.turns.get(turn_id)
    assert turn.task_run_id
    async with get_client() as client:
        run = await client.read_flow_run(UUID(turn.flow_run_id))
    assert run.parameters == {"turn_id": turn_id, "message_id": None}
    assert run.state is not None
    assert run.state.is_completed()


async def test_it_sees_what_came_before_and_nothing_that_came_after(asked: Asked) -> None:
    await asked.turn("first", "done", said="yes")
    turn_id = await asked.turn("second", "interrupted", model="echo")
    await asked.turn("third", "done", said="yes")
    await chat_turn(turn_id=turn_id)
    assert (await asked.turns.get(turn_id)).answer == "3 messages, the last: second"


async def test_a_users_message_is_asked_again_as_a_new_turn(asked: Asked) -> None:
    first = await asked.turn("hello", "done", model="echo", said="yes")
    result = await chat_turn(message_id=f"{first}.0")
    assert result["status"] == "done"
    assert result["turnId"] != first
    assert (await asked.turns.get(result["turnId"])).answer == "3 messages, the last: hello"
    assert (await asked.turns.get(first)).answer == "yes"


@pytest.mark.parametrize("repeated", [False, True])
async def test_the_tools_of_a_turn_are_there_again(asked: Asked, repeated: bool) -> None:
    turn_id = await asked.turn("Draw", "failed", model="chart", said="", tool_ids=["drawing/chart", "no/longer"])
    if repeated:
        turn_id = await asked.turn("Draw", "done", model="chart", said="yes", tool_ids=["drawing/chart"])
        turn_id = (await chat_turn(message_id=f"{turn_id}.0"))["turnId"]
    else:
        await chat_turn(turn_id=turn_id)
    answer = (await asked.turns.get(turn_id)).answer
    assert re.search(r"!\[[^\]]+\]\(http[^)]+\)", answer)
    assert answer.endswith("1 results.")


async def test_a_turn_that_was_answered_is_left_alone(asked: Asked) -> None:
    turn_id = await asked.turn("hello", "done", said="yes")
    with pytest.raises(Conflict):
        await chat_turn(turn_id=turn_id)
    assert (await asked.turns.get(turn_id)).answer == "yes"


@pytest.mark.parametrize("model", ["refuse-401", "cut-after-3"])
async def test_a_turn_that_fails_again_fails_its_run(asked: Asked, model: str) -> None:
    turn_id = await asked.turn("hello", "failed", model=model, said="")
    with pytest.raises(TurnInterrupted):
        await chat_turn(turn_id=turn_id)
    assert (await asked.turns.get(turn_id)).status == {"refuse-401": "failed", "cut-after-3": "interrupted"}[model]


async def test_one_of_the_two_ids_is_needed() -> None:
    for ids in ({}, {"turn_id": "a", "message_id": "b"}):
        with pytest.raises(InputInvalid):
            await chat_turn(**ids)


async def test_unknown_ids_are_told() -> None:
    for ids in ({"turn_id": "none"}, {"message_id": "none.0"}, {"message_id": "x"}, {"message_id": f"{new_id()}.99999"}):
        with pytest.raises(NotFound):
            await chat_turn(**ids)


async def test_an_assistants_message_is_not_asked(asked: Asked) -> None:
    turn_id = await asked.turn("hello", "done", said="yes")
    with pytest.raises(NotFound):
        await chat_turn(message_id=f"{turn_id}.1")
