"""Rates of chat turns: exact over two API processes at once, told in headers, and not for administrators."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.api.conftest import Serve
from tests.api.serving import Chat, Served, beside, provider
from tests.upstream import FakeUpstream
from tests.waiting import eventually

LIMIT = 20


@pytest.fixture
def two(serve: Serve, standing_upstream: FakeUpstream, valkey_url: str) -> tuple[Served, Served]:
    """Two processes on one database, for callers with a token of scope ``chat``."""
    more: dict[str, Any] = {
        "providers": {"fake": provider(standing_upstream.base_url)},
        "environment": {"REDIS_URL": valkey_url},
        "settings": f'[quotas]\nchat_rate = "{LIMIT}/3"',
    }
    first = serve(**more)
    return first, serve(**more, token=first.token)


async def test_of_many_at_once_exactly_as_many_as_may_are_answered(two: tuple[Served, Served]) -> None:
    first, second = two
    token = beside(first.make_token("chat"))
    async with first.client() as administrator:
        chats = [(await Chat(administrator).open()).id for _ in range(2 * LIMIT)]

    async def ask(number: int) -> httpx.Response:
        api = two[number % 2]
        async with httpx.AsyncClient(
            base_url=api.url, timeout=30, trust_env=False, headers={"Authorization": f"Bearer {token}"}
        ) as client:
            return await Chat(client, chats[number]).ask()

    answers = await asyncio.gather(*(ask(number) for number in range(2 * LIMIT)))
    good = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert (len(good), len(refused)) == (LIMIT, LIMIT)
    assert sorted(int(answer.headers["ratelimit-remaining"]) for answer in good) == list(range(LIMIT))
    assert {answer.headers["ratelimit-limit"] for answer in answers} == {str(LIMIT)}
    assert {answer.json()["code"] for answer in refused} == {"rate_exceeded"}
    assert all(1 <= int(answer.headers["retry-after"]) <= 3 for answer in refused)

    async def again() -> bool:
        return (await ask(0)).status_code == 200

    await eventually(again, 10, "the next window lets it in")
    async with second.client() as administrator:
        for chat in chats[: LIMIT + 2]:
            answer = await Chat(administrator, chat).ask()
            assert (answer.status_code, "ratelimit-limit" in answer.headers) == (200, False)
