"""What is noted of the model calls of a turn: how fast the one was that answered, and with which ones something went wrong."""

import asyncio

import pytest

from core.errors import PilothouseError
from core.model_calls import answer_tokens
from core.store.turns import Outcome
from tests.core.test_turns import BUSY, WRONG, Bench, FakeModel


async def ended(bench: Bench, attempts: int = 8) -> Outcome:
    """How it ends, as whoever runs the attempts finds out."""
    for _ in range(attempts):
        try:
            return await bench.turn.attempt()
        except PilothouseError:
            if bench.turn.outcome is not None:
                break
    assert bench.turn.outcome is not None
    return bench.turn.outcome


async def test_of_a_turn_that_went_well_there_is_nothing_to_say() -> None:
    outcome = await ended(Bench(FakeModel(["yes"])))
    assert outcome.attempts is None
    assert outcome.model_first_ms is not None
    assert 0 <= outcome.model_first_ms < 5000


async def test_retries_are_noted_for_the_model_that_answered_in_the_end() -> None:
    outcome = await ended(Bench(FakeModel([BUSY], [BUSY], ["yes"])))
    assert outcome.status == "done"
    assert outcome.attempts == [{"provider": "one", "model": "m-one", "retries": 2}]


async def test_each_model_that_was_left_is_noted_with_its_error() -> None:
    models = FakeModel([BUSY], [BUSY], retries=1), FakeModel([WRONG], provider="two"), FakeModel(["yes"], provider="three")
    outcome = await ended(Bench(*models))
    assert outcome.provider == "three"
    assert outcome.attempts == [
        {"provider": "one", "model": "m-one", "retries": 1, "code": "provider_unavailable", "left": True},
        {"provider": "two", "model": "m-two", "retries": 0, "code": "provider_failed", "left": True},
    ]


async def test_the_last_model_is_not_left_for_another() -> None:
    outcome = await ended(Bench(FakeModel([WRONG])))
    assert (outcome.status, outcome.model_first_ms) == ("failed", None)
    assert outcome.attempts == [{"provider": "one", "model": "m-one", "retries": 0, "code": "provider_failed"}]


async def test_a_model_that_nobody_asks_again_failed_as_well() -> None:
    bench = Bench(FakeModel([BUSY], [BUSY]))
    with pytest.raises(PilothouseError):
        await bench.turn.attempt()
    await bench.turn.give_up()
    (kept,) = bench.turns.kept
    assert kept.attempts == [{"provider": "one", "model": "m-one", "retries": 1, "code": "provider_unavailable"}]


async def test_a_model_that_breaks_off_failed_though_it_spoke() -> None:
    outcome = await ended(Bench(FakeModel(["half ", BUSY]), FakeModel(["yes"], provider="two")))
    assert outcome.status == "interrupted"
    assert outcome.attempts == [{"provider": "one", "model": "m-one", "retries": 0, "code": "provider_unavailable"}]


async def test_time_before_the_question_and_the_time_of_others_is_not_the_models() -> None:
    async def slow() -> None:
        done = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, done.set)
        await done.wait()

    outcome = await ended(Bench(FakeModel([slow, WRONG]), FakeModel(["yes ", slow, "no"], provider="two")))
    assert outcome.first_token_ms is not None
    assert outcome.model_first_ms is not None
    assert outcome.model_ms is not None
    assert outcome.first_token_ms >= 200 > outcome.model_first_ms
    assert 200 <= outcome.model_ms < 5000


@pytest.mark.parametrize(
    ("usage", "tokens"), [(None, None), ({}, None), ({"completion_tokens": 7}, 7), ({"completion_tokens": "many"}, None)]
)
def test_tokens_are_those_that_the_server_counts(usage: dict[str, object] | None, tokens: int | None) -> None:
    assert answer_tokens(usage) == tokens
