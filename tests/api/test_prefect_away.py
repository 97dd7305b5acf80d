"""Chat while Prefect's server is stopped, hangs or was never there; and once it is back."""

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import psycopg
import pytest

from deployments.postgres import EmbeddedPostgres
from tests.api.conftest import Serve
from tests.api.serving import Chat, Served, launched, provider
from tests.prefect_server import RunningServer
from tests.upstream import FakeUpstream
from tests.waiting import eventually

TURNS = 8


@pytest.fixture
def prefect(prefect_server: RunningServer) -> Iterator[RunningServer]:
    """The session's server, running again after the test whatever was done to it."""
    yield prefect_server
    if prefect_server.process is None:
        prefect_server.start()
    else:
        prefect_server.thaw()


@pytest.fixture
def providers(standing_upstream: FakeUpstream) -> dict[str, Any]:
    return {"fake": provider(standing_upstream.base_url, "plain", "fail-500-1")}


async def seen(api: Served, up: bool) -> None:
    async def noticed() -> bool:
        async with api.client() as client:
            return bool((await client.get("/ready")).json()["parts"]["prefect"]) is up

    await eventually(noticed, 30, f"the API sees that Prefect is {'there' if up else 'away'}")


async def timed(chat: Chat, turns: int = TURNS) -> tuple[float, list[str]]:
    """The median seconds of some turns, and their ids."""
    times, ids = [], []
    for _ in range(turns):
        began = time.monotonic()
        answer = await chat.ask()
        times.append(time.monotonic() - began)
        assert answer.status_code == 200, answer.text
        ids.append(answer.json()["turnId"])
    return statistics.median(times), ids


async def all_tracked(chat: Chat, turns: list[str], within: float = 60) -> None:
    async def tracked() -> bool:
        found = [(await chat.turn(turn_id))["tracked"] for turn_id in turns]
        assert False not in found, "nothing was dropped"
        return all(found)

    await eventually(tracked, within, "every turn's run is seen in Prefect")


async def tracked_in_a_conversation(chat: Chat) -> None:
    """A new turn becomes a task run inside a flow run."""

    async def in_a_flow_run() -> str | None:
        _, (turn_id,) = await timed(chat, 1)

        async def noted() -> bool:
            return (await chat.turn(turn_id))["taskRunId"] is not None

        await eventually(noted, what="the turn's task run is known")
        found: str | None = (await chat.turn(turn_id))["flowRunId"] and turn_id
        return found

    turn_id = await eventually(in_a_flow_run, 30, "turns are held in a conversation's flow run")
    assert turn_id is not None
    await all_tracked(chat, [turn_id])


@pytest.fixture(scope="module")
def api(
    postgres: EmbeddedPostgres,
    template_database: str,
    prefect_server: RunningServer,
    standing_upstream: FakeUpstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    """One process that sees the server go and come in every test."""
    providers, folder = {"fake": provider(standing_upstream.base_url, "plain")}, tmp_path_factory.mktemp("away")
    more = {"prefect_url": prefect_server.api_url, "settings": "[sweeps]\ninterval = 10\nrecheck = 0.1"}
    with launched(postgres, template_database, folder, providers, **more) as api:
        yield api


@pytest.fixture
async def chat(api: Served, prefect: RunningServer) -> AsyncGenerator[Chat, None]:
    """A session whose turns are tracked."""
    await seen(api, up=True)
    async with api.client() as client:
        chat = await Chat(client).open()
        await tracked_in_a_conversation(chat)
        yield chat


@pytest.mark.parametrize("away", ["stop", "freeze"])
async def test_an_open_conversation_goes_on_without_the_server(
    api: Served, chat: Chat, prefect: RunningServer, away: str
) -> None:
    with_it, _ = await timed(chat)
    await asyncio.to_thread(getattr(prefect, away))
    at_once, early = await timed(chat)
    await seen(api, up=False)
    without, late = await timed(chat)
    fresh = await Chat(chat.client).open()
    first, others = await timed(fresh)
    assert max(at_once, without, first) < 5 * with_it + 0.3, "no turn waits for Prefect"
    assert [message["status"] for message in await chat.history(limit=4)] == ["done"] * 4
    assert {(await chat.turn(turn_id))["tracked"] for turn_id in late} == {None}

    back: dict[str, Callable[[], None]] = {"stop": prefect.start, "freeze": prefect.thaw}
    await asyncio.to_thread(back[away])
    await seen(api, up=True)
    await all_tracked(chat, early + late)
    await all_tracked(fresh, others)
    await tracked_in_a_conversation(chat)
    await tracked_in_a_conversation(fresh)


async def test_a_server_that_comes_later_tracks_what_was_kept_and_never_what_was_dropped(
    serve: Serve, providers: dict[str, Any], prefect: RunningServer, standing_upstream: FakeUpstream
) -> None:
    await asyncio.to_thread(prefect.stop)
    api = serve(providers=providers, prefect_url=prefect.api_url, settings="[prefect]\nevent_backlog = 100")
    async with api.client() as client:
        chat = await Chat(client).open()
        median, turns = await timed(chat, 45)  # three events each
        assert median < 1

        async def last_dropped() -> bool:
            return (await chat.turn(turns[-1]))["tracked"] is False

        await eventually(last_dropped, what="a turn whose events were dropped is told as not tracked")
        assert {(await chat.turn(turn_id))["tracked"] for turn_id in turns[:TURNS]} == {None}
        await retried(chat, standing_upstream)
        await asyncio.to_thread(prefect.start)
        await seen(api, up=True)
        await all_tracked(chat, turns[:TURNS])
        await tracked_in_a_conversation(chat)
        assert (await chat.turn(turns[-1]))["tracked"] is False


async def retried(chat: Chat, upstream: FakeUpstream) -> None:
    """A turn is tried again without the server."""
    upstream.counts["fail-500-1"] = 0
    answer = await chat.ask("hello", "fail-500-1")
    assert answer.status_code == 200
    assert (await chat.turn(answer.json()["turnId"]))["durationMs"] < 5000
    assert upstream.counts["fail-500-1"] == 2


async def test_its_outage_is_one_alert_of_a_sweep_by_the_api_process(api: Served, prefect: RunningServer) -> None:
    await seen(api, up=True)
    await asyncio.to_thread(prefect.stop)
    database = psycopg.connect(api.database_url, autocommit=True)

    def alerts() -> list[tuple[str, str, str]]:
        # Of runs that other tests left on the same server there may be alerts too.
        asked = "SELECT title, severity, origin FROM pilothouse.alerts WHERE status = 'open' AND origin <> 'flow'"
        return database.execute(asked.encode()).fetchall()

    def down() -> bool:
        # Before, it may have been degraded: nobody asks it for the work of deployments that other tests left there.
        return "Prefect is down" in {title for title, *_ in alerts()}

    def origins() -> set[str]:
        return {row[0] for row in database.execute("SELECT origin FROM pilothouse.sweeps")}

    with database:
        await eventually(down, 40, "the outage of Prefect is an alert")
        await eventually(origins, what="the sweep that found it is over")
        assert alerts() == [("Prefect is down", "critical", "sweep")]
        assert origins() == {"standby"}
