"""Quotas over two API processes at once: exact, told, given back by a kill; and what was used, for those whose it is."""

import asyncio
import csv
import io
import secrets
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import psycopg
import pytest

from core.config import DatabaseSettings
from core.store.access import Tokens
from core.store.base import Store
from core.store.workspaces import Workspaces
from deployments.postgres import EmbeddedPostgres
from tests.api.serving import Served, beside, first_chunk, provider
from tests.databases import installed
from tests.upstream import FakeUpstream
from tests.waiting import eventually

QUOTA, ASKED = 100, 200
SETTINGS = f"""
timezone = "Asia/Shanghai"
[quotas]
chat_rate = "off"
turns_per_day = {QUOTA}
[quotas.workspaces.research]
turns_per_month = 2
tokens_per_day = 100000
[prices."fake/plain"]
input = 2000
output = 1000
currency = "EUR"
"""


IN_BOTH = pytest.mark.parametrize("two", ["database", "valkey"], indirect=True)
IN_DATABASE = pytest.mark.parametrize("two", ["database"], indirect=True)


@pytest.fixture(scope="module")
def two(
    request: pytest.FixtureRequest,
    postgres: EmbeddedPostgres,
    template_database: str,
    standing_upstream: FakeUpstream,
    valkey_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Served, Served]]:
    """Two processes on one database."""
    url = installed(postgres, f"quotas_{secrets.token_hex(4)}", template_database)
    providers = {"fake": provider(standing_upstream.base_url, "plain", "slow-100", "fail-500", "stall-after-3")}
    environment = {"REDIS_URL": f"{valkey_url.removesuffix('/0')}/3"} if request.param == "valkey" else {}
    with ExitStack() as stack, ThreadPoolExecutor(2) as threads:
        apis = []
        for _ in range(2):
            folder = tmp_path_factory.mktemp("quotas")
            apis.append(Served(folder, url, providers, environment=environment, settings=SETTINGS))
            stack.callback(apis[-1].stop)
        apis[0].token = apis[1].token = beside(apis[0].make_token())
        list(threads.map(Served.start, apis))
        yield apis[0], apis[1]


async def token_of(api: Served, workspace: str, *scopes: str) -> str:
    store = Store.from_settings(DatabaseSettings(url=api.database_url))  # type: ignore[arg-type]  # checked there
    try:
        if workspace not in [each.name for each in await Workspaces(store).list()]:
            await Workspaces(store).create(workspace)
        return (await Tokens(store).create(f"of {workspace}", scopes, workspace=workspace))[1]
    finally:
        await store.aclose()


def body(model: str = "plain", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}


