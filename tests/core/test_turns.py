"""A turn while it is answered: whom it asks, how often, what it says, and how it ends; models and store are small fakes."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

import orjson
import pytest

from core import saving
from core.conversation import Candidate, ModelInfo, ModelRequest
from core.errors import (
    ContextExceeded,
    DatabaseUnavailable,
    PilothouseError,
    ProviderFailed,
    ProviderUnavailable,
    TurnInterrupted,
)
from core.events import StreamEvent
from core.models import demo_notice
from core.store.turns import NewTurn, Outcome, Turns
from core.streams import MemoryStreams
from core.turns import RunningTurn

Step = str | PilothouseError | Callable[[], Any]
"""A word to say, an error to raise, or something to wait for."""


class FakeModel:
    """Answers each call with the next of its scripts."""

    def __init__(self, *scripts: list[Step], provider: str = "one", retries: int = 2) -> None:
        self.provider = provider
        self.retries = retries
        self.scripts = list(scripts)
        self.requests: list[ModelRequest] = []
        self.closed = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[dict[str, Any], None]:
        self.requests.append(request)
        try:
            yield chunk({"role": "assistant", "content": ""})
            for step in self.scripts.pop(0):
                if isinstance(step, PilothouseError):
                    raise step
                if isinstance(step, str):
                    yield chunk({"content": step})
                else:
                    await step()
            yield chunk({}, "stop")
            yield {"choices": [], "usage": {"total_tokens": 3}}
        finally:
            self.closed += 1

    async def models(self) -> tuple[ModelInfo, ...]:
        return ()

    async def aclose(self) -> None:
        """Nothing is held."""


class FakeTurns:
    """Keeps outcomes; ``claims`` are the answers to ``claim``, ``failures`` what ``finish`` raises first."""

    def __init__(self) -> None:
        self.kept: list[Outcome] = []
        self.claims: list[list[dict[str, Any]] | None] = []
        self.failures: list[Exception] = []

    async def finish(self, turn_id: str, owner: str, position: int, outcome: Outcome) -> bool:
        if self.failures:
            raise self.failures.pop(0)
        self.kept.append(outcome)
        return True

    async def claim(self, turn_id: str) -> list[dict[str, Any]] | None:
        return self.claims.pop(0)


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


class Bench:
    """One running turn and what surrounds it."""

    def __init__(self, *models: FakeModel, notice: str | None = None, waits: bool = False) -> None:
        self.turns = FakeTurns()
        self.streams = MemoryStreams()
        self.streams.open("turn")
        candidates: list[Candidate] = [(model, ModelInfo(f"m-{model.provider}", model.provider, 4096, False)) for model in models]
        question = NewTurn("turn", "session", "owner", [{"role": "user", "content": "hello"}], {"temperature": 0.5, "model": "m"})
        self.turn = RunningTurn(
            question,
            candidates=candidates,
            streams=self.streams,
            turns=cast(Turns, self.turns),
            system="Be brief.",
            notice=notice,
        )
        if not waits:
            self.turn.prepare([])

    async def events(self) -> list[StreamEvent]:
        return [event async for batch in self.streams.follow("turn") for event in batch]

    async def said(self) -> str:
        chunks = [orjson.loads(event.data) for event in await self.events() if event.kind == "chunk"]
        return "".join(choice["delta"].get("content") or "" for one in chunks for choice in one["choices"])

    async def kinds(self) -> list[str]:
        return [event.kind for event in await self.events() if event.kind != "chunk"]


BUSY = ProviderUnavailable("overloaded")
WRONG = ProviderFailed("no such key")


async def test_an_answer_is_said_saved_and_closed() -> None:
    model = FakeModel(["one ", "two"])
    bench = Bench(model)
    outcome = await bench.turn.attempt()
    assert (outcome.status, outcome.answer, outcome.provider, outcome.finish_reason) == ("done", "one two", "one", "stop")
    assert bench.turns.kept == [outcome]
    assert await bench.said() == "one two"
    assert await bench.kinds() == ["turn", "usage", "turn", "done"]
    assert model.closed == 1
    (request,) = model.requests
    assert [message["role"] for message in request.messages] == ["system", "user"]
    assert (request.model, request.options) == ("m-one", {"temperature": 0.5})


async def test_what_may_help_is_raised_for_another_attempt() -> None:
    model = FakeModel([BUSY], ["yes"])
    bench = Bench(model)
    with pytest.raises(ProviderUnavailable):
        await bench.turn.attempt()
    assert bench.turns.kept == []
    assert (await bench.turn.attempt()).answer == "yes"
    assert await bench.said() == "yes", "the first try's role chunk was held back"


async def test_a_prompt_found_too_long_is_fitted_again_with_less_history() -> None:
    model = FakeModel([ContextExceeded("too long")], ["yes"])
    bench = Bench(model)
    bench.turn.prepare([{"role": role, "content": "x" * 2000} for role in ("user", "assistant") * 2])
    assert (await bench.turn.attempt()).answer == "yes"
    first, second = (len(request.messages) for request in model.requests)
    assert second < first


async def test_a_model_does_not_see_the_notice_before_its_own_words() -> None:
    model = FakeModel(["yes"])
    bench = Bench(model)
    bench.turn.prepare([{"role": "assistant", "content": demo_notice(ollama=True) + "I am small."}])
    await bench.turn.attempt()
    assert [message["content"] for message in model.requests[0].messages] == ["Be brief.", "I am small.", "hello"]


async def test_tries_are_counted_by_provider() -> None:
    one, two = FakeModel([BUSY], [BUSY], [BUSY]), FakeModel([BUSY], ["yes"], provider="two")
    bench = Bench(one, two)
    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            await bench.turn.attempt()
    assert (await bench.turn.attempt()).provider == "two"
    assert (len(one.requests), len(two.requests)) == (3, 2)


async def test_a_refusal_moves_on_at_once() -> None:
    one, two = FakeModel([WRONG]), FakeModel(["yes"], provider="two")
    assert (await Bench(one, two).turn.attempt()).provider == "two"
    assert len(one.requests) == 1


async def test_a_long_retry_after_moves_on_at_once() -> None:
    one, two = FakeModel([ProviderUnavailable("later", retry_after=3600)]), FakeModel(["yes"], provider="two")
    assert (await Bench(one, two).turn.attempt()).provider == "two"


async def test_the_last_providers_error_ends_the_turn() -> None:
    bench = Bench(FakeModel([BUSY], retries=0), FakeModel([WRONG], provider="two"))
    with pytest.raises(ProviderFailed, match="no such key"):
        await bench.turn.attempt()
    (kept,) = bench.turns.kept
    assert (kept.status, kept.message, kept.error) == ("failed", None, {"code": "provider_failed", "message": "no such key"})
    assert await bench.kinds() == ["turn", "error", "turn", "done"]


async def test_after_the_first_token_nobody_else_is_asked() -> None:
    one, two = FakeModel(["half ", BUSY]), FakeModel(["yes"], provider="two")
    bench = Bench(one, two)
    with pytest.raises(TurnInterrupted):
        await bench.turn.attempt()
    (kept,) = bench.turns.kept
    assert (kept.status, kept.answer, (kept.error or {})["code"]) == ("interrupted", "half ", "turn_interrupted")
    assert two.requests == []


async def test_a_notice_comes_first_and_once() -> None:
    model = FakeModel([BUSY], ["yes"])
    bench = Bench(model, notice="Only a demo. ")
    with pytest.raises(ProviderUnavailable):
        await bench.turn.attempt()
    outcome = await bench.turn.attempt()
    assert outcome.answer == await bench.said() == "Only a demo. yes"


async def test_a_turn_waits_until_it_is_the_sessions() -> None:
    bench = Bench(FakeModel(["yes"]), waits=True)
    bench.turns.claims = [None, None, [{"role": "user", "content": "before"}]]
    assert (await bench.turn.attempt()).status == "done"
    assert bench.turns.claims == []


async def test_cancel_stops_the_call_and_keeps_what_came() -> None:
    said = asyncio.Event()

    async def stay() -> None:
        said.set()
        await asyncio.Event().wait()

    model = FakeModel(["half ", stay])
    bench = Bench(model)
    bench.turn.start()
    await said.wait()
    await bench.turn.stop("cancelled")
    assert model.closed == 1
    assert (await bench.turn.attempt()).status == "cancelled"
    (kept,) = bench.turns.kept
    assert (kept.status, kept.answer) == ("cancelled", "half ")
    assert await bench.kinds() == ["turn", "error", "turn", "done"]
    await bench.turn.give_up()
    assert len(bench.turns.kept) == 1


async def test_cancel_while_waiting_and_between_two_tries() -> None:
    waiting = Bench(FakeModel(["yes"]), waits=True)
    waiting.turn.behind = asyncio.Event()
    waiting.turns.claims = [None] * 100
    waiting.turn.start()
    await asyncio.sleep(0)
    await waiting.turn.stop("cancelled")
    assert waiting.turns.kept[0].status == "cancelled"

    between = Bench(FakeModel([BUSY], ["yes"]))
    with pytest.raises(ProviderUnavailable):
        await between.turn.attempt()
    await between.turn.stop("cancelled")
    assert (await between.turn.attempt()).status == "cancelled"
    assert [event.kind for event in await between.events()][-1] == "done"


async def test_a_turn_cancelled_before_it_began_says_nothing() -> None:
    bench = Bench(FakeModel(["yes"]))
    bench.turn.start()
    await bench.turn.stop("cancelled")
    assert [outcome.status for outcome in bench.turns.kept] == ["cancelled"]
    assert await bench.said() == ""


async def test_a_turn_that_nobody_attempts_again_ends() -> None:
    bench = Bench(FakeModel([BUSY]))
    with pytest.raises(ProviderUnavailable):
        await bench.turn.attempt()
    await bench.turn.give_up()
    assert bench.turns.kept[0].status == "failed"
    assert (await bench.kinds())[-1] == "done"


async def test_an_interrupted_turn_says_that_the_server_stopped() -> None:
    bench = Bench(FakeModel(["half ", asyncio.Event().wait]))
    bench.turn.start()
    await bench.turn.spoke.wait()
    await bench.turn.stop("interrupted")
    assert [(kept.status, (kept.error or {})["code"]) for kept in bench.turns.kept] == [("interrupted", "turn_interrupted")]


async def test_an_answer_waits_for_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.saving.random.uniform", lambda *_: 0.001)
    bench = Bench(FakeModel(["yes"]))
    bench.turns.failures = [DatabaseUnavailable("gone")] * 3
    assert (await bench.turn.attempt()).status == "done"
    assert len(bench.turns.kept) == 1


async def test_an_answer_that_could_not_be_saved_is_kept_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.saving.random.uniform", lambda *_: 0.001)
    bench = Bench(FakeModel(["yes"]))
    bench.turns.failures = [DatabaseUnavailable("gone")] * saving.TRIES
    await bench.turn.attempt()
    assert bench.turn.unkept
    errors = [orjson.loads(event.data)["error"]["code"] for event in await bench.events() if event.kind == "error"]
    assert errors == ["database_unavailable"]
    await bench.turn.keep()
    assert [kept.answer for kept in bench.turns.kept] == ["yes"]
    assert not bench.turn.unkept


async def test_what_the_database_refuses_ends_the_stream_all_the_same() -> None:
    bench = Bench(FakeModel(["yes"]))
    bench.turns.failures = [ValueError("cannot be kept")]
    assert (await bench.turn.attempt()).status == "failed"
    assert (await bench.kinds())[-3:] == ["error", "turn", "done"]
    await bench.turn.keep()
    assert bench.turns.kept[0].status == "failed"


async def test_a_fault_of_ours_ends_the_turn_as_failed() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    bench = Bench(FakeModel([broken]))
    with pytest.raises(PilothouseError) as caught:
        await bench.turn.attempt()
    assert caught.value.permanent
    assert bench.turns.kept[0].status == "failed"
    assert "ZeroDivision" not in orjson.dumps(bench.turns.kept[0].error).decode()
