"""Tools over HTTP, against a real Prefect server and a real flows process."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from core.settings import DatabaseSettings
from core.store.access import Tokens
from core.store.base import Store
from core.store.workspaces import Workspaces
from tests.api.conftest import Serve
from tests.api.serving import Served, beside
from tests.prefect_server import RunningServer, ServedFlows
from tests.waiting import eventually

CHART = {"title": "Sales", "xAxis": ["one", "two"], "yAxis": ["1", "2"], "chartType": "柱状图"}
RUNS = "/tools/drawing/baseChart/runs"


@pytest.fixture(scope="module")
def api_process(
    served_flows: ServedFlows, prefect_server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The API on the database of the flows process."""
    api = Served(tmp_path_factory.mktemp("tools"), served_flows.database_url, {}, prefect_url=prefect_server.api_url)
    api.token = beside(api.make_token("tools"))
    yield api.start()
    assert api.stop() == 0


@pytest.fixture
async def api(api_process: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with api_process.client() as client:

        async def ready() -> bool:
            return bool((await client.get("/ready")).json()["parts"]["prefect"])

        await eventually(ready, 30, "the API sees Prefect")
        yield client


def statuses(api: Served, source: str) -> list[str]:
    with psycopg.connect(api.database_url) as connection:
        rows = connection.execute("SELECT status FROM pilothouse.tool_runs WHERE source = %s ORDER BY seq", [source])
        return [str(status) for (status,) in rows]


async def test_tools_are_listed_with_what_they_take_and_give(api: httpx.AsyncClient) -> None:
    tools = {tool["id"]: tool for tool in (await api.get("/tools")).json()["tools"]}
    assert set(tools) == {"database/query", "drawing/baseChart", "drawing/chart"}
    for language, tool in (("en", tools["drawing/baseChart"]), ("zh", (await api.get("/tools?language=zh")).json()["tools"][1])):
        assert set(tool["name"]) == set(tool["description"]) == {"zh", "en"}
        assert {"title", "xAxis", "yAxis", "chartType"} <= set(tool["inputs"]["properties"]), language
        assert "xAxis" in tool["inputs"]["required"]
        assert "chartUrl" in {output["key"] for output in tool["outputs"]}


async def result_of(api: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """The flow run's own result: a moment after that of the tool, which a caller who waits gets at once."""

    async def result() -> dict[str, Any] | None:
        run = (await api.get(f"/runs/{run_id}")).json()
        assert run["flow"] == "tool_run"
        kept: dict[str, Any] | None = run["result"]
        return kept

    return await eventually(result, 30, "the flow run's result") or {}


async def test_a_run_is_waited_for(api: httpx.AsyncClient, api_process: Served) -> None:
    for path in (RUNS, "/tools/drawing%2FbaseChart/runs"):
        answer = await api.post(path, json={"inputs": CHART, "wait": True}, timeout=60)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        url = body["output"]["chartUrl"]
        assert url.endswith("-chart.svg")
        result = await result_of(api, body["runId"])
        assert (result["files"], result["toolId"]) == ([url], "drawing/baseChart")
    assert set(statuses(api_process, "api")) == {"done"}


async def test_a_run_is_begun_and_followed(api: httpx.AsyncClient) -> None:
    answer = await api.post(RUNS, json={"inputs": CHART})
    assert answer.status_code == 202
    begun = answer.json()
    assert answer.headers["location"] == begun["events"].removesuffix("/events")
    assert begun["prefectUrl"].endswith(begun["runId"])
    events = (await api.get(begun["events"], timeout=60)).text
    assert "event: result" in events
    assert '"state":"COMPLETED"' in events
    assert "Sales" not in events


async def test_the_tools_own_failure_is_told(api: httpx.AsyncClient) -> None:
    answer = await api.post(
        "/tools/database/query/runs", json={"inputs": {"sql": "SELECT 1", "database": "none"}, "wait": True}, timeout=60
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "tool_failed")
    assert "[databases.NAME]" in answer.json()["detail"]


async def test_a_run_and_its_files_belong_to_the_callers_workspace(api: httpx.AsyncClient, api_process: Served) -> None:
    store = Store.from_settings(DatabaseSettings(url=SecretStr(api_process.database_url)))
    await Workspaces(store).create("research")
    token = (await Tokens(store).create("research", ["tools", "read"], workspace="research"))[1]
    await store.aclose()
    async with api_process.client() as research:
        research.headers["Authorization"] = f"Bearer {token}"
        body = (await research.post(RUNS, json={"inputs": CHART, "wait": True}, timeout=60)).json()
        assert (await result_of(research, body["runId"]))["files"] == [body["output"]["chartUrl"]]
    assert (await api.get(f"/runs/{body['runId']}")).status_code == 404
    with psycopg.connect(api_process.database_url) as connection:
        for table in ("tool_runs", "files"):
            asked = f"SELECT count(*) FROM pilothouse.{table} WHERE workspace = 'research'"
            assert connection.execute(asked.encode()).fetchone() == (1,)


async def test_a_key_stands_for_one_run(api: httpx.AsyncClient, api_process: Served) -> None:
    async def post(title: str, wait: bool = False) -> httpx.Response:
        body = {"inputs": CHART | {"title": title}, "wait": wait}
        return await api.post(RUNS, json=body, headers={"Idempotency-Key": "one"}, timeout=60)

    before = len(statuses(api_process, "api"))
    first, second = await asyncio.gather(post("a"), post("a"))
    assert first.status_code == second.status_code == 202
    assert first.json() == second.json()
    waited = await post("a", wait=True)
    assert (waited.status_code, waited.json()["runId"]) == (200, first.json()["runId"])
    again = await post("a", wait=True)
    assert again.json() == waited.json()
    other = await post("b")
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert len(statuses(api_process, "api")) == before + 1


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        (RUNS, {"inputs": {"title": "no axes", "chartType": "柱状图"}}, 422, "inputs.xAxis"),
        (RUNS, {"inputs": CHART | {"title": "a\x00b"}}, 422, "inputs.title"),
        (RUNS, {"inputs": CHART | {"title": 2**70}}, 422, "inputs.title"),
        (RUNS, {"inputs": [1]}, 422, "inputs"),
        (RUNS, {}, 422, "inputs"),
        (RUNS, {"inputs": CHART, "later": True}, 422, "later"),
        ("/tools/drawing/none/runs", {"inputs": {}}, 404, None),
        ("/tools/%2F%2Fx%2F../runs", {"inputs": {}}, 404, None),
    ],
)
async def test_what_is_wrong_is_named_before_any_run(
    api: httpx.AsyncClient, api_process: Served, path: str, body: dict[str, Any], status: int, field: str | None
) -> None:
    before = len(statuses(api_process, "api"))
    answer = await api.post(path, json=body)
    assert (answer.status_code, answer.json().get("field")) == (status, field)
    assert len(statuses(api_process, "api")) == before


