"""Figures of models: counted from turns, the same for every process, and read from an index however many turns there are."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from core.ids import new_id
from core.model_calls import Attempt, told
from core.store.base import Store
from core.store.model_figures import Figures, ModelFigures
from core.store.turns import NewTurn, Outcome, Status, Turns
from core.workspaces import DEFAULT, within

HOUR = timedelta(hours=1)


async def turn(store: Store, status: Status = "done", attempts: Sequence[Attempt] = (), **more: Any) -> None:
    turns, asked = Turns(store), NewTurn(new_id(), None, "boot", [{"role": "user", "content": "hello"}], {})
    given = {"provider": "one", "model": "m", "attempts": told(attempts)} | more
    with within(DEFAULT):
        await turns.begin(asked)
        assert await turns.finish(asked.id, "boot", 1, Outcome(status, **given))


def hour_ago() -> datetime:
    return datetime.now(UTC) - HOUR


async def test_a_model_without_turns_has_no_figures(store: Store) -> None:
    figures = ModelFigures(store)
    assert await figures.since(hour_ago()) == []
    assert await figures.of("one", "m", hour_ago()) == Figures("one", "m")
    assert Figures("one", "m").error_share is None
    assert await figures.used(hour_ago()) == []


async def test_speed_is_that_of_the_model_alone(store: Store) -> None:
    for first in range(100, 2100, 100):
        await turn(store, model_first_ms=first, model_ms=500, model_tokens=50, first_token_ms=9000, duration_ms=60_000)
    await turn(store, model_first_ms=1000, model_ms=1000)  # its server does not count tokens
    found = await ModelFigures(store).of("one", "m", hour_ago())
    assert (found.turns, found.errors, found.retries, found.fallbacks) == (21, 0, 0, 0)
    assert found.first_token == 1.0
    assert found.first_token_p95 == pytest.approx(1.9, abs=0.01)
    assert found.tokens_per_second == 100


async def test_what_went_wrong_is_counted_for_the_model_that_it_went_wrong_with(store: Store) -> None:
    gone = Attempt("one", "m", 2, "provider_unavailable", left=True)
    await turn(store, provider="two", attempts=[gone])
    await turn(store, attempts=[Attempt("one", "m", 1)])
    await turn(store, status="failed", attempts=[Attempt("one", "m", 0, "context_exceeded")])
    await turn(store, status="interrupted", attempts=[Attempt("one", "m", 0, "provider_failed")])
    figures = ModelFigures(store)
    one, two = await figures.since(hour_ago())
    assert one == Figures("one", "m", turns=4, errors=2, retries=3, fallbacks=1)
    assert one == await figures.of("one", "m", hour_ago())
    assert one.error_share == 0.5
    assert two == Figures("two", "m", turns=1)


async def test_a_model_that_never_answers_is_counted_as_well(store: Store) -> None:
    await turn(store, provider="two", attempts=[Attempt("one", "dead", 0, "provider_failed", left=True)])
    found = await ModelFigures(store).since(hour_ago())
    assert [(each.provider, each.model, each.turns, each.errors) for each in found] == [("one", "dead", 1, 1), ("two", "m", 1, 0)]


async def test_only_turns_of_the_window_count(store: Store) -> None:
    await turn(store, model="old", attempts=[Attempt("one", "old", 0, "provider_failed")])
    async with store.single() as connection:
        await connection.execute(text("UPDATE pilothouse.turns SET finished_at = now() - interval '2 hours'"))
    await turn(store)
    figures = ModelFigures(store)
    assert [each.model for each in await figures.since(hour_ago())] == ["m"]
    assert [each.model for each in await figures.used(hour_ago())] == ["m"]
    assert [each.model for each in await figures.used(datetime.now(UTC) - 3 * HOUR)] == ["m", "old"]


async def test_figures_of_many_turns_come_from_the_index(store: Store) -> None:
    many = """
        INSERT INTO pilothouse.turns (id, workspace, status, options, owner, provider, model, answer, finished_at, model_first_ms,
            model_ms, model_tokens)
        SELECT 'many-' || n, 'default', 'done', '{}', 'boot', 'one', 'm-' || n % 4, repeat('said ', 100),
            now() - n * interval '10 s', 300, 1000, 40
        FROM generate_series(1, 20000) n
    """
    async with store.single() as connection:
        await connection.execute(text(many))
        await connection.execute(text("VACUUM ANALYZE pilothouse.turns"))
        plan = "\n".join(
            (
                await connection.execute(
                    text(
                        "EXPLAIN SELECT count(*), sum(model_ms) FROM pilothouse.turns"
                        " WHERE provider = 'one' AND model = 'm-1' AND finished_at > now() - interval '1 hour'"
                    )
                )
            ).scalars()
        )
    assert "Index Only Scan using turns_of_model" in plan, plan
    found = await ModelFigures(store).since(hour_ago())
    assert {each.model: each.turns for each in found} == dict.fromkeys(("m-0", "m-1", "m-2", "m-3"), 90) | {"m-0": 89}
