"""Generation B, as FastGPT 4.14 speaks it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.api.fastgpt.app import Bare
from tests.api.fastgpt.conftest import OUTPUT
from tests.api.fastgpt.sdk_clients import ClientB, Rejected

ECHO = "probe/echo"
PATHS = ["/api/models", "/api/models/get-providers", "/api/tools", "/api/tools/tags", "/api/tools/probe/echo", "/api/list"]


@pytest.fixture
async def client(api: Bare) -> AsyncGenerator[ClientB, None]:
    client = ClientB(api.url, "plugin")
    yield client
    await client.aclose()


async def test_tools_are_listed_and_found(client: ClientB) -> None:
    items = await client.get("/api/tools")
    assert [item["toolId"] for item in items] == ["probe", "probe/echo", "probe/later", "vacant"]
    for item in items:
        one = await client.get(f"/api/tools/{item['toolId']}")
        assert one == item | {"pluginOrder": 0, "weight": 0}
        assert await client.get(f"/api/tools/{item['toolId'].replace('/', '%2F')}") == one


async def test_ids_are_checked_as_upstream_does(client: ClientB) -> None:
    short, missing = await client.http.get("/api/tools/abcd"), await client.http.get("/api/tools/probe/none")
    assert (short.status_code, short.json()["code"], short.json()["data"]) == (400, 400, None)
    assert (missing.status_code, missing.json()["code"], missing.json()["msg"]) == (404, 404, "Tool not found")


async def test_categories_and_templates(client: ClientB) -> None:
    assert len(await client.get("/api/tools/tags")) == 12
    assert await client.get("/api/list") == []


async def test_a_run_gives_its_output(api: Bare, client: ClientB) -> None:
    run = await client.run(ECHO, {"text": "slow"}, app={"id": "a"})
    assert run.result == {"output": OUTPUT}
    assert run.comments >= 2
    assert api.calls.asked[0].system == {"time": "2026-01-01", "app": {"id": "a"}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fail", "the drawing broke"),
        ("away", "The store cannot be reached."),
        ("wrong", "yAxis: Field required"),
        ("endless", "The tool did not end within 2 s."),
    ],
)
async def test_what_goes_wrong_in_a_tool_is_an_error_frame(client: ClientB, text: str, said: str) -> None:
    with pytest.raises(Rejected) as rejected:
        await client.run(ECHO, {"text": text})
    assert rejected.value.reason == said


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"toolId": ECHO}, 400),
        ({"toolId": ECHO, "inputs": []}, 400),
        ({"toolId": ECHO, "inputs": {}, "systemVar": "x"}, 400),
        ({"toolId": 5, "inputs": {}}, 400),
        ({"inputs": {}}, 400),
        ([], 400),
        ({"toolId": "probe/none", "inputs": {}}, 404),
        ({"toolId": "probe", "inputs": {}}, 404),
    ],
)
async def test_a_bad_run_is_refused_before_it_begins(api: Bare, client: ClientB, body: Any, status: int) -> None:
    answer = await client.http.post("/api/tools/run-stream", json=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["data"]) == (status, status, None)
    assert answer.json()["msg"]
    assert not api.calls.asked


@pytest.mark.parametrize(("content", "status"), [(b"{", 400), (b"", 400), (b" " * 3_000_000, 413)])
async def test_a_body_that_cannot_be_read_is_told_in_the_envelope(client: ClientB, content: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.http.post("/api/tools/run-stream", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, status)


@pytest.mark.parametrize("path", ["/api/nothing", "/api/dataset/source/list", "/api/models/x", "/api/tools/run-stream/x"])
async def test_an_unknown_path_is_404_in_the_body_of_a_200(client: ClientB, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = await client.http.request(method, path)
        if (method, path) != ("GET", "/api/tools/run-stream/x"):  # as an id it is not found, which is a 404
            assert answer.status_code == 200
        assert (answer.json()["code"], answer.json()["data"]) == (404, None)


async def test_a_fault_of_ours_is_500_in_the_body_of_a_200(api: Bare, client: ClientB) -> None:
    api.app.state.parts.models = None
    answer = await client.http.get("/api/models")
    assert (answer.status_code, answer.json()["code"], answer.json()["data"]) == (200, 500, None)
    with pytest.raises(Rejected, match="its log"):
        await client.run(ECHO, {"text": "crash"})


@pytest.mark.parametrize("token", ["", "wrong", "chat"])
@pytest.mark.parametrize("path", [*PATHS, "/api/nothing", "/api/tools/upload/presign-tool-put-url"])
async def test_nothing_is_open(api: Bare, path: str, token: str) -> None:
    client = ClientB(api.url, token)
    answer = await client.http.get(path)
    await client.aclose()
    status = 403 if token == "chat" else 401
    assert (answer.status_code, answer.json()["code"], answer.json()["data"]) == (status, status, None)
    if status == 401:
        assert answer.json()["msg"] == "Unauthorized"
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_uploads_are_declined_in_words(client: ClientB) -> None:
    for method, path in (("GET", "presign-tool-put-url"), ("POST", "confirm"), ("DELETE", "delete"), ("POST", "install")):
        answer = await client.http.request(method, f"/api/tools/upload/{path}")
        assert (answer.status_code, answer.json()["code"]) == (501, 501)
        assert "no uploaded plugins" in answer.json()["msg"]


async def test_a_hundred_runs_at_once(client: ClientB) -> None:
    runs = await asyncio.gather(*(client.run(ECHO, {"text": str(number)}) for number in range(100)))
    assert [run.result for run in runs] == [{"output": OUTPUT}] * 100


@pytest.mark.parametrize("api", [{"api_prefix": "/api"}], indirect=True)
async def test_under_a_prefix_of_api_fastgpts_paths_win_and_the_rest_is_ours(client: ClientB) -> None:
    assert len(await client.get("/api/tools")) == 4
    assert (await client.http.get("/api/tool/list")).json()[0]["id"] == "probe"
    wrong = await client.http.get("/api/tool/get")
    assert wrong.json()["name"] == "ZodError"
    unknown, native = await client.http.get("/api/models/none"), await client.http.get("/api/nothing")
    assert (unknown.status_code, unknown.json()["code"]) == (200, 404)
    assert (native.status_code, native.headers["content-type"]) == (404, "application/problem+json")
    runs = await client.http.get("/api/tools/probe/echo/runs")
    assert runs.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("api", [{"api_prefix": "/api/v1"}], indirect=True)
async def test_under_a_longer_prefix_only_what_lies_there_is_ours(client: ClientB) -> None:
    assert (await client.http.get("/api/v1/tool/list")).json()[0]["id"] == "probe"
    assert (await client.http.get("/api/nothing")).json()["code"] == 404
