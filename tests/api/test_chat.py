"""The chat service's paths against a real database, a real Prefect server and an upstream that checks what it is sent."""

import asyncio
from typing import Any

import pytest

from tests.api.serving import Chat, Served, events, first_chunk, text_of
from tests.upstream import FakeUpstream
from tests.upstream.behaviours import text_of as said_by
from tests.waiting import eventually

DEEP: list[Any] = []
for _ in range(300):
    DEEP = [DEEP]


async def test_an_answer_streams_is_kept_and_tracked(chat: Chat) -> None:
    headers, stream = await chat.stream("hello")
    assert headers["content-type"].startswith("text/event-stream")
    assert text_of(stream) == said_by()
    numbered = [event.id for event in stream if event.data != "[DONE]"]
    assert numbered == list(range(1, len(numbered) + 1))
    assert stream[-1].data == "[DONE]"

    user, assistant = await chat.history()
    assert (user["role"], user["content"]) == ("user", "hello")
    assert (assistant["role"], assistant["content"], assistant["status"]) == ("assistant", said_by(), "done")
    turn_id = headers["x-turn-id"]

    async def tracked() -> bool | None:
        found: bool | None = (await chat.turn(turn_id))["tracked"]
        return found

    assert await eventually(tracked, 20, "the turn's run is seen in Prefect")
    turn = await chat.turn(turn_id)
    assert turn["usage"]["completion_tokens"] > 0
    assert (turn["status"], turn["finishReason"], turn["provider"]) == ("done", "stop", "fake")
    assert turn["flowRunId"]
    assert turn["taskRunId"]


async def test_an_answer_in_one_piece(chat: Chat) -> None:
    answer = (await chat.ask("hello", "echo")).json()
    assert answer["message"] == {"role": "assistant", "content": "1 messages, the last: hello"}
    assert answer["finishReason"] == "stop"
    assert set(answer) == {"turnId", "message", "usage", "finishReason"}
    again = (await chat.ask("and now", "echo")).json()
    assert again["message"]["content"] == "3 messages, the last: and now", "the history was sent along"


async def test_the_sessions_system_prompt_and_model_are_used(served: Served) -> None:
    async with served.client() as client:
        chat = await Chat(client).open(system="Be brief.", model="echo", title="A title")
        assert (await chat.ask("hi", None)).json()["message"]["content"] == "2 messages, the last: hi"
        listed = (await client.get("/chat/sessions", params={"limit": 1})).json()["sessions"][0]
        assert (listed["sessionId"], listed["title"], listed["system"]) == (chat.id, "A title", "Be brief.")


async def test_detail_tells_of_usage_and_the_turn(chat: Chat) -> None:
    _, stream = await chat.stream("hello", detail=True)
    names = [event.name for event in stream if event.name]
    assert names == ["turn", "usage", "turn"]
    assert [event.data["status"] for event in stream if event.name == "turn"] == ["running", "done"]
    usage = next(event.data for event in stream if event.name == "usage")
    assert usage["usage"]["total_tokens"] > 0


async def test_a_reader_who_left_gets_the_rest(chat: Chat) -> None:
    body = chat.body("hello", "slow-20")
    async with chat.client.stream("POST", f"/chat/{chat.id}", json=body) as response:
        turn_id = response.headers["x-turn-id"]
        stream = events(response)
        seen = [await anext(stream) for _ in range(5)]
    path = f"/chat/{chat.id}/turns/{turn_id}/events"
    async with chat.client.stream("GET", path, headers={"Last-Event-ID": "5"}) as response:
        rest = [event async for event in events(response)]
    assert [event.id for event in rest[:-1]] == list(range(6, 6 + len(rest) - 1))
    assert text_of(seen + rest) == said_by()
    assert (await chat.turn(turn_id))["status"] == "done"


async def test_many_readers_of_one_turn_see_the_same(chat: Chat) -> None:
    async with chat.client.stream("POST", f"/chat/{chat.id}", json=chat.body("hello", "slow-20")) as response:
        turn_id = response.headers["x-turn-id"]
        path = f"/chat/{chat.id}/turns/{turn_id}/events"

        async def follow() -> str:
            async with chat.client.stream("GET", path) as other:
                return text_of([event async for event in events(other)])

        texts = await asyncio.gather(*(follow() for _ in range(10)))
    assert set(texts) == {said_by()}


