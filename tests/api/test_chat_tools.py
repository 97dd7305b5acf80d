"""Tools inside chat turns, over HTTP: real drawing and real files, an upstream that checks what it is sent."""

import re
from typing import Any

import pytest

from tests.api.serving import Chat, Event, Served, events, text_of
from tests.upstream import FakeUpstream
from tests.upstream.behaviours import text_of as said_by
from tests.waiting import eventually

IMAGE = re.compile(r"!\[([^\]]*)\]\((http[^)]+)\)\n\n")


def told(stream: list[Event]) -> list[dict[str, Any]]:
    """The tool events of a stream."""
    return [event.data for event in stream if event.name == "tool"]


async def test_a_chart_is_drawn_shown_kept_and_served(chat: Chat) -> None:
    headers, stream = await chat.stream("Draw a bar chart", "chart", detail=True)
    answer = text_of(stream)
    found = IMAGE.search(answer)
    assert found is not None, answer
    assert answer == f"One moment.\n\n{found[0]}1 results."
    assert found[0] in [text_of([event]) for event in stream if event.name is None and event.data != "[DONE]"]
    picture = await chat.client.get(found[2], headers={"Authorization": ""})
    assert picture.status_code == 200
    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert b"plums" in picture.content

    running, done = told(stream)
    assert (running["toolId"], running["status"], running["inputs"]["title"]) == ("drawing/chart", "running", "Fruit")
    assert (done["id"], done["status"], done["output"]["chartUrl"]) == (running["id"], "done", found[2])
    turn = await chat.turn(headers["x-turn-id"])
    assert (turn["status"], turn["finishReason"], turn["message"]) == ("done", "stop", {"role": "assistant", "content": answer})
    usage = [event.data["usage"] for event in stream if event.name == "usage"]
    assert [one["total_tokens"] for one in usage] == [turn["usage"]["total_tokens"]]
    assert (await chat.history())[-1]["content"] == answer


async def test_the_stream_can_be_had_again_from_anywhere(chat: Chat) -> None:
    headers, stream = await chat.stream("Draw a bar chart", "chart", detail=True)
    path = f"/chat/{chat.id}/turns/{headers['x-turn-id']}/events"
    numbers = [event.id for event in stream if event.id is not None]
    assert numbers == list(range(1, len(numbers) + 1))
    for after in range(len(numbers)):
        async with chat.client.stream("GET", path, params={"detail": True}, headers={"Last-Event-ID": str(after)}) as response:
            rest = [event async for event in events(response)]
        assert [event.id for event in rest if event.id is not None] == numbers[after:]
    async with chat.client.stream("GET", path, params={"detail": True}) as response:
        assert told([event async for event in events(response)]) == told(stream)


async def test_later_turns_see_that_a_picture_was_shown_but_not_where_it_is(chat: Chat, standing_upstream: FakeUpstream) -> None:
    await chat.ask("Draw a bar chart", "chart")
    await chat.ask("thanks", "echo")
    sent = standing_upstream.chats[-1].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert "A picture was shown here" in sent[1]["content"]
    assert "http" not in sent[1]["content"]


async def test_several_calls_at_once_and_one_of_a_tool_that_is_not_there(chat: Chat) -> None:
    _, stream = await chat.stream("Draw", "charts", detail=True)
    answer = text_of(stream)
    assert len(IMAGE.findall(answer)) == 2
    assert answer.endswith("1 of 3 failed.")
    assert sorted(one["status"] for one in told(stream)) == ["done", "done", "failed", "running", "running"]
    assert next(one for one in told(stream) if one["status"] == "failed")["error"]["code"] == "not_found"


async def test_endless_calls_end_with_an_answer(chat: Chat) -> None:
    answer = (await chat.ask("Draw", "endless")).json()
    assert answer["message"]["content"].endswith("5 charts.")
    assert len(IMAGE.findall(answer["message"]["content"])) == 5
    assert answer["finishReason"] == "stop"


