"""Generation A, as FastGPT 4.10 to 4.14 speak it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from core.errors import DatabaseUnavailable
from tests.api.fastgpt.app import Bare, ByScope
from tests.api.fastgpt.conftest import OUTPUT
from tests.api.fastgpt.sdk_clients import ClientA, Rejected
from tests.waiting import eventually

ECHO = "probe/echo"
PATHS = ["/tool/list", "/tool/get", "/tool/getType", "/tool/getTags", "/workflow/list", "/tool/upload/getUploadURL"]


@pytest.fixture
async def client(api: Bare) -> AsyncGenerator[ClientA, None]:
    client = ClientA(api.url, "plugin")
    yield client
    await client.aclose()


async def test_the_list_holds_each_toolset_before_its_tools(client: ClientA) -> None:
    items = await client.get("/tool/list")
    assert [item["id"] for item in items] == ["probe", "probe/echo", "probe/later", "vacant"]
    assert [item.get("parentId") for item in items] == [None, "probe", "probe", None]
    assert [(item["pluginOrder"], item["weight"]) for item in items] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert [item["versionList"] == [] for item in items] == [True, False, False, True]
    assert [item["templateType"] for item in items] == ["search", "search", "search", "other"]


async def test_an_item_has_the_keys_of_every_release(client: ClientA) -> None:
    item = await client.get("/tool/get", toolId='"probe/later"')
    assert item == {
        "id": "probe/later",
        "toolId": "probe/later",
        "parentId": "probe",
        "name": {"en": "Later", "zh-CN": "稍后"},
        "intro": {"en": "Newer", "zh-CN": "更新"},
        "description": {"en": "Newer", "zh-CN": "更新"},
        "toolDescription": "Newer",
        "avatar": "/imgs/tools/probe.svg",
        "icon": "/imgs/tools/probe.svg",
        "templateType": "search",
        "type": "search",
        "tags": ["search", "tools"],
        "toolSource": "built-in",
        "isActive": True,
        "pluginOrder": 0,
        "weight": 0,
        "originCost": 0,
        "currentCost": 0,
        "hasTokenFee": False,
        "version": "11ee23b8",
        "versionList": [
            {
                "value": "0.1.1",
                "inputs": [
                    {
                        "key": "x",
                        "label": "x",
                        "renderTypeList": ["numberInput", "reference"],
                        "valueType": "number",
                        "description": "x",
                        "toolDescription": "x",
                        "required": True,
                    }
                ],
                "outputs": [
                    {
                        "id": "chartUrl",
                        "key": "chartUrl",
                        "type": "static",
                        "valueType": "string",
                        "label": "图表 url",
                        "description": "图片的地址",
                        "defaultValue": "",
                        "required": False,
                    }
                ],
            }
        ],
    }


async def test_fields_are_drawn_by_their_types(client: ClientA) -> None:
    (version,) = (await client.get("/tool/get", toolId=ECHO))["versionList"]
    drawn = {each["key"]: (each["valueType"], each["renderTypeList"]) for each in version["inputs"]}
    assert drawn == {
        "text": ("string", ["input", "reference"]),
        "choice": ("string", ["select", "reference"]),
        "essay": ("string", ["textarea", "reference"]),
        "number": ("number", ["numberInput", "reference"]),
        "whole": ("number", ["numberInput", "reference"]),
        "flag": ("boolean", ["switch", "reference"]),
        "names": ("arrayString", ["JSONEditor", "reference"]),
        "values": ("arrayNumber", ["input", "reference"]),
        "flags": ("arrayBoolean", ["JSONEditor", "reference"]),
        "points": ("arrayObject", ["JSONEditor", "reference"]),
        "point": ("object", ["JSONEditor", "reference"]),
        "mapping": ("object", ["JSONEditor", "reference"]),
    }
    fields = {each["key"]: each for each in version["inputs"]}
    assert {key for key, each in fields.items() if each["required"]} == {"text"}
    assert (fields["text"]["description"], fields["text"]["toolDescription"], fields["text"]["maxLength"]) == ("文本", "文本", 80)
    assert fields["choice"]["list"] == [{"label": "折线图", "value": "折线图"}, {"label": "bar", "value": "bar"}]
    assert fields["choice"]["defaultValue"] == "bar"
    assert (fields["number"]["min"], fields["number"]["max"], fields["number"]["defaultValue"]) == (0, 9.5, 3)


async def test_hashes_are_those_of_upstream(client: ClientA) -> None:
    items = {item["id"]: item["version"] for item in await client.get("/tool/list")}
    assert (items["probe/echo"], items["probe/later"]) == ("6ad9613a", "11ee23b8")
    assert items["probe"] != items["vacant"]


@pytest.mark.parametrize(
    ("query", "received", "message"),
    [
        ({}, "undefined", "Required"),
        ({"toolId": "123"}, "number", "Expected string, received number"),
        ({"toolId": "true"}, "boolean", "Expected string, received boolean"),
        ({"toolId": "null"}, "null", "Expected string, received null"),
        ({"toolId": "[]"}, "array", "Expected string, received array"),
        ({"toolId": "{}"}, "object", "Expected string, received object"),
    ],
)
async def test_an_id_that_is_no_text_is_refused_as_upstream_does(
    client: ClientA, query: dict[str, str], received: str, message: str
) -> None:
    answer = await client.http.get("/tool/get", params=query)
    assert answer.status_code == 400
    issue = {"code": "invalid_type", "expected": "string", "received": received, "path": ["toolId"], "message": message}
    assert answer.json() == {"issues": [issue], "name": "ZodError"}


@pytest.mark.parametrize("tool_id", ["nothing", "probe/none", '"nothing"', "probe/", ""])
async def test_an_unknown_id_is_not_found(client: ClientA, tool_id: str) -> None:
    answer = await client.http.get("/tool/get", params={"toolId": tool_id})
    assert (answer.status_code, answer.json()) == (404, {"error": "Tool not found"})


async def test_categories_and_templates(client: ClientA) -> None:
    types, tags = await client.get("/tool/getType"), await client.get("/tool/getTags")
    assert [each["type"] for each in types] == [each["id"] for each in tags]
    assert len(tags) == 12
    assert all(each["name"].keys() == {"en", "zh-CN", "zh-Hant"} for each in (*types, *tags))
    assert await client.get("/workflow/list") == []


async def test_a_run_is_one_frame_of_utf_8(api: Bare, client: ClientA) -> None:
    body = {"toolId": ECHO, "inputs": {"text": "销量"}, "systemVar": {"user": {"id": "u"}, "time": "now", "invokeToken": "s"}}
    response = await client.http.post("/tool/runstream", json=body)
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["connection"] == "keep-alive"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["access-control-allow-headers"] == "Cache-Control"
    assert response.headers["transfer-encoding"] == "chunked"
    wanted = '{"type":"response","data":{"output":{"chartUrl":"http://h/图.svg","图表 url":"http://h/图.svg"}}}'
    assert response.text == f"data: {wanted}\n\n"
    (asked,) = api.calls.asked
    assert (asked.tool_id, asked.inputs, asked.source, asked.token_id) == (ECHO, {"text": "销量"}, "fastgpt", "t1")
    assert asked.system == {"user": {"id": "u"}, "time": "now"}


async def test_comments_keep_a_long_run_alive(client: ClientA) -> None:
    run = await client.run(ECHO, {"text": "slow"})
    assert run.result == {"output": OUTPUT}
    assert run.comments >= 2


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"text": "fail"}, "the drawing broke"),
        ({"text": "away"}, "The store cannot be reached."),
        ({"text": "wrong"}, "yAxis: Field required"),
        ({"text": "endless"}, "The tool did not end within 2 s."),
        (None, "inputs: expected an object with the tool's inputs by name."),
        ("text", "inputs: expected an object with the tool's inputs by name."),
        ([], "inputs: expected an object with the tool's inputs by name."),
    ],
)
async def test_what_goes_wrong_in_a_tool_is_a_response(client: ClientA, inputs: Any, said: str) -> None:
    assert (await client.run(ECHO, inputs)).result == {"error": said}


async def test_what_goes_wrong_in_us_is_an_error_without_details(client: ClientA) -> None:
    with pytest.raises(Rejected) as rejected:
        await client.run(ECHO, {"text": "crash"})
    assert "log" in rejected.value.reason
    assert "secret" not in rejected.value.reason


async def test_an_output_that_is_no_unicode_still_makes_a_frame(client: ClientA) -> None:
    run = await client.run(ECHO, {"text": "odd"})
    assert run.result["output"]["chartUrl"].startswith("half ")


async def test_a_toolset_gives_nothing(api: Bare, client: ClientA) -> None:
    run = await client.run("probe", {})
    assert run.result == {}
    assert not api.calls.asked


@pytest.mark.parametrize("tool_id", ["nothing", "probe/none", "", 5, None, ["probe/echo"], {}])
async def test_an_unknown_tool_is_not_run(client: ClientA, tool_id: Any) -> None:
    with pytest.raises(Rejected) as rejected:
        await client.run(tool_id, {})
    assert rejected.value.reason == {"error": "tool not found"}


async def test_the_first_releases_run_without_a_stream(client: ClientA) -> None:
    async def run(tool_id: str, **inputs: Any) -> tuple[int, Any]:
        answer = await client.http.post("/tool/run", json={"toolId": tool_id, "inputs": inputs})
        return answer.status_code, answer.json()

    assert await run(ECHO, text="x") == (200, {"output": OUTPUT})
    assert await run(ECHO, text="fail") == (500, {"error": "the drawing broke"})
    assert await run("nothing") == (404, {"error": "tool not found"})


@pytest.mark.parametrize("token", ["", "wrong", "chat", "read"])
@pytest.mark.parametrize("path", PATHS)
async def test_nothing_is_open(api: Bare, path: str, token: str) -> None:
    client = ClientA(api.url, token)
    answer = await client.http.get(path)
    await client.aclose()
    assert answer.status_code == (403 if token in {"chat", "read"} else 401)
    assert answer.json().keys() == {"message", "error"}
    if answer.status_code == 401:
        assert answer.json()["message"] == "Invalid token"


async def test_both_headers_and_three_scopes_open(api: Bare) -> None:
    async with httpx.AsyncClient(base_url=api.url, trust_env=False) as http:
        for scope in ("plugin", "tools", "admin"):
            for headers in ({"authtoken": scope}, {"Authorization": f"Bearer {scope}"}):
                assert (await http.get("/tool/list", headers=headers)).status_code == 200
        assert (await http.get("/tool/list?authtoken=plugin")).status_code == 401


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (b"", 400), (b"[]", 400), (b'{"toolId": "\xff"}', 400), (b" " * 3_000_000, 413)],
)
async def test_a_body_that_cannot_be_read_is_told_in_json(client: ClientA, content: bytes, status: int) -> None:
    answer = await client.http.post("/tool/runstream", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json().keys() == {"message", "error"}
    assert answer.json()["error"]


async def test_a_database_that_is_away_is_told_in_json_too(api: Bare, client: ClientA, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(self: ByScope, plaintext: str) -> None:
        raise DatabaseUnavailable("The database cannot be reached.", retry_after=2)

    monkeypatch.setattr(ByScope, "verify", away)
    for path in ("/tool/list", "/model/list"):
        answer = await client.http.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert answer.json() == {"message": "The database cannot be reached.", "error": "The database cannot be reached."}
    newer = await client.http.get("/api/models")
    assert (newer.status_code, newer.json()["code"], newer.json()["error"]["code"]) == (503, 503, "http.database_unavailable")


async def test_the_description_is_where_upstream_has_it(client: ClientA) -> None:
    answer = await client.http.get("/openapi", headers={"authtoken": ""})
    assert (answer.status_code, answer.headers["location"]) == (307, "docs")


async def test_uploads_are_declined_in_words(client: ClientA) -> None:
    for method, path in (("POST", "confirmUpload"), ("DELETE", "delete?toolId=x"), ("POST", "install")):
        answer = await client.http.request(method, f"/tool/upload/{path}", json={} if method == "POST" else None)
        assert (answer.status_code, "no uploaded plugins" in answer.json()["error"]) == (501, True)


async def test_a_reader_who_leaves_loses_nothing_but_the_answer(api: Bare, client: ClientA) -> None:
    body = {"toolId": ECHO, "inputs": {"text": "slow"}}
    async with client.http.stream("POST", "/tool/runstream", json=body) as response:
        assert response.status_code == 200
    assert api.calls.ended == 0
    await eventually(lambda: api.calls.ended == 1, what="the run ended without its reader")


async def test_a_hundred_runs_at_once(client: ClientA) -> None:
    runs = await asyncio.gather(*(client.run(ECHO, {"text": str(number)}) for number in range(100)))
    assert [run.result for run in runs] == [{"output": OUTPUT}] * 100


async def test_a_server_that_stops_ends_every_stream(api: Bare, client: ClientA) -> None:
    runs = [asyncio.create_task(client.run(ECHO, {"text": text})) for text in ("endless", "slow", "endless")]
    await eventually(lambda: len(api.calls.asked) == 3, what="all run")
    await api.app.state.fastgpt.runs.aclose(0.8)
    first, slow, second = [(await run).result for run in runs]
    assert slow == {"output": OUTPUT}
    assert first == second == {"error": "The server was stopped while the tool ran; run it again."}
    assert (await client.run(ECHO, {"text": "endless"})).result == first
