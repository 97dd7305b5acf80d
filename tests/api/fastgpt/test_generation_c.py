"""Generation C, as FastGPT speaks it with plugin releases 1.x."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.api.fastgpt.app import Bare
from tests.api.fastgpt.conftest import OUTPUT
from tests.api.fastgpt.sdk_clients import ClientC, Detail, Plugin, Rejected

pytestmark = pytest.mark.parametrize("api", [{"fastgpt": {"generation": "c"}}], indirect=True)
PATHS = ["/api/tools", "/api/tool?pluginId=probe", "/api/plugins", "/api/plugin/tags", "/api/plugin/features", "/api/models"]


@pytest.fixture
async def client(api: Bare) -> AsyncGenerator[ClientC, None]:
    client = ClientC(api.url, "plugin")
    yield client
    await client.aclose()


async def test_plugins_are_listed_with_their_tools(client: ClientC) -> None:
    probe, vacant = await client.get(list[Plugin], "/api/tools")
    assert (probe.plugin_id, probe.version, probe.source, probe.is_toolset) == ("probe", "0.1.1", "system", True)
    assert [child.id for child in probe.children] == ["echo", "later"]
    assert (vacant.version, vacant.children) == ("0.0.1", [])
    assert probe.etag != vacant.etag
    assert await client.get(list[Plugin], "/api/plugins") == [probe, vacant]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["probe", "vacant"]),
        ({"tags": "search"}, ["probe"]),
        ({"tags": "search,own"}, ["probe", "vacant"]),
        ({"tags": ["search", "tools"], "op": "and"}, ["probe"]),
        ({"tags": "search,own", "op": "and"}, []),
        ({"tags": ""}, ["probe", "vacant"]),
        ({"sources": "system"}, ["probe", "vacant"]),
        ({"sources": "team-1"}, []),
        ({"sources": "team-1,system", "tags": "own"}, ["vacant"]),
    ],
)
async def test_lists_are_filtered(client: ClientC, query: dict[str, Any], found: list[str]) -> None:
    for path in ("/api/tools", "/api/plugins"):
        assert [plugin.plugin_id for plugin in await client.get(list[Plugin], path, **query)] == found
    assert await client.get(list[Plugin], "/api/plugins", types="moderation") == []


async def test_a_plugin_in_detail(client: ClientC) -> None:
    detail = await client.get(Detail, "/api/tool", pluginId="probe")
    assert detail.is_latest
    echo, later = detail.children
    assert later.input_schema == {
        "type": "object",
        "properties": {
            "x": {"type": "number", "title": "x", "description": "x", "toolDescription": "x", "isToolParam": True},
        },
        "required": ["x"],
        "additionalProperties": False,
    }
    assert later.output_schema == {
        "type": "object",
        "properties": {"chartUrl": {"type": "string", "title": "图表 url", "description": "图片的地址"}},
    }
    assert echo.input_schema["properties"]["text"]["description"] == "文本"
    assert (echo.icon, echo.tool_description) == ("/imgs/tools/probe.svg", "Gives back")


async def test_versions(client: ClientC) -> None:
    for version in ("", "0.1.1"):
        assert (await client.get(Detail, "/api/tool", pluginId="probe", version=version)).version == "0.1.1"
    old = {"pluginId": "probe", "version": "0.0.1"}
    assert (await client.get(Detail, "/api/tool", **old, fallbackLatestVersion="true")).version == "0.1.1"
    with pytest.raises(Rejected, match=r"latest is 0\.1\.1"):
        await client.get(Detail, "/api/tool", **old)
    assert await client.get(list[dict[str, str]], "/api/plugin/versions", pluginId="probe") == [{"version": "0.1.1"}]


@pytest.mark.parametrize("query", [{"pluginId": "none"}, {"pluginId": "probe", "source": "team-1"}])
async def test_an_unknown_plugin_is_not_found(client: ClientC, query: dict[str, str]) -> None:
    for path in ("/api/tool", "/api/plugin/versions"):
        with pytest.raises(Rejected) as rejected:
            await client.get(Detail, path, **query)
        assert rejected.value.reason.code == "http.not_found"


@pytest.mark.parametrize(("plugin_id", "child_id"), [("probe", "echo"), ("probe/echo", None)])
async def test_a_run_gives_its_outputs_flat(api: Bare, client: ClientC, plugin_id: str, child_id: str | None) -> None:
    run = await client.run(plugin_id, child_id, {"text": "slow"}, version="0.0.1", secrets={"key": "x"})
    assert run.result == OUTPUT
    assert run.comments >= 2
    assert all(frame.split("\n")[-1].startswith("data: ") for frame in run.frames), "one FastGPT reads no other lines"
    (asked,) = api.calls.asked
    assert (asked.tool_id, asked.inputs) == ("probe/echo", {"text": "slow"})
    assert asked.system == {"app": {"id": "a", "name": "An app"}, "chat": {"chatId": "c"}, "time": "now"}


async def test_the_stream_says_its_charset(client: ClientC) -> None:
    system = {"app": {"id": "a", "name": "n"}, "chat": {"chatId": "c", "uid": "u"}, "invokeToken": "t", "time": "now"}
    body = {"pluginId": "probe", "childId": "echo", "input": {}, "systemVar": system}
    answer = await client.http.post("/api/tool/runStream", json=body)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache, no-transform"


@pytest.mark.parametrize(
    ("text", "said"),
    [("fail", "the drawing broke"), ("endless", "The tool did not end within 2 s."), ("crash", "Something went wrong")],
)
async def test_what_goes_wrong_is_an_error_in_words(client: ClientC, text: str, said: str) -> None:
    with pytest.raises(Rejected, match=said):
        await client.run("probe", "echo", {"text": text})


@pytest.mark.parametrize(("plugin_id", "child_id"), [("none", "echo"), ("probe", "none"), ("probe", None)])
async def test_an_unknown_tool_is_refused(client: ClientC, plugin_id: str, child_id: str | None) -> None:
    with pytest.raises(Rejected) as rejected:
        await client.run(plugin_id, child_id, {})
    assert rejected.value.reason.code == "plugin.runtime.plugin_not_found"


APP = {"id": "a", "name": "n"}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"systemVar": {}}, "systemVar.app"),
        ({"systemVar": {"app": APP, "chat": {}, "invokeToken": "t", "time": "x"}}, "systemVar.chat.chatId"),
        ({"systemVar": {"app": APP, "chat": {"chatId": "c"}, "time": "x"}}, "systemVar.invokeToken"),
        ({"input": []}, "input"),
        ({"pluginId": ""}, "pluginId"),
        ({"source": 5}, "source"),
    ],
)
async def test_a_bad_run_is_refused_field_by_field(api: Bare, client: ClientC, changes: dict[str, Any], path: str) -> None:
    system = {"app": APP, "chat": {"chatId": "c"}, "invokeToken": "t", "time": "now"}
    body = {"pluginId": "probe", "childId": "echo", "input": {}, "systemVar": system} | changes
    answer = await client.http.post("/api/tool/runStream", json=body)
    error = answer.json()["error"]
    issue = error["data"]["issues"][0]
    assert (answer.status_code, error["code"], issue["path"]) == (400, "http.validation_failed", path.split("."))
    assert not api.calls.asked


@pytest.mark.parametrize("path", ["/api/nothing", "/api/tool/none", "/api/runtime/metrics", "/api/plugins/x"])
async def test_an_unknown_path_is_404(client: ClientC, path: str) -> None:
    answer = await client.http.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "http.not_found")


async def test_a_fault_of_ours_is_500(api: Bare, client: ClientC) -> None:
    api.app.state.parts.models = None
    with pytest.raises(Rejected) as rejected:
        await client.get(list[Any], "/api/models")
    assert rejected.value.reason.code == "http.internal_server_error"


@pytest.mark.parametrize("token", ["", "wrong", "chat"])
@pytest.mark.parametrize("path", PATHS)
async def test_nothing_is_open(api: Bare, path: str, token: str) -> None:
    client = ClientC(api.url, token)
    answer = await client.http.get(path)
    await client.aclose()
    wanted = (403, "http.forbidden") if token == "chat" else (401, "http.unauthorized")
    assert (answer.status_code, answer.json()["error"]["code"]) == wanted


async def test_features_and_administration(client: ClientC) -> None:
    assert await client.get(dict[str, bool], "/api/plugin/features") == {"remoteDebug": False}
    assert len(await client.get(list[Any], "/api/plugin/tags")) == 12
    for path in ("upload", "install", "delete", "prune-disabled", "runtime-config/set", "debug-sessions"):
        answer = await client.http.post(f"/api/plugin/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (501, "http.not_implemented")