async def test_scopes(api_process: Served, api: httpx.AsyncClient) -> None:
    run_id = (await api.post(RUNS, json={"inputs": CHART})).json()["runId"]

    async def status(scope: str, method: str, path: str, **more: Any) -> int:
        token = await api_process.make_token(scope)
        return (await api.request(method, path, headers={"Authorization": f"Bearer {token}"}, **more)).status_code

    assert await status("chat", "GET", "/tools") == 403
    assert await status("read", "POST", RUNS, json={"inputs": CHART}) == 403
    assert await status("plugin", "GET", "/tools") == 403
    assert await status("flows:tool_run", "GET", f"/runs/{run_id}") == 200
    assert await status("tools", "GET", f"/runs/{run_id}") == 200
    assert await status("chat", "GET", f"/runs/{run_id}") == 403
    parameters = {"tool_id": "drawing/baseChart", "input_id": "none"}
    assert await status("tools", "POST", "/flows/tool_run/runs", json={"parameters": parameters}) == 403
    # With the scope it is looked for.
    assert await status("flows:tool_run", "POST", "/flows/tool_run/runs", json={"parameters": parameters}) == 404


async def test_an_earlier_run_is_run_once_more_by_its_id(api_process: Served, api: httpx.AsyncClient) -> None:
    first = (await api.post(RUNS, json={"inputs": CHART, "wait": True}, timeout=60)).json()
    tool_run = (await result_of(api, first["runId"]))["toolRunId"]
    headers = {"Authorization": f"Bearer {await api_process.make_token('flows:tool_run')}"}
    parameters = {"tool_id": "drawing/baseChart", "input_id": tool_run}
    begun = (await api.post("/flows/tool_run/runs", json={"parameters": parameters}, headers=headers)).json()
    await api.get(begun["events"], timeout=60)
    result = (await api.get(f"/runs/{begun['runId']}")).json()["result"]
    assert result["toolRunId"] != tool_run
    assert result["files"] != [first["output"]["chartUrl"]]
    assert statuses(api_process, "flow") == ["done"]


async def test_nothing_is_kept_or_run_before_prefect_is_up(serve: Serve) -> None:
    api = serve(providers={})
    async with api.client() as client:
        answer = await client.post(RUNS, json={"inputs": CHART, "wait": True})
        assert (answer.status_code, answer.json()["code"]) == (503, "prefect_not_ready")
        assert int(answer.headers["retry-after"]) >= 1
        assert (await client.post(RUNS, json={"inputs": {}})).status_code == 422
        assert (await client.get("/tools")).status_code == 200
    assert statuses(api, "api") == []
