"""OpenAI's paths, spoken to by the official client as it is."""

from collections.abc import AsyncGenerator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionToolParam

from core.ids import new_id
from tests.api.serving import Chat, Served
from tests.upstream import FakeUpstream
from tests.upstream.behaviours import text_of as said_by

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,  # the client's own helper takes no others
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def a_client(served: Served, token: str | None = None) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{served.url}/v1", api_key=token or served.token, max_retries=0, timeout=30)


@pytest.fixture
async def client(served: Served) -> AsyncGenerator[AsyncOpenAI, None]:
    async with a_client(served) as client:
        yield client


def said(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


async def test_models_are_listed_and_read(client: AsyncOpenAI) -> None:
    listed = [model async for model in client.models.list()]
    assert {"plain", "vision"} <= {model.id for model in listed}
    assert {model.owned_by for model in listed} == {"fake"}
    assert (await client.models.retrieve("plain")).id == "plain"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nothing/such")


async def test_a_completion_in_one_piece(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="plain", messages=HELLO, temperature=0.5, seed=7)
    assert answer.choices[0].message.content == said_by()
    assert (answer.choices[0].finish_reason, answer.model, answer.object) == ("stop", "plain", "chat.completion")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


async def test_a_stream_has_the_usage_chunk_only_when_asked(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="plain", messages=HELLO, stream=True)
    chunks = [chunk async for chunk in stream]
    assert said(chunks) == said_by()
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1

    stream = await client.chat.completions.create(
        model="plain", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert said(chunks) == said_by()
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


async def test_tools_are_passed_through_both_ways(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="tools", messages=HELLO, tools=[WEATHER])
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert choice.message.tool_calls is not None
    call = choice.message.tool_calls[0]
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Paris"}')

    told: Any = [*HELLO, choice.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    answer = await client.chat.completions.create(model="tools", messages=told, tools=[WEATHER])
    assert answer.choices[0].message.content == "the tool said sunny"


async def test_a_tool_call_streams_in_pieces(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model="tools", messages=HELLO, tools=[WEATHER]) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert kinds.count("tool_calls.function.arguments.delta") >= 2
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].function.arguments == '{"city": "Paris"}'


async def test_tool_calls_are_part_of_a_sessions_history(client: AsyncOpenAI) -> None:
    session = {"X-Session-Id": new_id()}
    first = await client.chat.completions.create(model="tools", messages=HELLO, tools=[WEATHER], extra_headers=session)
    calls = first.choices[0].message.tool_calls
    assert calls is not None
    result: list[ChatCompletionMessageParam] = [{"role": "tool", "tool_call_id": calls[0].id, "content": "rain"}]
    answer = await client.chat.completions.create(model="tools", messages=result, tools=[WEATHER], extra_headers=session)
    assert answer.choices[0].message.content == "the tool said rain", "the upstream refuses a result without its call"


async def test_response_format_is_passed_on(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="json", messages=HELLO, response_format={"type": "json_object"})
    assert answer.choices[0].message.content == '{"ok":true,"format":"json_object"}'
    with pytest.raises(openai.BadRequestError, match="this model wants response_format"):
        await client.chat.completions.create(model="json", messages=HELLO)


async def test_image_parts_reach_a_model_that_sees(client: AsyncOpenAI) -> None:
    asked: list[ChatCompletionMessageParam] = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": PIXEL}}],
        }
    ]
    answer = await client.chat.completions.create(model="vision", messages=asked)
    assert answer.choices[0].message.content == f"1 images, {len(PIXEL)} characters"
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="plain", messages=asked)
    assert caught.value.param == "messages"


async def test_a_session_keeps_history_and_is_seen_by_the_chat_paths(client: AsyncOpenAI, served: Served) -> None:
    session = new_id()
    for n in range(2):
        answer = await client.chat.completions.create(model="echo", messages=HELLO, extra_headers={"X-Session-Id": session})
        assert answer.choices[0].message.content == f"{2 * n + 1} messages, the last: hello"
    async with served.client() as http:
        assert [message["role"] for message in await Chat(http, session).history()] == ["user", "assistant"] * 2
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="echo", messages=HELLO, extra_headers={"X-Session-Id": "a b"})


async def test_without_a_session_nothing_is_remembered(client: AsyncOpenAI) -> None:
    for _ in range(2):
        answer = await client.chat.completions.create(model="echo", messages=HELLO)
        assert answer.choices[0].message.content == "1 messages, the last: hello"


async def test_raw_answers_name_the_turn(client: AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(model="plain", messages=HELLO)
    assert raw.headers["x-turn-id"] in raw.parse().id


async def test_errors_come_as_the_clients_own_classes(client: AsyncOpenAI, served: Served) -> None:
    async with a_client(served, "ph_no_such") as stranger:
        with pytest.raises(openai.AuthenticationError) as unauthorized:
            await stranger.chat.completions.create(model="plain", messages=HELLO)
    assert unauthorized.value.code == "invalid_api_key"
    async with a_client(served, await served.make_token("read")) as reader:
        with pytest.raises(openai.PermissionDeniedError):
            await reader.models.list()
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(model="gpt-99", messages=HELLO)
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model="plain", input="x")


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"n": 2}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": "nul \x00"}]}, "messages.0.content"),
        ({"temperature": 9}, "temperature"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"seed": 2**70}, "seed"),
        ({"stop": ["a\x00"]}, "stop.0"),
    ],
)
async def test_bad_input_is_a_bad_request_naming_the_parameter(client: AsyncOpenAI, wrong: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(**{"model": "plain", "messages": HELLO} | wrong)
    assert caught.value.param == param


async def test_what_the_provider_refuses_is_told(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as too_long:
        await client.chat.completions.create(model="too-long", messages=HELLO)
    assert too_long.value.code == "context_length_exceeded"
    with pytest.raises(openai.InternalServerError) as refused:
        await client.chat.completions.create(model="refuse-401", messages=HELLO)
    assert (refused.value.status_code, refused.value.code) == (502, "provider_failed")
    assert "sk-test" not in refused.value.message, "the provider quoted the key"


async def test_a_providers_complaint_never_quotes_the_messages(client: AsyncOpenAI) -> None:
    private: list[ChatCompletionMessageParam] = [{"role": "user", "content": "my secret diagnosis"}]
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="repeats", messages=private)
    assert "diagnosis" not in str(caught.value)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_the_first_token_is_a_status(client: AsyncOpenAI, stream: bool) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(model="refuse-401", messages=HELLO, stream=stream)
    assert caught.value.status_code == 502


async def test_a_provider_that_only_fails_is_503(client: AsyncOpenAI, standing_upstream: FakeUpstream) -> None:
    before = standing_upstream.counts["fail-500"]
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(model="fail-500", messages=HELLO)
    assert (caught.value.status_code, caught.value.code) == (503, "provider_unavailable")
    assert standing_upstream.counts["fail-500"] - before == 3, "two retries by default"


async def test_a_stream_that_breaks_off_raises_after_what_came(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="cut-after-5", messages=HELLO, stream=True)
    chunks: list[ChatCompletionChunk] = []

    async def read() -> None:
        async for chunk in stream:
            chunks.append(chunk)

    with pytest.raises(openai.APIError) as caught:
        await read()
    assert said(chunks) == said_by(5)
    assert caught.value.code == "turn_interrupted"


async def test_reasoning_is_passed_through(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="think", messages=HELLO)
    assert answer.choices[0].message.content == said_by(3)
    assert (answer.choices[0].message.model_extra or {})["reasoning_content"] == "hm, well"
