"""FastGPT's chart tool through the whole service: real drawing, real runs, files that can be fetched."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from tests.api.conftest import Serve
from tests.api.fastgpt.sdk_clients import AnyModel, ClientA, ClientB, ClientC, Detail, Plugin, Rejected, Unanswered
from tests.api.serving import Served, provider
from tests.upstream import FakeUpstream
from tests.waiting import eventually

CHART = "drawing/baseChart"
ARRAY = {"valueType": "arrayString", "required": True, "renderTypeList": ["input", "reference"]}
INTRO = {
    "en": "BI Charts, can generate some common charts, such as pie charts, bar charts, line charts, etc.",
    "zh-CN": "BI图表功能，可以生成一些常用的图表，如饼图，柱状图，折线图等",
}


@pytest.fixture
async def client(served: Served) -> AsyncGenerator[ClientA, None]:
    client = ClientA(served.url, served.token)
    yield client
    await client.aclose()


async def drawn(client: ClientA, **inputs: Any) -> str:
    """The picture of a run, which needs no token."""
    output = (await client.run(CHART, inputs)).result["output"]
    assert output.keys() == {"chartUrl", "图表 url"}
    assert output["chartUrl"] == output["图表 url"]
    async with httpx.AsyncClient(trust_env=False) as http:
        picture = await http.get(output["chartUrl"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/svg+xml")
    return picture.text


async def failed(client: ClientA, **inputs: Any) -> str:
    result = (await client.run(CHART, inputs)).result
    assert result.keys() == {"error"}
    said: str = result["error"]
    return said


async def test_the_toolset_and_its_chart_as_fastgpt_lists_them(client: ClientA) -> None:
    items = {item["id"]: item for item in await client.get("/tool/list")}
    assert [item_id for item_id in items if "-" in item_id] == [], "FastGPT splits ids there"
    toolset, chart = items["drawing"], items[CHART]
    assert toolset["name"] == {"en": "BI Charts", "zh-CN": "BI图表功能"}
    assert toolset["intro"] == toolset["description"] == INTRO
    assert (toolset["avatar"], toolset["templateType"], toolset["isActive"]) == ("core/workflow/template/BI", "tools", True)
    assert toolset["versionList"] == []
    assert chart["parentId"] == "drawing"
    assert chart["name"] == {"en": "baseChart", "zh-CN": "基础图表"}
    assert chart["version"] == "11ee23b8"
    (version,) = chart["versionList"]
    assert version["value"] == "0.1.1"
    fields = {field["key"]: field for field in version["inputs"]}
    assert list(fields) == ["title", "xAxis", "yAxis", "chartType"]
    assert all(field["label"] == key and field["description"] == field["toolDescription"] for key, field in fields.items())
    assert fields["title"] | {"valueType": "string", "required": False} == fields["title"]
    assert fields["xAxis"] | ARRAY | {"toolDescription": 'x轴数据，例如：["A", "B", "C"]'} == fields["xAxis"]
    assert fields["yAxis"] | ARRAY | {"toolDescription": "y轴数据，例如：[1,2,3]"} == fields["yAxis"]
    assert fields["chartType"]["renderTypeList"] == ["select", "reference"]
    assert fields["chartType"]["list"] == [{"label": kind, "value": kind} for kind in ("折线图", "柱状图", "饼图")]
    assert version["outputs"] == [
        {
            "id": "chartUrl",
            "key": "chartUrl",
            "type": "static",
            "valueType": "string",
            "label": "图表 url",
            "description": "可用使用markdown格式展示图片，如：![图片](url)",
            "defaultValue": "",
            "required": False,
        }
    ]


async def test_the_six_calls(client: ClientA) -> None:
    bars = await drawn(client, title="销量", xAxis=["A", "B", "C"], yAxis=[1, 2, 3], chartType="柱状图")
    assert bars.startswith("<svg")
    assert 'width="400' in bars
    lines = '["周一","周二","周三"]'
    assert await drawn(client, title="销量", xAxis=lines, yAxis="[23,35,28]", chartType="折线图")
    assert await drawn(client, xAxis="['a','b',]", yAxis="[1,2,]", chartType="折线图")
    assert await drawn(client, xAxis=["甲", "乙"], yAxis=["30", "70"], chartType="饼图")
    assert await drawn(client, xAxis=["A"], yAxis=[1], chartType="bar")
    assert "chartType" in await failed(client, xAxis=["A"], yAxis=[1], chartType="spiral")
    assert "yAxis" in await failed(client, title="t", xAxis=["A"], chartType="柱状图")
    assert "title" in await failed(client, title=5, xAxis=["A"], yAxis=[1], chartType="柱状图")
    assert "xAxis" in await failed(client, xAxis="A,B,C", yAxis="x,y,z", chartType="柱状图")
    assert "xAxis" in await failed(client, xAxis=[None], yAxis=[1], chartType="柱状图")


async def test_newer_fastgpts_draw_the_same(served: Served) -> None:
    inputs = {"xAxis": ["A"], "yAxis": [1], "chartType": "柱状图"}
    b, c = ClientB(served.url, served.token), ClientC(served.url, served.token)
    assert (await b.run(CHART, inputs)).result["output"]["chartUrl"].startswith("http")
    assert (await c.run("drawing", "baseChart", inputs)).result["chartUrl"].startswith("http")
    with pytest.raises(Rejected, match="chartType"):
        await b.run(CHART, inputs | {"chartType": "x"})
    with pytest.raises(Rejected, match="chartType"):
        await c.run("drawing", "baseChart", inputs | {"chartType": "x"})
    detail = await c.get(Detail, "/api/tool", pluginId="drawing", version="0.0.1", fallbackLatestVersion="true")
    (chart,) = [child for child in detail.children if child.id == "baseChart"]
    assert chart.input_schema["required"] == ["xAxis", "yAxis", "chartType"]
    assert list(chart.output_schema["properties"]) == ["chartUrl"]
    await b.aclose()
    await c.aclose()


async def test_a_hundred_charts_at_once(client: ClientA) -> None:
    runs = [client.run(CHART, {"xAxis": ["A"], "yAxis": [number], "chartType": "bar"}) for number in range(100)]
    results = [run.result for run in await asyncio.gather(*runs)]
    assert all(result.keys() == {"output"} for result in results), [result for result in results if "error" in result][:1]
    assert len({result["output"]["chartUrl"] for result in results}) == 100


async def test_the_same_request_again_joins_the_run(served: Served, client: ClientA) -> None:
    """As SDKs of generation A send it when their connection breaks."""
    body = {"toolId": CHART, "inputs": {"xAxis": ["again"], "yAxis": [7], "chartType": "bar"}, "systemVar": {"time": "t"}}
    async with client.http.stream("POST", "/tool/runstream", json=body) as response:
        assert response.status_code == 200
    runs = [await client.run(CHART, body["inputs"], system=body["systemVar"]) for _ in range(3)]
    assert len({run.result["output"]["chartUrl"] for run in runs}) == 1


async def test_auth_token_opens_without_a_database_and_all_works_without_prefect(
    serve: Serve, standing_upstream: FakeUpstream
) -> None:
    api = serve(
        providers={"fake": provider(standing_upstream.base_url, "plain")},
        environment={"AUTH_TOKEN": "a-token-of-fastgpt", "PILOTHOUSE_FASTGPT_GENERATION": "c"},
    )
    first, third = ClientA(api.url, "a-token-of-fastgpt"), ClientC(api.url, "a-token-of-fastgpt")
    assert [item["model"] for item in await first.get("/model/list")] == ["plain"]
    assert await drawn(first, xAxis=["A"], yAxis=[1], chartType="饼图")
    assert "drawing" in [plugin.plugin_id for plugin in await third.get(list[Plugin], "/api/tools")]
    assert [model.name for model in await third.get(list[AnyModel], "/api/models")] == ["plain"]
    answer = await first.http.get("/flows")
    assert answer.status_code == 401, "the token is FastGPT's alone"
    await first.aclose()
    await third.aclose()


async def test_a_server_told_to_stop_ends_its_streams(serve: Serve, standing_upstream: FakeUpstream) -> None:
    api = serve(providers={"fake": provider(standing_upstream.base_url, "plain")})
    client = ClientA(api.url, api.token)
    await drawn(client, xAxis=["A"], yAxis=[1], chartType="bar")
    rows = [str(number) for number in range(200)]
    runs = [
        asyncio.create_task(client.run(CHART, {"xAxis": rows, "yAxis": rows, "title": str(number), "chartType": "bar"}))
        for number in range(40)
    ]

    async def begun() -> bool:
        return b"/tool/runstream" in api.log.read_bytes()

    await eventually(begun, what="a run ended")
    code = await asyncio.to_thread(api.stop)
    assert code == 0
    for run in await asyncio.gather(*runs, return_exceptions=True):
        assert not isinstance(run, BaseException) or isinstance(run, Unanswered), "no stream just ends"
    await client.aclose()
