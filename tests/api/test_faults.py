"""What becomes of a turn when its provider misbehaves or its reader leaves."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

from deployments.postgres import EmbeddedPostgres
from tests.api.serving import Chat, Event, Served, first_chunk, launched, provider, text_of
from tests.ports import free_port
from tests.upstream import FakeUpstream
from tests.upstream.behaviours import text_of as said_by
from tests.waiting import eventually

FAULTY = (
    "refuse-401",
    "refuse-400",
    "refuse-429-1",
    "refuse-503-1",
    "refuse-429",
    "fail-500",
    "stall-headers",
    "stall-before",
    "stall-after-3",
    "garbage",
    "garbage-after-3",
    "cut-after-0",
    "cut-after-3",
    "no-finish",
    "error-in-stream",
    "error-in-stream-3",
    "html",
    "no-done",
    "no-usage",
    "plain-json",
    "framing",
    "slow-50",
)
RESCUED = ("plain", "echo")
"""Models whose first provider is nowhere."""
TWICE = ("refuse-401-1", "fail-500-2", "cut-after-2")


@pytest.fixture(scope="module")
def faulty(
    postgres: EmbeddedPostgres,
    template_database: str,
    standing_upstream: FakeUpstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    """An API with little patience, without Prefect: nowhere is asked first, then hasty, then spare."""
    patience = {"first_token_timeout": 0.5, "stall_timeout": 0.5, "retries": 1}
    url = standing_upstream.base_url
    providers = {
        "nowhere": provider(f"http://127.0.0.1:{free_port()}/v1", "nothing", *RESCUED, order=1, retries=0),
        "hasty": provider(url, *FAULTY, *RESCUED, *TWICE, order=2, **patience),
        "spare": provider(url, *TWICE, order=3, **patience),
    }
    with launched(postgres, template_database, tmp_path_factory.mktemp("faulty"), providers) as api:
        yield api


@pytest.fixture
async def chat(faulty: Served) -> AsyncGenerator[Chat, None]:
    async with faulty.client() as client:
        yield await Chat(client).open()


def errors(stream: list[Event]) -> list[str]:
    return [event.data["error"]["code"] for event in stream if event.name == "error"]


async def failed(chat: Chat, model: str, status: int, code: str) -> dict[str, Any]:
    """The problem of a turn that fails before anything was said; it is kept as failed, its question left out of history."""
    answer = await chat.ask("hello", model)
    assert answer.status_code == status, answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code
    assert [message["status"] for message in await chat.history()] == ["failed"]
    return problem


@pytest.mark.parametrize(
    ("model", "status", "code", "calls"),
    [
        ("refuse-401", 502, "provider_failed", 1),
        ("refuse-400", 422, "request_refused", 2),  # once more without tools: not every server says what it refuses
        ("html", 502, "provider_failed", 1),
        ("fail-500", 503, "provider_unavailable", 2),
        ("stall-headers", 503, "provider_unavailable", 2),
        ("stall-before", 503, "provider_unavailable", 2),
        ("garbage", 503, "provider_unavailable", 2),
        ("cut-after-0", 503, "provider_unavailable", 2),
        ("error-in-stream", 503, "provider_unavailable", 2),
    ],
)
async def test_a_failure_before_the_first_token(
    chat: Chat, standing_upstream: FakeUpstream, model: str, status: int, code: str, calls: int
) -> None:
    before = standing_upstream.counts[model]
    await failed(chat, model, status, code)
    assert standing_upstream.counts[model] - before == calls, "retried as often as it deserves"


async def test_a_refused_connection_is_503(chat: Chat) -> None:
    problem = await failed(chat, "nothing", 503, "provider_unavailable")
    assert "nowhere" in problem["detail"]


async def test_a_failed_turn_is_told_on_its_stream_too(chat: Chat) -> None:
    answer = await chat.ask("hello", "refuse-401")
    turn_id = answer.headers.get("x-turn-id") or (await chat.history())[0]["turnId"]
    async with chat.client.stream("GET", f"/chat/{chat.id}/turns/{turn_id}/events") as response:
        body = (await response.aread()).decode()
    assert "event: error" in body
    assert body.endswith("data: [DONE]\n\n")


async def test_a_failed_question_is_not_history_for_the_next(chat: Chat) -> None:
    await chat.ask("lost", "refuse-401")
    assert (await chat.ask("next", "echo")).json()["message"]["content"] == "1 messages, the last: next"


async def test_a_providers_retry_after_reaches_the_caller(chat: Chat) -> None:
    response = await chat.ask("hello", "refuse-429")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) == 1


@pytest.mark.parametrize("model", ["refuse-429-1", "refuse-503-1"])
async def test_retry_after_is_waited_for(chat: Chat, standing_upstream: FakeUpstream, model: str) -> None:
    standing_upstream.counts[model] = 0
    answer = await chat.ask("hello", model)
    assert answer.json()["message"]["content"] == said_by()
    turn = await chat.turn(answer.json()["turnId"])
    assert turn["firstTokenMs"] >= 1000, "the upstream asked for a second"
    assert standing_upstream.counts[model] == 2


async def test_a_provider_that_stays_overloaded_is_503(chat: Chat, standing_upstream: FakeUpstream) -> None:
    standing_upstream.counts["refuse-429"] = 0
    await failed(chat, "refuse-429", 503, "provider_unavailable")
    assert standing_upstream.counts["refuse-429"] == 2


@pytest.mark.parametrize(
    ("model", "chunks"),
    [("stall-after-3", 3), ("garbage-after-3", 3), ("cut-after-3", 3), ("error-in-stream-3", 3), ("no-finish", 5)],
)
async def test_a_failure_after_the_first_token(chat: Chat, standing_upstream: FakeUpstream, model: str, chunks: int) -> None:
    standing_upstream.counts[model] = 0
    headers, stream = await chat.stream("hello", model)
    assert text_of(stream) == said_by(chunks)
    assert errors(stream) == ["turn_interrupted"]
    assert stream[-1].data == "[DONE]"
    assert standing_upstream.counts[model] == 1, "never asked again"
    assistant = (await chat.history())[-1]
    assert (assistant["status"], assistant["content"]) == ("interrupted", said_by(chunks))
    turn = await chat.turn(headers["x-turn-id"])
    assert (turn["status"], turn["error"]["code"]) == ("interrupted", "turn_interrupted")


async def test_an_answer_that_broke_off_is_502_in_one_piece(chat: Chat) -> None:
    answer = await chat.ask("hello", "cut-after-2")
    assert (answer.status_code, answer.json()["code"]) == (502, "turn_interrupted")
    assert (await chat.history())[-1]["content"] == said_by(2)


async def test_an_interrupted_answer_is_history_for_the_next(chat: Chat) -> None:
    await chat.ask("first", "cut-after-2")
    assert (await chat.ask("next", "echo")).json()["message"]["content"] == "3 messages, the last: next"


@pytest.mark.parametrize(("model", "text"), [("no-done", said_by(5)), ("no-usage", said_by()), ("plain-json", said_by())])
async def test_what_is_odd_but_whole_is_an_answer(chat: Chat, model: str, text: str) -> None:
    answer = await chat.ask("hello", model)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["message"]["content"], answer.json()["finishReason"]) == (text, "stop")


async def test_the_next_provider_answers_when_the_first_is_nowhere(chat: Chat) -> None:
    answer = await chat.ask("hello", "plain")
    assert answer.json()["message"]["content"] == said_by()
    assert (await chat.turn(answer.json()["turnId"]))["provider"] == "hasty"


@pytest.mark.parametrize(("model", "calls"), [("refuse-401-1", 2), ("fail-500-2", 3)])
async def test_providers_are_asked_in_order(chat: Chat, standing_upstream: FakeUpstream, model: str, calls: int) -> None:
    """A refusal moves on at once, a failure after one more try."""
    standing_upstream.counts[model] = 0
    answer = await chat.ask("hello", model)
    assert answer.json()["message"]["content"] == said_by()
    assert (await chat.turn(answer.json()["turnId"]))["provider"] == "spare"
    assert standing_upstream.counts[model] == calls


async def test_after_the_first_token_no_other_provider_is_asked(chat: Chat, standing_upstream: FakeUpstream) -> None:
    before = standing_upstream.counts["cut-after-2"]
    _, stream = await chat.stream("hello", "cut-after-2")
    assert text_of(stream) == said_by(2), "spare has the model too, and would begin again"
    assert standing_upstream.counts["cut-after-2"] - before == 1


async def test_a_reader_who_leaves_does_not_stop_the_turn(chat: Chat, standing_upstream: FakeUpstream) -> None:
    async with chat.client.stream("POST", f"/chat/{chat.id}", json=chat.body("hello", "slow-50")) as response:
        turn_id = response.headers["x-turn-id"]
        await first_chunk(response)

    async def done() -> bool:
        return bool((await chat.turn(turn_id))["status"] == "done")

    await eventually(done, what="the turn ends without a reader")
    assert (await chat.history())[-1]["content"] == said_by()
    assert "slow-50" not in standing_upstream.disconnects


async def test_a_caller_who_hangs_up_before_the_answer_finds_it_kept(chat: Chat) -> None:
    asking = asyncio.create_task(chat.ask("hello", "slow-50"))

    async def begun() -> bool:
        return bool(await chat.history())

    await eventually(begun, what="the turn is begun")
    asking.cancel()

    async def answered() -> bool:
        return [message["role"] for message in await chat.history()] == ["user", "assistant"]

    await eventually(answered, what="the answer is kept")
    assert (await chat.history())[-1]["status"] == "done"


async def test_a_turn_behind_a_failed_one_is_answered(chat: Chat) -> None:
    first = asyncio.create_task(chat.ask("first", "stall-before"))

    async def begun() -> bool:
        return bool(await chat.history())

    await eventually(begun, what="the first turn is begun")
    second = await chat.ask("second", "echo")
    assert second.json()["message"]["content"] == "1 messages, the last: second"
    assert (await first).status_code == 503


async def test_a_turn_between_two_tries_can_be_cancelled(chat: Chat, standing_upstream: FakeUpstream) -> None:
    before = standing_upstream.counts["refuse-429"]
    asking = asyncio.create_task(chat.ask("hello", "refuse-429"))
    await eventually(lambda: standing_upstream.counts["refuse-429"] > before, what="the first try")
    turn_id = (await chat.history())[0]["turnId"]
    await chat.client.post(f"/chat/{chat.id}/turns/{turn_id}/cancel")
    assert (await asking).json()["code"] == "turn_interrupted"
    assert (await chat.turn(turn_id))["status"] == "cancelled"
    assert standing_upstream.counts["refuse-429"] == before + 1
