"""Models as services: judged by their turns, explained by their provider, and told of by one alert for one cause."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from core.settings import Settings
from core.store.base import Store
from core.store.model_figures import Figures
from core.sweeps.model_facts import together
from core.topology import ours
from core.topology.topology import Topology
from flows.sweeping import Watched
from tests.flows.test_sweeping import FAST, Stage, configured_from
from tests.upstream import KEY, FakeUpstream

PROVIDERS = """
[providers.box]
base_url = "{url}"
api_key = "{key}"
models = [{{ name = "plain" }}, {{ name = "echo" }}, {{ name = "embedder", type = "embedding" }}]

[model_watch]
fewest = 4
"""


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as running:
        yield running


@pytest.fixture
async def stage(tmp_path: Path, database_url: str, upstream: FakeUpstream) -> AsyncIterator[Stage]:
    (tmp_path / "pilothouse.toml").write_text(FAST + PROVIDERS.format(url=upstream.base_url, key=KEY))
    stage = Stage(configured_from(tmp_path, database_url))
    yield stage
    await stage.store.aclose()


async def sweep(stage: Stage) -> None:
    """Of our providers and their models alone."""
    own = ours.ours(stage.settings)
    services = {name: each for name, each in own.services.items() if name.startswith("model-")}
    await stage.sweep(Watched([Topology(ours.NAME, services)]))


async def turns(store: Store, model: str, good: int, bad: int = 0, first: int = 200) -> None:
    """Turns that ended just now, of which so many failed."""
    failed = '[{"provider": "box", "model": "' + model + '", "retries": 1, "code": "provider_failed"}]'
    statement = text("""
        INSERT INTO pilothouse.turns (id, workspace, status, options, owner, provider, model, finished_at, model_first_ms,
            attempts)
        SELECT gen_random_uuid(), 'default', CASE WHEN n > :good THEN 'failed' ELSE 'done' END, '{}', 'boot', 'box', :model,
            clock_timestamp(), CAST(:first AS int), CASE WHEN n > :good THEN CAST(:failed AS jsonb) END
        FROM generate_series(1, :all) n
    """)
    async with store.single() as connection:
        values = {"model": model, "good": good, "all": good + bad, "first": first, "failed": failed}
        await connection.execute(statement, values)


async def test_chat_models_of_the_configuration_and_those_that_were_asked_are_services(stage: Stage) -> None:
    await turns(stage.store, "asked", 1)
    await sweep(stage)
    states = await stage.states()
    assert set(states) == {"model-box", "model-box/plain", "model-box/echo", "model-box/asked"}
    assert {each.state for each in states.values()} == {"up"}
    assert states["model-box/plain"].message == "0 turns in the last 15 minutes: too few to judge it by."
    assert await stage.titles() == []


async def test_a_model_that_fails_is_told_of_and_so_is_its_recovery(stage: Stage) -> None:
    await turns(stage.store, "plain", good=9)
    await turns(stage.store, "echo", good=1, bad=5)
    await sweep(stage)
    assert await stage.titles() == ["echo of box is down"]
    (alert,) = await stage.alerts.open_()
    assert (alert.severity, alert.service) == ("warning", "model-box/echo")
    assert alert.text.startswith("5 of 6 turns in the last 15 minutes failed")
    await turns(stage.store, "echo", good=10)
    await sweep(stage)
    assert await stage.titles() == ["echo of box is degraded"]
    await turns(stage.store, "echo", good=20)
    await sweep(stage)
    assert await stage.titles() == []


async def test_a_slow_first_token_is_degraded(stage: Stage) -> None:
    await turns(stage.store, "plain", good=5, first=45_000)
    await sweep(stage)
    state = (await stage.states())["model-box/plain"]
    assert (state.state, state.code, state.facts["first_token_p95"]) == ("degraded", "slow", 45.0)
    assert "(45.0 s)" in state.message


async def test_a_provider_that_is_away_is_one_alert_and_its_outage_is_forgotten_when_it_is_back(
    stage: Stage, upstream: FakeUpstream
) -> None:
    await sweep(stage)
    await upstream.go_away()
    for model in ("plain", "echo"):
        await turns(stage.store, model, good=0, bad=6)
    await sweep(stage)
    assert await stage.titles() == ["Models of box is down"]
    (alert,) = await stage.alerts.open_()
    assert "2 services fail with it" in alert.text
    await sweep(stage)
    assert {name: each.code for name, each in (await stage.states()).items()} == {
        "model-box": "refused",
        "model-box/plain": "provider",
        "model-box/echo": "provider",
    }
    await upstream.come_back()
    await sweep(stage)
    assert await stage.titles() == []
    assert {each.state for each in (await stage.states()).values()} == {"up"}
    assert len(await stage.alerts.page(10)) == 1


async def test_a_provider_that_lists_but_does_not_answer_is_one_alert(stage: Stage) -> None:
    for model in ("plain", "echo"):
        await turns(stage.store, model, good=0, bad=6)
    await sweep(stage)
    assert await stage.titles() == ["Models of box is down"]
    (alert,) = await stage.alerts.open_()
    assert "all 2 that were asked fail: 12 of 12 turns" in alert.text


def test_one_failing_model_of_several_is_not_its_provider() -> None:
    settings = Settings(data_dir=Path("/nowhere"))
    bad, good = Figures("box", "a", turns=10, errors=10), Figures("box", "b", turns=10)
    assert together([bad, good], settings) is None
    assert together([bad, Figures("box", "b", turns=1, errors=1)], settings) is None, "too few turns to say so of the other"
    half = together([bad, Figures("box", "b", turns=10, errors=5)], settings)
    assert half is not None
    assert (half.state, half.facts) == ("down", {"turns": 20, "errors": 15})
