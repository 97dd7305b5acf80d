"""Containers over a stand-in for Docker's Engine at a Unix socket, which checks what it is asked."""

import json
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from blocks.probes.docker import LABEL
from tests.blocks.probes.looking import seen


def container(status: str, **state: Any) -> dict[str, Any]:
    """What ``GET /containers/{id}/json`` says of it."""
    return {
        "Id": "c0ffee",
        "RestartCount": 2,
        "State": {"Status": status, "Running": status == "running", "ExitCode": 0, "OOMKilled": False, **state},
        "Config": {"Env": ["PASSWORD=hunter2"]},
    }


@asynccontextmanager
async def engine(
    folder: Path, containers: Mapping[str, Any], services: Mapping[str, list[str]] | None = None
) -> AsyncGenerator[str]:
    """A socket's path. ``services``: containers by the name of their Compose service."""

    async def inspect(request: web.Request) -> web.Response:
        assert request.method == "GET"
        found = containers.get(request.match_info["name"])
        if found is None:
            return web.json_response({"message": f"No such container: {request.match_info['name']}"}, status=404)
        return web.json_response(found)

    async def listing(request: web.Request) -> web.Response:
        assert request.query["all"] == "true"
        ((label,),) = json.loads(request.query["filters"]).values()
        key, _, service = label.partition("=")
        assert key == LABEL
        return web.json_response([{"Id": each} for each in (services or {}).get(service, [])])

    app = web.Application()
    app.router.add_get("/containers/json", listing)
    app.router.add_get("/containers/{name}/json", inspect)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        path = str(folder / "docker.sock")
        await web.UnixSite(runner, path).start()
        yield path
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("told", "one_shot", "state", "code"),
    [
        (container("running"), False, "up", "ok"),
        (container("running", Health={"Status": "healthy"}), False, "up", "ok"),
        (container("running", Health={"Status": "unhealthy"}), False, "down", "unhealthy"),
        (container("running", Health={"Status": "starting"}), False, "degraded", "starting"),
        (container("exited"), False, "down", "exited"),
        (container("exited"), True, "up", "ok"),
        (container("exited", ExitCode=1), True, "down", "exited"),
        (container("running"), True, "up", "ok"),
        (container("created"), True, "up", "ok"),
        (container("created"), False, "down", "created"),
        (container("exited", ExitCode=137, OOMKilled=True), False, "down", "out_of_memory"),
        (container("restarting", ExitCode=1), False, "down", "restarting"),
        (container("paused"), False, "degraded", "paused"),
        (container("dead"), False, "down", "dead"),
    ],
)
async def test_what_a_container_s_state_means(
    tmp_path: Path, told: dict[str, Any], one_shot: bool, state: str, code: str
) -> None:
    async with engine(tmp_path, {"dify-api": told}) as path:
        found = await seen("docker", None, {"docker": path}, container="dify-api", one_shot=one_shot)
    assert (found.state, found.code) == (state, code)
    assert found.facts["restarts"] == 2
    assert found.facts["container"] == told["State"]["Status"]
    assert "hunter2" not in f"{found}"


async def test_a_container_is_found_by_its_compose_service(tmp_path: Path) -> None:
    services = {"api": ["c0ffee"], "worker": ["a", "b"]}
    async with engine(tmp_path, {"c0ffee": container("running")}, services) as path:
        one = await seen("docker", None, {"docker": f"unix://{path}"}, container="api")
        several = await seen("docker", None, {"docker": path}, container="worker")
        gone = await seen("docker", None, {"docker": path}, container="../../version")
    assert one.state == "up"
    assert (several.state, several.code) == ("unreachable", "several")
    assert (gone.state, gone.code) == ("down", "missing")


async def test_without_docker_nothing_can_be_told(tmp_path: Path) -> None:
    missing = await seen("docker", None, {"docker": str(tmp_path / "none.sock")}, container="api")
    assert (missing.state, missing.code) == ("unreachable", "no_docker")
    assert "sweeps.docker" in missing.message
    stale = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(stale))
    closed = await seen("docker", None, {"docker": str(stale)}, container="api")
    assert (closed.state, closed.code) == ("unreachable", "no_docker")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    away = await seen("docker", None, {"docker": f"tcp://127.0.0.1:{port}"}, container="api")
    assert (away.state, away.code) == ("unreachable", "no_docker")
    assert f"127.0.0.1:{port}" in away.message


async def test_what_is_no_engine(tmp_path: Path) -> None:
    async with engine(tmp_path, {"api": {"no": "state"}}) as path:
        found = await seen("docker", None, {"docker": path}, container="api")
    assert (found.state, found.code) == ("unreachable", "no_docker")
