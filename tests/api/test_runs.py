"""Flows over HTTP against a real Prefect server and a real flows process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import orjson
import psycopg
import pytest
from fastapi import FastAPI
from prefect.settings import PREFECT_API_URL, temporary_settings

from api import runs as runs_module
from api.problems import install
from core.config import Settings
from core.quotas.gate import Gate
from core.store.access import Principal
from core.store.base import Store
from core.store.runs import Runs
from flows import following
from flows.catalogue import deployable
from flows.prefect_link import PrefectLink
from flows.runs import FlowRuns
from tests.prefect_server import RunningServer, ServedFlows
from tests.waiting import eventually

EVENT = dict[str, Any]


class KnownTokens:
    """Stands in for the table: a token's text is its scopes."""

    async def verify(self, plaintext: str) -> Principal | None:
        return Principal(plaintext, "name", frozenset(plaintext.split(",")))


@asynccontextmanager
async def an_api(database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The two routers alone, with the parts that they need."""
    settings = Settings.model_validate({"data_dir": tmp_path, "database": {"url": database_url}, "chat": {"ping": 1}})
    async with AsyncExitStack() as stack:
        store = Store.from_settings(settings.database)
        stack.push_async_callback(store.aclose)
        link = await stack.enter_async_context(PrefectLink.opened())
        runs = FlowRuns(link, Runs(store))
        stack.push_async_callback(runs.aclose)
        gate = Gate("test", settings.quotas, settings.timezone, store)
        stack.push_async_callback(gate.aclose)
        app = FastAPI()
        app.state.parts = SimpleNamespace(settings=settings, store=store, tokens=KnownTokens(), runs=runs, link=link, gate=gate)
        install(app)
        app.include_router(runs_module.flows)
        app.include_router(runs_module.runs)
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://pilothouse",
            headers={"Authorization": "Bearer admin"},
            timeout=60,
        )
        yield await stack.enter_async_context(client)


@pytest.fixture
async def api(served_flows: ServedFlows, prefect_client: RunningServer, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with an_api(served_flows.database_url, tmp_path) as client:
        await eventually(lambda: up(client), what="Prefect seen by the API")
        yield client


async def up(client: httpx.AsyncClient) -> bool:
    return (await client.get("/runs/00000000-0000-0000-0000-000000000000")).status_code == 404


async def trigger(api: httpx.AsyncClient, **parameters: Any) -> str:
    answer = await api.post("/flows/purge_history/runs", json={"parameters": parameters})
    assert answer.status_code == 202, answer.text
    run_id: str = answer.json()["runId"]
    return run_id


def events_of(text: str) -> list[EVENT]:
    """The events of a whole stream."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append({"id": fields["id"], "event": fields["event"], "data": orjson.loads(fields["data"])})
    return found


async def follow(api: httpx.AsyncClient, run_id: str, last: str | None = None) -> list[EVENT]:
    answer = await api.get(f"/runs/{run_id}/events", headers={"Last-Event-ID": last} if last else {})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    return events_of(answer.text)


async def test_a_run_is_triggered_followed_and_read(api: httpx.AsyncClient) -> None:
    answer = await api.post("/flows/purge_history/runs", json={"parameters": {"dry_run": True}})
    assert answer.status_code == 202
    body = answer.json()
    assert body["events"] == f"http://127.0.0.1:8700/runs/{body['runId']}/events", "our own address, whatever we are called"
    assert body["prefectUrl"].endswith(f"/runs/flow-run/{body['runId']}")
    seen = await follow(api, body["runId"])
    states = [event["data"]["type"] for event in seen if event["event"] == "state"]
    assert states[0] == "SCHEDULED"
    assert states[-2:] == ["RUNNING", "COMPLETED"]
    assert any(event["event"] == "log" for event in seen)
    result = {"sessions": 0, "turns": 0, "messages": 0, "taskRuns": 0, "dryRun": True}
    assert seen[-1]["event"] == "result"
    assert seen[-1]["data"] == {"state": "COMPLETED", "result": result}
    run = (await api.get(f"/runs/{body['runId']}")).json()
    assert (run["flow"], run["state"]["type"], run["result"]) == ("purge_history", "COMPLETED", result)
    assert run["startTime"] < run["endTime"]

    again = await follow(api, body["runId"])
    assert [event["data"] for event in again] == [event["data"] for event in seen]
    for place in (0, len(seen) // 2, len(seen) - 1):
        assert await follow(api, body["runId"], seen[place]["id"]) == seen[place + 1 :]


def by_kind(stream: list[EVENT]) -> dict[str, list[Any]]:
    """What each kind of event says; log lines by their time. Each process hears of events and reads logs by itself, so what comes
    first of the two may differ."""
    kinds: dict[str, list[Any]] = {}
    for event in stream:
        kinds.setdefault(event["event"], []).append(event["data"])
    kinds.get("log", []).sort(key=lambda line: line["timestamp"])
    return kinds


async def test_progress_is_followed_by_many_and_resumed_in_another_process(
    api: httpx.AsyncClient, served_flows: ServedFlows, tmp_path: Path
) -> None:
    idle_sessions(served_flows.database_url, 1_200)
    run_id = await trigger(api, dry_run=False)
    async with an_api(served_flows.database_url, tmp_path) as other:
        await eventually(lambda: up(other), what="Prefect seen by the other API process")
        seen, same, apart = await asyncio.gather(follow(api, run_id), follow(api, run_id), follow(other, run_id))
        assert same == seen
        assert by_kind(apart) == by_kind(seen)
        assert by_kind(seen)["progress"] == [{"done": done, "total": 1_200, "what": "turns"} for done in (500, 1_000, 1_200)]
        assert seen[-1]["data"]["result"]["sessions"] == 1_200
        middle = next(index for index, event in enumerate(seen) if event["event"] == "log")
        rest = await follow(other, run_id, seen[middle]["id"])
        assert by_kind(rest) | {"progress": []} == by_kind(seen[middle + 1 :]) | {"progress": []}


async def test_a_key_stands_for_one_run(api: httpx.AsyncClient) -> None:
    async def post(token: str, dry_run: bool) -> httpx.Response:
        headers = {"Idempotency-Key": "k1", "Authorization": f"Bearer {token}"}
        return await api.post("/flows/purge_history/runs", json={"parameters": {"dry_run": dry_run}}, headers=headers)

    first, second, other = await asyncio.gather(
        post("flows:purge_history", True), post("flows:purge_history", True), post("admin", True)
    )
    assert first.status_code == second.status_code == other.status_code == 202
    assert first.json()["runId"] == second.json()["runId"] != other.json()["runId"]
    assert (await post("flows:purge_history", False)).json()["code"] == "conflict"
    for answer in (first, other):  # one after the other: the flow runs once at a time
        assert (await follow(api, answer.json()["runId"]))[-1]["data"]["state"] == "COMPLETED"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"parameters": {"dry_run": "perhaps"}}, "parameters.dry_run"),
        ({"parameters": {"dryrun": True}}, "parameters.dryrun"),
        ({"parameters": [1]}, "parameters"),
        ({"parameters": {"$ref": {"block_document_id": "x"}}}, "parameters.$ref"),
    ],
)
async def test_a_bad_parameter_is_named_before_any_run(api: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    answer = await api.post("/flows/purge_history/runs", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_a_turn_is_named_in_one_way(api: httpx.AsyncClient) -> None:
    for parameters in ({}, {"turn_id": None}, {"turn_id": "a", "message_id": "b"}):
        answer = await api.post("/flows/chat_turn/runs", json={"parameters": parameters})
        assert (answer.status_code, answer.json()["field"]) == (422, "parameters.turn_id")


async def test_what_is_not_there_is_404(api: httpx.AsyncClient) -> None:
    for name in ("conversation", "nothing"):
        assert (await api.post(f"/flows/{name}/runs", json={})).status_code == 404
    for run_id in ("nonsense", "00000000-0000-0000-0000-000000000000"):
        for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
            assert (await api.request(method, f"/runs/{run_id}{path}")).status_code == 404


async def test_scopes(api: httpx.AsyncClient) -> None:
    run_id = await trigger(api)

    async def status(token: str, method: str, path: str) -> int:
        return (await api.request(method, path, headers={"Authorization": f"Bearer {token}"})).status_code

    assert await status("chat", "POST", "/flows/purge_history/runs") == 403
    assert await status("chat", "GET", f"/runs/{run_id}") == 403
    assert await status("read", "GET", f"/runs/{run_id}") == 200
    assert await status("read", "POST", f"/runs/{run_id}/cancel") == 403
    assert await status("flows:purge_history", "GET", f"/runs/{run_id}/events") == 200
    assert await status("flows:purge_history", "POST", f"/runs/{run_id}/cancel") == 202
    assert (await follow(api, run_id))[-1]["event"] == "result"
    listed = (await api.get("/flows", headers={"Authorization": "Bearer flows:purge_history"})).json()["flows"]
    assert [flow["name"] for flow in listed] == ["purge_history"]


async def test_a_running_run_is_cancelled(api: httpx.AsyncClient, served_flows: ServedFlows) -> None:
    with psycopg.connect(served_flows.database_url) as blocking:
        blocking.execute("LOCK TABLE pilothouse.sessions IN ACCESS EXCLUSIVE MODE")
        run_id = await trigger(api)

        async def state() -> str:
            return str((await api.get(f"/runs/{run_id}")).json()["state"]["type"])

        async def running() -> bool:
            return await state() == "RUNNING"

        await eventually(running, within=30, what="the run running")
        answer = await api.post(f"/runs/{run_id}/cancel")
        assert (answer.status_code, answer.json()["state"]["type"]) == (202, "CANCELLING")
        seen = await follow(api, run_id)
        assert seen[-1]["data"] == {"state": "CANCELLED", "result": None}
    assert (await api.post(f"/runs/{run_id}/cancel")).json()["state"]["type"] == "CANCELLED"


async def test_flows_are_listed_from_the_code_alone_and_nothing_starts_without_prefect(
    database_url: str, tmp_path: Path, prefect_client: RunningServer
) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        async with an_api(database_url, tmp_path) as api:
            listed = {flow["name"]: flow for flow in (await api.get("/flows")).json()["flows"]}
            assert set(listed) == {entry.name for entry in deployable()}
            purge = listed["purge_history"]
            assert purge["description"].startswith("Deletes conversations")
            assert purge["schedule"] == {"cron": "0 3 * * *", "timezone": "UTC"}
            assert purge["parameters"]["properties"]["dry_run"]["default"] is True
            answer = await api.post("/flows/purge_history/runs", json={})
            assert (answer.status_code, answer.json()["code"]) == (503, "prefect_not_ready")
            assert int(answer.headers["retry-after"]) >= 1
            assert (await api.post("/flows/purge_history/runs", json={"parameters": {"x": 1}})).status_code == 422
            run = await api.get("/runs/00000000-0000-0000-0000-000000000000")
            assert (run.status_code, run.json()["code"]) == (503, "prefect_not_ready")


async def test_a_stream_says_so_when_prefect_goes_away(
    api: httpx.AsyncClient, served_flows: ServedFlows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "REREAD", 0.5)
    with psycopg.connect(served_flows.database_url) as blocking:
        blocking.execute("LOCK TABLE pilothouse.sessions IN ACCESS EXCLUSIVE MODE")
        run_id = await trigger(api)
        reading = asyncio.create_task(follow(api, run_id))
        await eventually(following_begun, what="the run being followed")
        served_flows.server.freeze()
        try:
            seen = await asyncio.wait_for(reading, 30)
        finally:
            served_flows.server.thaw()
        assert seen[-1]["event"] == "error"
        assert seen[-1]["data"]["error"]["code"] == "prefect_not_ready"
    await eventually(lambda: up(api), what="Prefect seen again")
    assert (await follow(api, run_id))[-1]["event"] == "result"


def following_begun() -> bool:
    """Whether the API has begun to follow the one run."""
    return any(task.get_name().startswith("run ") for task in asyncio.all_tasks())


def idle_sessions(database_url: str, count: int) -> None:
    """Sessions last used long ago, each with one turn of two messages."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO pilothouse.sessions (id, created_at, expires_at)"
            " SELECT 'idle-' || n, now() - interval '90 days', now() - interval '60 days' FROM generate_series(1, %s) n",
            (count,),
        )
        connection.execute(
            "INSERT INTO pilothouse.turns (id, session_id, status, options, owner, created_at)"
            " SELECT 'turn-' || n, 'idle-' || n, 'done', '{}', 'boot', now() - interval '90 days' FROM generate_series(1, %s) n",
            (count,),
        )
        connection.execute(
            "INSERT INTO pilothouse.messages (turn_seq, position, role, body)"
            " SELECT seq, p, 'user', '{}' FROM pilothouse.turns, generate_series(0, 1) p WHERE id LIKE 'turn-%'"
        )