async def test_cancel_stops_the_call_upstream_and_keeps_what_came(chat: Chat, standing_upstream: FakeUpstream) -> None:
    async with chat.client.stream("POST", f"/chat/{chat.id}", json=chat.body("hello", "slow-100")) as response:
        turn_id = response.headers["x-turn-id"]
        rest = await first_chunk(response)
        cancelled = await chat.client.post(f"/chat/{chat.id}/turns/{turn_id}/cancel")
        assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
        tail = [event async for event in rest]
    assert tail[-1].data == "[DONE]"
    assert [event.data["error"]["code"] for event in tail if event.name == "error"] == ["cancelled"]
    assistant = (await chat.history())[-1]
    assert assistant["status"] == "cancelled"
    assert said_by().startswith(assistant["content"])
    assert assistant["content"]
    await eventually(lambda: "slow-100" in standing_upstream.disconnects, what="the upstream sees the call end")


async def test_turns_of_one_session_run_one_after_another(chat: Chat) -> None:
    answers = await asyncio.gather(*(chat.ask(f"question {n}", "echo") for n in range(5)))
    counts = sorted(int(answer.json()["message"]["content"].split()[0]) for answer in answers)
    assert counts == [1, 3, 5, 7, 9]
    roles = [message["role"] for message in await chat.history()]
    assert roles == ["user", "assistant"] * 5


async def test_a_full_queue_is_409_with_retry_after(chat: Chat) -> None:
    tasks = [asyncio.create_task(chat.ask("hello", "slow-20")) for _ in range(12)]
    responses = await asyncio.gather(*tasks)
    busy = [response for response in responses if response.status_code == 409]
    assert len(busy) == 12 - 5
    assert busy[0].json()["code"] == "session_busy"
    assert int(busy[0].headers["retry-after"]) > 0
    assert all(response.status_code == 200 for response in responses if response not in busy)


async def test_an_idempotency_key_asks_once(chat: Chat) -> None:
    key = {"Idempotency-Key": "abc"}
    body = chat.body("hello", "echo", stream=False)
    first, second = await asyncio.gather(*(chat.client.post(f"/chat/{chat.id}", json=body, headers=key) for _ in range(2)))
    assert first.json() == second.json()
    assert len(await chat.history()) == 2
    streamed = await chat.client.post(f"/chat/{chat.id}", json=body | {"stream": True}, headers=key)
    assert streamed.headers["x-turn-id"] == first.json()["turnId"]
    other = await chat.client.post(f"/chat/{chat.id}", json=chat.body("else", "echo"), headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


async def test_sessions_are_paged_and_deleted(served: Served) -> None:
    async with served.client() as client:
        chats = [await Chat(client).open() for _ in range(3)]
        page = (await client.get("/chat/sessions", params={"limit": 2})).json()
        assert [one["sessionId"] for one in page["sessions"]] == [chats[2].id, chats[1].id]
        rest = (await client.get("/chat/sessions", params={"limit": 1, "before": page["next"]})).json()
        assert rest["sessions"][0]["sessionId"] == chats[0].id

        await chats[0].ask()
        assert (await client.delete(f"/chat/sessions/{chats[0].id}")).status_code == 204
        assert (await client.get(f"/history/{chats[0].id}")).status_code == 404
        assert (await chats[0].ask()).status_code == 404


async def test_history_is_paged_backwards(chat: Chat) -> None:
    for n in range(3):
        await chat.ask(f"q{n}", "echo")
    last = (await chat.client.get(f"/history/{chat.id}", params={"limit": 4})).json()
    assert [message["content"] for message in last["messages"] if message["role"] == "user"] == ["q1", "q2"]
    first = (await chat.client.get(f"/history/{chat.id}", params={"before": last["next"]})).json()
    assert [message["content"] for message in first["messages"] if message["role"] == "user"] == ["q0"]
    assert first["next"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"messages": []}, "messages"),
        ({}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "x"}], "modelConfig": {"temperature": 9}}, "modelConfig.temperature"),
        ({"messages": [{"role": "user", "content": "x"}], "modelConfig": {"temprature": 1}}, "modelConfig.temprature"),
        ({"messages": [{"role": "user", "content": "a\x00b"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "x"}], "modelConfig": {"max_tokens": 0}}, "modelConfig.max_tokens"),
        ({"messages": [{"role": "user", "content": "x"}], "stream": "perhaps"}, "stream"),
        ({"messages": [{"role": "user", "content": "x", "n": 2**70}]}, "messages.0.n"),
        ({"messages": [{"role": "user", "content": "x", "deep": DEEP}]}, "messages.0.deep"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]}, "messages"),
    ],
)
async def test_bad_input_is_named(chat: Chat, body: dict[str, object], field: str) -> None:
    response = await chat.client.post(f"/chat/{chat.id}", json=body)
    assert response.status_code == 422, response.text
    problem = response.json()
    assert (problem["code"], problem["status"]) == ("input_invalid", 422)
    assert problem["field"].startswith(field)


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b'{"messages": [{"role": "user", "content": "\xff"}]}', b'"text"', b""])
async def test_a_body_that_is_no_json_is_refused(chat: Chat, raw: bytes) -> None:
    response = await chat.client.post(f"/chat/{chat.id}", content=raw, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)


