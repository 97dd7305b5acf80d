"""A thousand alerts to a Teams that has a bad day, told by processes that are killed: none is lost, and nothing is said twice."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.alerts.alert import Alert
from core.alerts.storms import MOST
from core.config import DatabaseSettings
from core.store.alerts import Alerts
from core.store.base import Store
from tests.flows.alert_desk import desks
from tests.teams_rules import texts_of
from tests.teams_service import CONNECTOR, FAILED, WORKFLOW, Teams, teams_service
from tests.waiting import eventually

STORM, WAVE = 1_000, 60
FEW = 3
"""So many at once are told one by one."""
KILLS = 5
REFUSALS = ("400 No such card.", f"text {FAILED.format(413)}")
BAD_DAY = ("ok", "503", "ok", "cut", "ok", "429", "ok", "ok", "slow", "ok", REFUSALS[0], "ok", "502", "ok", "500", "429")
BAD_DAY_OF_CONNECTOR = (
    *("ok", "cut", "ok", f"text {FAILED.format(429)}", "ok", "ok", "503", "ok", REFUSALS[1], "ok", "slow"),
    *(f"text {FAILED.format(504)}", "429"),
)

Outbox = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
async def alerts(database_url: str) -> AsyncIterator[Alerts]:
    store = Store.from_settings(DatabaseSettings.model_validate({"url": database_url}))
    yield Alerts(store)
    await store.aclose()


async def raised(alerts: Alerts, first: int, last: int) -> None:
    numbers = range(first, min(last, STORM))
    names = [f"service_{number:04}" for number in numbers]
    assert await alerts.raise_all(Alert(f"service:{name}", f"{name} 不可用 <down>", service=name) for name in names) == len(names)


def named(card: dict[str, Any]) -> list[int]:
    """The alerts that a card names, in its order. The title of one about many names its worst, which is among them again."""
    numbers = [int(word[8:]) for text in texts_of(card) for word in text.split() if word.startswith("service_")]
    return numbers[1:] if len(numbers) > 1 else numbers


async def busy(teams: Teams, *, mute: bool) -> None:
    """Until something is sent; or until a card has arrived whose sender waits for an answer."""
    seen = len(teams.bodies)
    await eventually(lambda: len(teams.bodies) > seen, 20, "a card is sent")
    if mute:
        muted = teams.muted
        teams.script.appendleft("mute")
        await eventually(lambda: teams.muted > muted, 20, "a card has arrived, unanswered")


async def test_none_is_lost_over_five_kills_and_nothing_is_told_twice_but_what_a_kill_cut(
    alerts: Alerts, database_url: str, tmp_path: Path
) -> None:
    bad = {"per_second": 20, "retry_after": 0.1}
    with (
        teams_service(BAD_DAY, **bad) as workflow,
        teams_service(BAD_DAY_OF_CONNECTOR, **bad) as connector,
        desks(tmp_path) as desk,
    ):
        services = {"operators": workflow, "legacy": connector}
        channel = {"per_second": 100, "timeout": 2}
        settings = {
            "data_dir": str(tmp_path),
            "database": {"url": database_url},
            "alerts": {"wait": 0, "interval": 0},
            "channels": {
                "operators": channel | {"kind": "teams", "url": workflow.url(WORKFLOW)},
                "legacy": channel | {"kind": "teams_connector", "url": connector.url(CONNECTOR)},
            },
        }
        cut: dict[str, set[int]] = {name: set() for name in services}
        unheard: dict[str, set[int]] = {name: set() for name in services}
        await raised(alerts, 0, FEW)
        desk.begin(settings)
        await eventually(lambda: len(workflow.delivered) == len(connector.delivered) == FEW, 30, "the first few are told")
        raising = asyncio.create_task(_storm(alerts))
        for kill in range(KILLS):
            await busy([workflow, connector][kill % 2], mute=kill > 1)
            await desk.kill()
            for name, teams in services.items():
                cut[name] |= {len(teams.delivered) - 1, len(teams.delivered)}  # it may still be on its way in
                unheard[name] |= {len(teams.bodies) - 1, len(teams.bodies)}
            desk.begin(settings)
        await raising
        with psycopg.connect(database_url, autocommit=True) as connection:
            await eventually(lambda: _drained(connection, len(services)), 40, "the outbox is empty")
            for name, teams in services.items():
                given_up = _given_up(connection, name)
                check(teams, cut[name], given_up)
                refused = next(at for at, step in enumerate(teams.steps) if step in REFUSALS)
                assert given_up or refused in unheard[name], "given up, unless its sender was killed before it heard of that"
        assert workflow.failed_runs == []
        assert workflow.muted + connector.muted == KILLS - 2


async def _storm(alerts: Alerts) -> None:
    for start in range(FEW, STORM, WAVE):
        await raised(alerts, start, start + WAVE)


def check(teams: Teams, cut: set[int], given_up: set[int]) -> None:
    assert not teams.script, "the whole bad day has happened"
    told = [named(card) for card in teams.delivered]
    again = [at for at, numbers in enumerate(told) if numbers in told[:at]]
    assert {told.index(told[at]) for at in again} <= cut, "only what was on its way when its sender was killed"
    once = [number for at, numbers in enumerate(told) if at not in again for number in numbers]
    assert once == sorted(set(once)), "in order, and each on one card"
    assert {*once, *given_up} == set(range(STORM)), "none is lost"
    assert len(given_up) <= MOST, "what was refused, and nothing else"
    assert told[:FEW] == [[number] for number in range(FEW)]


def _drained(connection: Outbox, channels: int) -> bool:
    found = connection.execute("SELECT count(*) FROM pilothouse.notices WHERE status <> 'waiting'").fetchone()
    return found == (STORM * channels,)


def _given_up(connection: Outbox, channel: str) -> set[int]:
    """What was refused for good, which is kept with the reason."""
    question = b"SELECT body ->> 'title', error FROM pilothouse.notices WHERE status = 'given_up' AND channel = %s"
    found = connection.execute(question, [channel]).fetchall()
    assert {error["code"] for _, error in found} <= {"channel_refused"}
    assert "http" not in json.dumps([error for _, error in found]).replace("HTTP", "")
    return {int(title[8:12]) for title, _ in found}
