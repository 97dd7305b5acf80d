"""Prefect's server: a real one that is asked for work, and what a stand-in says in its place."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from aiohttp import web

from tests.blocks.probes.looking import seen
from tests.blocks.probes.serving import serving
from tests.prefect_server import RunningServer


async def test_a_real_server_that_this_process_uses(prefect_client: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=prefect_client.api_url, trust_env=False) as http:
        flow = (await http.post("/flows/", json={"name": "probed"})).json()["id"]
        made = (await http.post("/deployments/", json={"name": "probed", "flow_id": flow})).json()["id"]
        await http.post("/deployments/get_scheduled_flow_runs", json={"deployment_ids": [made]})
        found, by_address = await seen("prefect"), await seen("prefect", prefect_client.api_url)
        await http.delete(f"/deployments/{made}")
    for each in (found, by_address):
        assert (each.state, each.code, int(each.facts["deployments"]) >= 1) == ("up", "ok", True)
        assert str(each.facts["version"]).startswith("3.")


@pytest.mark.parametrize(
    ("health", "status", "state", "code"),
    [
        (True, 200, "up", "ok"),
        ("Database is away", 500, "down", "health"),
        ("<html>", 200, "down", "health"),
        (None, 401, "down", "login"),
    ],
)
async def test_health(health: Any, status: int, state: str, code: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Basic YTpi"
        return web.json_response(health, status=status)

    async with serving({"/api/health": answer}) as port:
        found = await seen("prefect", f"http://a:b@127.0.0.1:{port}/api/")
    assert (found.state, found.code) == (state, code)
    assert "Database is away" not in found.message


@pytest.mark.parametrize(
    ("ages", "made", "state"),
    [
        ([], 4000.0, "up"),
        ([None], 4000.0, "degraded"),
        ([None, None], 20.0, "up"),
        ([5.0], 4000.0, "up"),
        ([4000.0, 30.0, None], 4000.0, "up"),
        ([4000.0, 500.0], 4000.0, "degraded"),
    ],
)
async def test_somebody_asks_for_work(ages: list[float | None], made: float, state: str) -> None:
    def ago(seconds: float | None) -> str | None:
        return None if seconds is None else (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()

    async def well(request: web.Request) -> web.Response:
        return web.json_response(True if request.path.endswith("health") else "3.8.8")

    async def deployments(request: web.Request) -> web.Response:
        assert (request.method, (await request.json())["limit"] > 0) == ("POST", True)
        return web.json_response([{"id": "x", "last_polled": ago(age), "created": ago(made)} for age in ages])

    routes = {"/api/health": well, "/api/admin/version": well, "/api/deployments/filter": deployments}
    async with serving(routes) as port:
        found = await seen("prefect", f"http://127.0.0.1:{port}/api")
    assert found.state == state
    if state == "degraded":
        assert (found.code, "pilothouse serve flows" in found.message) == ("unpolled", True)
