"""Calls of tools in the API's own process, as FastGPT makes them: tracked, joined, and kept whatever becomes of the process."""

import asyncio
import json
import secrets
import signal
import statistics
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy.engine import make_url

from deployments.postgres import EmbeddedPostgres
from tests.api.conftest import Serve
from tests.api.serving import Served
from tests.databases import statement
from tests.prefect_server import RunningServer
from tests.waiting import eventually

CHART = {"title": "Sales", "xAxis": ["one", "two"], "yAxis": ["1", "2"], "chartType": "柱状图"}


ROLE = f"caller_{secrets.token_hex(4)}"


@pytest.fixture
def readable(postgres: EmbeddedPostgres, database_url: str) -> Iterator[str]:
    """Settings by which the tool for databases may ask a database: the tests' slow tool."""
    password = secrets.token_hex(16)
    statement(postgres, f"CREATE ROLE {ROLE} LOGIN PASSWORD '{password}'")
    url = make_url(database_url).set(username=ROLE, password=password).render_as_string(hide_password=False)
    yield f"[databases.own]\nurl = {json.dumps(url)}\nseconds = 60\n"
    statement(postgres, f"DROP ROLE {ROLE}")


async def run(client: httpx.AsyncClient, tool: str, inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What the last frame of FastGPT's stream says."""
    body = {"toolId": tool, "inputs": inputs, "systemVar": more}
    answer = await client.post("/tool/runstream", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    frame: dict[str, Any] = json.loads(answer.text.strip().rpartition("\n\n")[2].removeprefix("data: "))
    return frame


def rows(api: Served, columns: str = "id, status") -> list[tuple[Any, ...]]:
    with psycopg.connect(api.database_url) as connection:
        return connection.execute(f"SELECT {columns} FROM pilothouse.tool_runs ORDER BY seq".encode()).fetchall()


async def runs_of(server: RunningServer, kind: str, **where: Any) -> list[dict[str, Any]]:
    """Prefect's flow runs or task runs."""
    body: dict[str, Any] = {kind: where, "sort": "EXPECTED_START_TIME_ASC", "limit": 200}
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        found: list[dict[str, Any]] = (await client.post(f"{server.api_url}/{kind}/filter", json=body)).json()
    return found


async def prefect_seen(api: Served, up: bool = True) -> None:
    async def noticed() -> bool:
        async with api.client() as client:
            return bool((await client.get("/ready")).json()["parts"]["prefect"]) is up

    await eventually(noticed, 30, f"the API sees that Prefect is {'there' if up else 'away'}")


@pytest.fixture
def prefect(prefect_server: RunningServer) -> Iterator[RunningServer]:
    """The session's server, running again after the test whatever was done to it."""
    yield prefect_server
    prefect_server.thaw()
    if prefect_server.process is None:
        prefect_server.start()


async def tracked(server: RunningServer, ids: list[str], within: float = 60) -> list[dict[str, Any]]:
    """The task runs of these calls, once Prefect has recorded that all have completed."""

    async def recorded() -> list[dict[str, Any]]:
        found = await runs_of(server, "task_runs", name={"any_": ids}, state={"type": {"any_": ["COMPLETED"]}})
        return found if len(found) == len(ids) else []

    return await eventually(recorded, within, f"{len(ids)} calls recorded by Prefect")


async def test_a_hundred_calls_at_once_are_all_answered_and_tracked_in_the_process_run(
    serve: Serve, prefect: RunningServer
) -> None:
    api = serve(providers={}, prefect_url=prefect.api_url)
    await prefect_seen(api)
    async with api.client() as client:
        await run(client, "drawing/baseChart", CHART | {"title": "first"})
        asked = (run(client, "drawing/baseChart", CHART | {"title": f"Sales {n}"}) for n in range(100))
        frames = await asyncio.gather(*asked)
    urls = {frame["data"]["output"]["chartUrl"] for frame in frames}
    assert len(urls) == 100
    assert {status for _, status in rows(api)} == {"done"}
    found = await tracked(prefect, [run_id for run_id, _ in rows(api)])
    flow_runs = await runs_of(prefect, "flow_runs", id={"any_": [one["flow_run_id"] for one in found if one["flow_run_id"]]})
    (owner,) = {owner for (owner,) in rows(api, "owner")}
    assert {one["name"] for one in flow_runs} == {owner}
    assert sum(one["flow_run_id"] is not None for one in found) >= 90, (
        "none but those runs on its own that came before the run was open"
    )
    assert {one["flow_run_id"] for one in found if one["flow_run_id"]} <= {flow for (flow,) in rows(api, "flow_run_id")}
    assert "Sales" not in json.dumps([found, flow_runs])


async def test_the_same_call_at_two_processes_is_one_run(serve: Serve) -> None:
    one = serve(providers={})
    two = serve(providers={}, token=one.token)
    async with one.client() as first, two.client() as second:
        frames = await asyncio.gather(*(run(client, "drawing/baseChart", CHART) for client in (first, second) for _ in range(5)))
    assert frames == [frames[0]] * 10
    assert [status for _, status in rows(one)] == ["done"]


async def test_calls_go_on_while_prefect_is_stopped_and_are_recorded_afterwards(serve: Serve, prefect: RunningServer) -> None:
    api = serve(providers={}, prefect_url=prefect.api_url)
    await prefect_seen(api)
    async with api.client() as client:

        async def timed(name: str, count: int) -> float:
            took = []
            for n in range(count):
                began = time.monotonic()
                frame = await run(client, "drawing/baseChart", CHART | {"title": f"{name} {n}"})
                assert frame["data"]["output"]["chartUrl"]
                took.append(time.monotonic() - began)
            return statistics.median(took)

        await timed("up", 10)
        await asyncio.to_thread(prefect.stop)
        assert await timed("away", 10) < 1
        await prefect_seen(api, up=False)
        assert await timed("known to be away", 10) < 1
    assert [status for _, status in rows(api)] == ["done"] * 30
    await asyncio.to_thread(prefect.start)
    await prefect_seen(api)
    await tracked(prefect, [run_id for run_id, _ in rows(api)])


async def test_what_a_killed_process_left_is_ended(serve: Serve, prefect: RunningServer, readable: str) -> None:
    api = serve(providers={}, prefect_url=prefect.api_url, settings=readable)
    await prefect_seen(api)
    async with api.client() as client:
        await run(client, "drawing/baseChart", CHART)
        asked = asyncio.create_task(run(client, "database/query", {"database": "own", "sql": "SELECT 'first', pg_sleep(50)"}))

        seen: list[Any] = []

        async def running() -> bool:
            known = rows(api, "id, owner, status")
            seen[:] = [known, asked]
            if len(known) < 2:
                return False
            for kind, name in zip(("task_runs", "flow_runs"), known[1], strict=False):
                seen.append([one["state_type"] for one in await runs_of(prefect, kind, name={"any_": [name]})])
            return seen[2:] == [["RUNNING"], ["RUNNING"]]

        await eventually(running, 45, lambda: f"the call runs, and Prefect knows: {seen}")
        await asyncio.to_thread(api.stop, signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            await asked
    _, (lost, owner) = rows(api, "id, owner")
    await asyncio.to_thread(api.start)

    async def ended() -> bool:
        return rows(api, "status, error->>'code'")[1] == ("interrupted", "tool_interrupted")

    await eventually(ended, 15, "the row of the lost call is ended")

    async def crashed(kind: str, **where: Any) -> bool:
        return {one["state_type"] for one in await runs_of(prefect, kind, **where)} == {"CRASHED"}

    await eventually(lambda: crashed("task_runs", name={"any_": [lost]}), 45, "its task run is CRASHED")
    await eventually(lambda: crashed("flow_runs", name={"any_": [owner]}), 45, "and the dead process's flow run")


async def test_told_to_stop_short_calls_end_and_long_ones_are_told(serve: Serve, readable: str) -> None:
    api = serve(providers={}, settings=readable)
    async with api.client() as client:
        queries = [f"SELECT '{name}', pg_sleep({seconds})" for name, seconds in (("short", 2), ("long", 50))]
        asked = [asyncio.create_task(run(client, "database/query", {"database": "own", "sql": sql})) for sql in queries]

        async def running() -> bool:
            return [status for _, status in rows(api)] == ["running"] * 2

        await eventually(running, what="both calls run")
        began = time.monotonic()
        assert await asyncio.to_thread(api.stop) == 0
        assert time.monotonic() - began < 15
        short, long = await asyncio.gather(*asked)
    assert short["data"]["output"]["rows"][0][0] == "short"
    assert "stopped" in json.dumps(long)
    found = {inputs["sql"]: status for inputs, status in rows(api, "inputs, status")}
    assert [found[sql] for sql in queries] == ["done", "interrupted"]