async def test_arguments_that_are_no_json_are_told_to_the_model(chat: Chat) -> None:
    answer = (await chat.ask("Draw", "broken-call")).json()
    assert answer["message"]["content"].endswith("Error: The arguments are no valid JSON; send one JSON object.")


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_where_tools_are_refused_a_schema_decides(chat: Chat, standing_upstream: FakeUpstream, status: int) -> None:
    model = f"no-tools-{status}"
    before = standing_upstream.counts[model]
    answer = (await chat.ask("Draw a pie chart of apples 3, pears 5, plums 2", model)).json()["message"]["content"]
    found = IMAGE.match(answer)
    assert found is not None, answer
    assert b"pears" in (await chat.client.get(found[2])).content
    assert standing_upstream.counts[model] == before + 3
    await chat.ask("hello", model)
    assert standing_upstream.counts[model] == before + 4, "the refusal is remembered, and nothing in the question is a cue"


async def test_a_request_chooses_its_tools(chat: Chat, standing_upstream: FakeUpstream) -> None:
    assert (await chat.ask("Draw", "chart", tools=[])).json()["message"]["content"] == "0 results."
    assert "tools" not in standing_upstream.chats[-1].body
    await chat.ask("Draw", "chart", tools=["drawing/baseChart"])
    offered = next(one.body["tools"] for one in reversed(standing_upstream.chats) if "tools" in one.body)
    assert [tool["function"]["name"] for tool in offered] == ["drawing_baseChart"]
    refused = await chat.ask("Draw", "chart", tools=["no/such"])
    assert (refused.status_code, refused.json()["code"]) == (422, "input_invalid")


async def test_tools_beyond_the_usual_need_a_scope(served: Served) -> None:
    async with served.client() as client:
        client.headers["Authorization"] = f"Bearer {await served.make_token('chat')}"
        chat = await Chat(client).open()
        refused = await chat.ask("Draw", "chart", tools=["drawing/baseChart"])
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert (await chat.ask("Draw", "chart", tools=["drawing/chart"])).status_code == 200


async def test_the_same_key_with_other_tools_is_a_conflict(chat: Chat) -> None:
    body = chat.body("hello", "plain", stream=False)
    key = {"Idempotency-Key": "k"}
    first = await chat.client.post(f"/chat/{chat.id}", json=body, headers=key)
    assert (await chat.client.post(f"/chat/{chat.id}", json=body, headers=key)).json() == first.json()
    assert (await chat.client.post(f"/chat/{chat.id}", json=body | {"tools": []}, headers=key)).status_code == 409


async def test_openai_clients_keep_their_tools_to_themselves(chat: Chat, standing_upstream: FakeUpstream) -> None:
    body = {"model": "chart", "messages": [{"role": "user", "content": "Draw a chart"}]}
    answer = (await chat.client.post("/v1/chat/completions", json=body)).json()
    assert answer["choices"][0]["message"]["content"] == "0 results."
    assert "tools" not in standing_upstream.chats[-1].body


async def test_a_turn_is_cancelled_in_the_middle_of_a_call(chat: Chat) -> None:
    async with chat.client.stream("POST", f"/chat/{chat.id}", json=chat.body("Draw", "slow-chart-500")) as response:
        turn_id = response.headers["x-turn-id"]
        stream = events(response)
        while text_of([await anext(stream)]) != "One moment.":
            pass
        assert (await chat.client.post(f"/chat/{chat.id}/turns/{turn_id}/cancel")).status_code == 202
        rest = [event async for event in stream]
    assert [event.name for event in rest][-2:] == ["error", None]
    turn = await chat.turn(turn_id)
    assert (turn["status"], turn["message"]["content"]) == ("cancelled", "One moment.")


async def test_ordinary_answers_are_as_they_were(chat: Chat) -> None:
    _, stream = await chat.stream("hello", "plain", detail=True)
    assert text_of(stream) == said_by()
    assert told(stream) == []


async def test_a_deleted_session_takes_its_pictures_with_it(chat: Chat) -> None:
    found = IMAGE.search((await chat.ask("Draw", "chart")).json()["message"]["content"])
    assert found is not None
    assert (await chat.client.get(found[2])).status_code == 200
    await chat.client.delete(f"/chat/sessions/{chat.id}")

    async def gone() -> bool:
        return (await chat.client.get(found[2])).status_code == 404

    assert await eventually(gone, 20, "the picture is gone")