@IN_BOTH
async def test_of_two_hundred_turns_at_once_exactly_the_hundred_that_may_are_answered(two: tuple[Served, Served]) -> None:
    async with two[0].client() as first, two[1].client() as second:
        clients = (first, second)
        failed = await first.post("/v1/chat/completions", json=body("fail-500"))
        assert failed.status_code == 503
        answers = await asyncio.gather(
            *(clients[number % 2].post("/v1/chat/completions", json=body()) for number in range(ASKED))
        )
        good = [answer for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert (len(good), len(refused)) == (QUOTA, ASKED - QUOTA), {answer.status_code for answer in answers}
        assert sorted(int(answer.headers["ratelimit-remaining"]) for answer in good) == list(range(QUOTA))
        error = refused[0].json()["error"]
        assert (error["code"], error["type"]) == ("insufficient_quota", "insufficient_quota")
        assert 1 <= int(refused[0].headers["retry-after"]) <= 86400
        assert refused[0].headers["ratelimit-limit"] == str(QUOTA)
        used = (await second.get("/usage")).json()
        assert (used["total"]["turns"], used["total"]["errors"]) == (QUOTA, 1)
        standing = next(each for each in used["quotas"] if each["limit"] == "turns_per_day")
        assert (standing["used"], standing["left"]) == (QUOTA, 0)
        price = used["total"]["promptTokens"] * 0.002 + used["total"]["completionTokens"] * 0.001
        assert used["total"]["cost"] == {"EUR": pytest.approx(price, abs=1e-6)}
        assert used["total"]["promptTokens"] > 0


@IN_DATABASE
async def test_a_kill_in_mid_turn_gives_back_what_the_turn_held(two: tuple[Served, Served]) -> None:
    async with two[1].client() as second:
        limits = {"turns_per_day": QUOTA + 1, "streams": 1}
        assert (await second.put("/admin/quotas", json=limits)).status_code == 200
        async with two[0].client() as first:

            async def let_in() -> bool:
                limits = (await first.get("/admin/quotas")).json()["quotas"][0]["limits"]
                return bool(limits.get("streams", {}).get("value") == 1)

            await eventually(let_in, 10, "the other process sees the limits that were set")
            async with first.stream("POST", "/v1/chat/completions", json=body("stall-after-3", stream=True)) as answer:
                await first_chunk(answer)
                refused = await second.post("/v1/chat/completions", json=body())
                assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
                await asyncio.to_thread(two[0].stop, signal.SIGKILL)

        async def answered() -> bool:
            return bool((await second.post("/v1/chat/completions", json=body())).status_code == 200)

        await eventually(answered, 30, "the killed process's turn and stream are free")
        assert (await second.post("/v1/chat/completions", json=body())).status_code == 429
        assert (await second.delete("/admin/quotas")).status_code == 204
        assert (await second.delete("/admin/quotas")).status_code == 404


@IN_DATABASE
async def test_a_workspace_has_its_own_quota_and_sees_nothing_of_others(two: tuple[Served, Served]) -> None:
    mine = await token_of(two[1], "research", "chat", "read")
    plain = await token_of(two[1], "research", "chat")
    async with httpx.AsyncClient(base_url=two[1].url, timeout=30, trust_env=False) as client:
        as_mine = {"Authorization": f"Bearer {mine}"}
        answers = [(await client.post("/v1/chat/completions", json=body(), headers=as_mine)).status_code for _ in range(3)]
        assert answers == [200, 200, 429]
        used = (await client.get("/usage?by=workspace", headers=as_mine)).json()
        assert [(row["workspace"], row["turns"]) for row in used["rows"]] == [("research", 2)]
        assert {each["workspace"] for each in used["quotas"]} == {"research"}
        for by in ("model", "day", "token", "tool"):
            found = (await client.get(f"/usage?by={by}", headers=as_mine)).json()
            assert found["total"]["turns"] == (0 if by == "tool" else 2)
        assert (await client.get("/usage?workspace=default", headers=as_mine)).status_code == 403
        assert (await client.get("/usage", headers=as_mine | {"X-Workspace": "default"})).status_code == 403
        assert (await client.get("/usage", headers={"Authorization": f"Bearer {plain}"})).status_code == 403
        assert (await client.get("/admin/quotas", headers=as_mine)).status_code == 403
        assert (await client.get("/usage?by=nobody", headers=as_mine)).status_code == 422
        assert (await client.get("/usage?from=2026-13-01", headers=as_mine)).status_code == 422

        everything = two[1].headers
        lines = await client.get("/usage?by=workspace&format=csv", headers=everything)
        rows = list(csv.DictReader(io.StringIO(lines.text)))
        assert [(row["workspace"], row["turns"]) for row in rows] == [("default", str(QUOTA + 1)), ("research", "2")]
        assert float(rows[1]["cost_EUR"]) > 0
        assert lines.headers["content-type"].startswith("text/csv")


@IN_DATABASE
async def test_the_page_shows_what_was_used_and_what_is_left(two: tuple[Served, Served]) -> None:
    async with two[1].client() as client:
        page = await client.get("/usage?lang=zh", headers={"Accept": "text/html"})
        assert page.status_code == 200
        assert page.text.count("data:image/svg+xml;base64,") >= 4, "charts, in both themes"
        for words in ("用量", "research", "fake/plain", "每日对话轮数"):
            assert words in page.text
        assert "script-src" not in page.headers["content-security-policy"]


@IN_DATABASE
async def test_limits_are_checked_and_say_where_they_come_from(two: tuple[Served, Served]) -> None:
    async with two[1].client() as client:
        for wrong, field in (({"turns_per_day": -1}, "turns_per_day"), ({"beer_per_day": 1}, "beer_per_day")):
            answer = await client.put("/admin/quotas/workspace/research", json=wrong)
            assert (answer.status_code, answer.json()["field"]) == (422, field)
        assert (await client.put("/admin/quotas/workspace/nowhere", json={})).status_code == 404
        assert (await client.put("/admin/quotas/token/x", json={"storage_bytes": 1})).status_code == 422
        made = await client.put("/admin/quotas/workspace/research", json={"turns_per_month": "off", "streams": 3})
        limits = made.json()["limits"]
        assert limits["turns_per_month"] == {"value": "off", "origin": "admin"}
        assert limits["tokens_per_day"] == {"value": 100000, "origin": "file"}
        assert limits["turns_per_day"] == {"value": QUOTA, "origin": "file"}
        assert limits["chat_rate"] == {"value": "off", "origin": "file"}


@IN_DATABASE
async def test_every_line_of_the_ledger_is_of_one_turn(two: tuple[Served, Served]) -> None:
    def asked() -> tuple[int, int]:
        with psycopg.connect(two[1].database_url) as connection:
            turns = "SELECT count(*) FROM pilothouse.turns WHERE finished_at IS NOT NULL"
            row = connection.execute(f"SELECT (SELECT count(*) FROM pilothouse.usage), ({turns})".encode()).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])

    lines, turns = await asyncio.to_thread(asked)
    assert lines == turns
