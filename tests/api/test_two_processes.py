"""Two API processes on one Valkey and one database: whichever is asked, a turn can be followed, resumed and cancelled.

And rates of turns hold over both, are told in headers, and are not for administrators.
"""

import asyncio
import signal
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from deployments.postgres import EmbeddedPostgres
from tests.api.serving import Chat, Event, Served, beside, events, first_chunk, launched, provider, text_of
from tests.upstream import FakeUpstream
from tests.upstream.behaviours import text_of as said_by
from tests.waiting import eventually

LIMIT = 20
MODELS = ("plain", "echo", "slow-20", "slow-100", "stall-after-3", "refuse-401", "cut-after-5")


def another(first: Served, folder: str) -> Served:
    """One more process on the engines of the first."""
    (where := first.folder / folder).mkdir()
    more: dict[str, Any] = {"environment": first.environment, "settings": first.settings}
    return Served(where, first.database_url, first.providers, token=first.token, **more)


@pytest.fixture(scope="module")
def processes(
    postgres: EmbeddedPostgres,
    template_database: str,
    valkey_url: str,
    standing_upstream: FakeUpstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Served, Served]]:
    providers = {"fake": provider(standing_upstream.base_url, *MODELS)}
    folder = tmp_path_factory.mktemp("two")
    more: dict[str, Any] = {"environment": {"REDIS_URL": valkey_url}, "settings": f'[quotas]\nchat_rate = "{LIMIT}/3"'}
    with launched(postgres, template_database, folder, providers, **more) as one:
        two = another(one, "two").start()
        yield one, two
        assert two.stop() == 0


@dataclass
class Pair:
    """One session, spoken to through either process."""

    a: Chat
    b: Chat

    async def follow(self, turn_id: str, after: int = 0) -> list[Event]:
        """The turn as B tells it."""
        path = f"/chat/{self.b.id}/turns/{turn_id}/events"
        async with self.b.client.stream("GET", path, headers={"Last-Event-ID": str(after)}) as response:
            assert response.status_code == 200
            return [event async for event in events(response)]


@pytest.fixture
async def pair(processes: tuple[Served, Served]) -> AsyncGenerator[Pair, None]:
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(process.client()) for process in processes]
        a = await Chat(one).open()
        yield Pair(a, Chat(two, a.id))


async def test_a_turn_is_followed_from_the_other_process(pair: Pair) -> None:
    async with pair.a.client.stream("POST", f"/chat/{pair.a.id}", json=pair.a.body("hello", "slow-20")) as response:
        followed = asyncio.create_task(pair.follow(response.headers["x-turn-id"]))
        own = [event async for event in events(response)]
    assert text_of(own) == said_by()
    assert await followed == own


async def test_many_readers_at_both_see_the_same(pair: Pair) -> None:
    async with pair.a.client.stream("POST", f"/chat/{pair.a.id}", json=pair.a.body("hello", "slow-20")) as response:
        turn_id = response.headers["x-turn-id"]
        streams = await asyncio.gather(*(pair.follow(turn_id) for _ in range(10)))
        own = [event async for event in events(response)]
    assert all(stream == own for stream in streams)


async def test_a_reader_who_left_one_goes_on_at_the_other(pair: Pair) -> None:
    async with pair.a.client.stream("POST", f"/chat/{pair.a.id}", json=pair.a.body("hello", "slow-20")) as response:
        turn_id = response.headers["x-turn-id"]
        stream = events(response)
        seen = [await anext(stream) for _ in range(5)]
    rest = await pair.follow(turn_id, after=5)
    assert [event.id for event in rest[:-1]] == list(range(6, 6 + len(rest) - 1))
    assert text_of(seen + rest) == said_by()
    assert await pair.follow(turn_id, after=5) == rest, "the same once more, from what is kept"