HELLO = b'"messages": [{"role": "user", "content": "x"}]'


@pytest.mark.parametrize(
    "raw",
    [
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{%b, "modelConfig": {"model": "\\ud800"}}' % HELLO,
        b'{%b, "modelConfig": {"\\ud800": 1}}' % HELLO,
        b'{%b, "modelConfig": {"temperature": NaN}}' % HELLO,
        b'{"messages": [{"role": "user", "content": "x", "n": NaN}]}',
        b"[" * 100_000,
    ],
)
async def test_what_no_text_or_number_is_is_refused(chat: Chat, raw: bytes) -> None:
    response = await chat.client.post(f"/chat/{chat.id}", content=raw, headers={"content-type": "application/json"})
    assert response.status_code in (400, 404, 422), response.text


async def test_unknown_things_are_404(chat: Chat) -> None:
    for path in ("/history/nobody", "/history/%00", f"/chat/{chat.id}/turns/none/events", "/chat/nobody/turns/x", "/nothing"):
        assert (await chat.client.get(path)).status_code == 404, path
    assert (await chat.client.post("/chat/nobody", json=chat.body("x", "plain"))).status_code == 404
    unknown = await chat.ask("x", "no-such-model")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "model_not_found")
    assert "plain" in unknown.json()["detail"]


async def test_a_body_over_the_limit_is_413_and_names_it(chat: Chat) -> None:
    response = await chat.client.post(f"/chat/{chat.id}", json=chat.body("x" * 2_100_000, "plain"))
    assert response.status_code == 413
    assert "2000000" in response.json()["detail"]
    response = await chat.client.post(f"/chat/{chat.id}", content=b"x" * 33_000_000)
    assert response.status_code == 413


async def test_a_token_and_its_scope_are_needed(served: Served) -> None:
    async with served.client() as client:
        for token, status in (("x", 401), ("ph_aa_bb", 401), (await served.make_token("read"), 403)):
            headers = {"Authorization": f"Bearer {token}"}
            assert (await client.get("/chat/sessions", headers=headers)).status_code == status
        headers = {"Authorization": f"Bearer {await served.make_token('chat')}"}
        assert (await client.get("/chat/sessions", headers=headers)).status_code == 200


async def test_open_paths_need_no_token(served: Served) -> None:
    async with served.client() as client:
        client.headers.pop("Authorization")
        for path in ("/health", "/ready", "/docs", "/api-docs", "/openapi.json", "/docs/swagger-ui.css"):
            assert (await client.get(path)).status_code == 200, path
        assert (await client.head("/health")).status_code == 200
        health = (await client.get("/health")).json()
        assert (health["status"], health["db"], health["data"]["status"]) == ("ok", True, "ok")
        assert "https://" not in (await client.get("/docs")).text