async def test_a_turn_is_cancelled_from_the_other_process(pair: Pair, standing_upstream: FakeUpstream) -> None:
    async with pair.a.client.stream("POST", f"/chat/{pair.a.id}", json=pair.a.body("hello", "stall-after-3")) as response:
        turn_id = response.headers["x-turn-id"]
        rest = await first_chunk(response)
        assert (await pair.b.client.post(f"/chat/{pair.b.id}/turns/{turn_id}/cancel")).status_code == 202
        tail = [event async for event in rest]
    assert [event.data["error"]["code"] for event in tail if event.name == "error"] == ["cancelled"]
    assert tail[-1].data == "[DONE]"
    assert (await pair.b.turn(turn_id))["status"] == "cancelled"
    assert (await pair.b.history())[-1]["content"] == said_by(3)
    await eventually(lambda: "stall-after-3" in standing_upstream.disconnects, what="the upstream sees the call end")


async def test_turns_of_one_session_run_one_after_another_wherever_they_are_asked(pair: Pair) -> None:
    answers = await asyncio.gather(*(chat.ask(f"question {n}", "echo") for n, chat in enumerate([pair.a, pair.b] * 2)))
    counts = sorted(int(answer.json()["message"]["content"].split()[0]) for answer in answers)
    assert counts == [1, 3, 5, 7]
    assert [message["role"] for message in await pair.b.history()] == ["user", "assistant"] * 4


async def test_a_turn_waits_for_one_of_the_other_process(pair: Pair) -> None:
    async with pair.a.client.stream("POST", f"/chat/{pair.a.id}", json=pair.a.body("first", "slow-20")) as response:
        await first_chunk(response)
        answer = await pair.b.ask("second", "echo")
    assert answer.json()["message"]["content"] == "3 messages, the last: second"


async def test_the_queue_of_a_session_is_one_for_all_processes(pair: Pair) -> None:
    responses = await asyncio.gather(*(chat.ask("hello", "slow-20") for chat in [pair.a, pair.b] * 5))
    assert sorted(response.status_code for response in responses) == [200] * 5 + [409] * 5


async def test_an_idempotency_key_asks_once_wherever_it_comes(pair: Pair) -> None:
    body, key = pair.a.body("hello", "slow-20", stream=False), {"Idempotency-Key": "abc"}
    first, second = await asyncio.gather(
        *(chat.client.post(f"/chat/{chat.id}", json=body, headers=key) for chat in (pair.a, pair.b))
    )
    assert first.json() == second.json()
    assert len(await pair.a.history()) == 2


@pytest.mark.parametrize(("model", "code"), [("refuse-401", "provider_failed"), ("cut-after-5", "turn_interrupted")])
async def test_failures_are_told_at_the_other_process_too(pair: Pair, model: str, code: str) -> None:
    await pair.a.ask("hello", model)
    turn_id = (await pair.a.history())[0]["turnId"]
    stream = await pair.follow(turn_id)
    assert [event.data["error"]["code"] for event in stream if event.name == "error"] == [code]
    assert stream[-1].data == "[DONE]"


async def test_a_killed_process_leaves_no_reader_hanging(processes: tuple[Served, Served], pair: Pair) -> None:
    third = await asyncio.to_thread(another(processes[0], "third").start)
    async with third.client() as client:
        doomed = Chat(client, pair.a.id)
        async with client.stream("POST", f"/chat/{doomed.id}", json=doomed.body("hello", "stall-after-3")) as response:
            turn_id = response.headers["x-turn-id"]
            await first_chunk(response)
            path = f"/chat/{pair.b.id}/turns/{turn_id}/events"
            async with pair.b.client.stream("GET", path) as other:
                rest = await first_chunk(other)
                began = time.monotonic()
                await asyncio.to_thread(third.stop, signal.SIGKILL)
                tail = [event async for event in rest]
    assert time.monotonic() - began < 20
    assert [event.data["error"]["code"] for event in tail if event.name == "error"] == ["turn_interrupted"]
    assert tail[-1].data == "[DONE]"
    assert (await pair.b.turn(turn_id))["status"] == "interrupted"
    assert (await pair.b.ask("next", "echo")).status_code == 200


async def test_of_many_turns_at_once_exactly_as_many_as_may_are_answered(processes: tuple[Served, Served]) -> None:
    first, second = processes
    token = beside(first.make_token("chat"))
    async with first.client() as administrator:
        chats = [(await Chat(administrator).open()).id for _ in range(2 * LIMIT)]

    async def ask(number: int) -> httpx.Response:
        api = processes[number % 2]
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
