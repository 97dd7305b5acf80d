"""A provider's stream, from a server that checks what it is sent."""

import asyncio
import time
from typing import Any

import pytest
from pydantic import SecretStr

from blocks.models import ModelProvider
from core.answers import Answer
from core.conversation import Message, ModelRequest
from core.errors import ConfigurationInvalid, ContextExceeded, InputInvalid
from core.settings import ModelSettings, ProviderSettings
from tests.blocks.conftest import ProviderOf
from tests.upstream import KEY, FakeUpstream
from tests.upstream.behaviours import CHUNKS, text_of
from tests.waiting import eventually

QUESTION: list[Message] = [{"role": "user", "content": "Why is the sky blue?"}]


async def answered(provider: ModelProvider, model: str, messages: list[Message] | None = None, **options: Any) -> Answer:
    answer = Answer()
    async for chunk in provider.stream(ModelRequest(model, messages or QUESTION, options)):
        answer.feed(chunk)
    return answer


async def test_an_answer_comes_whole_with_usage(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    answer = await answered(provider_of(upstream), "plain", temperature=0.5, max_tokens=100)
    assert (answer.text, answer.finish_reason, answer.model) == (text_of(), "stop", "plain")
    assert answer.usage is not None
    assert answer.usage["prompt_tokens"] == 1
    assert upstream.chats[0].body == {
        "model": "plain",
        "messages": QUESTION,
        "temperature": 0.5,
        "max_tokens": 100,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert upstream.chats[0].headers["authorization"] == f"Bearer {KEY}"


async def test_options_cannot_replace_what_we_decide(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    options: dict[str, Any] = {"model": "other", "messages": [], "stream": False, "stream_options": {"include_usage": False}}
    chunks = [chunk async for chunk in provider_of(upstream).stream(ModelRequest("plain", QUESTION, options))]
    assert len(chunks) > CHUNKS
    assert upstream.chats[0].body["stream_options"] == {"include_usage": True}


async def test_chunks_come_as_they_are_sent(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    begun, times = time.monotonic(), []
    async for _ in provider_of(upstream).stream(ModelRequest("slow-50", QUESTION)):
        times.append(time.monotonic() - begun)
    assert times[0] < times[-1] / 2
    assert times[-1] >= CHUNKS * 0.05


async def test_the_connection_is_used_again(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    provider = provider_of(upstream)
    for _ in range(5):
        await answered(provider, "plain")
    assert upstream.connections == 1


async def test_two_hundred_at_once_are_complete_and_in_order(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    provider = provider_of(upstream)
    answers = await asyncio.gather(*(answered(provider, "slow-5") for _ in range(200)))
    assert {answer.text for answer in answers} == {text_of()}


async def test_every_framing_of_the_standard_is_understood(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    answer = await answered(provider_of(upstream), "framing")
    assert (answer.text, answer.finish_reason) == ("w0 w1 é中w2", "stop")


async def test_a_plain_answer_becomes_one_chunk(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    chunks = [chunk async for chunk in provider_of(upstream).stream(ModelRequest("plain-json", QUESTION))]
    assert [chunk["object"] for chunk in chunks] == ["chat.completion.chunk"]
    answer = await answered(provider_of(upstream), "plain-json")
    assert (answer.text, answer.finish_reason, answer.usage is not None) == (text_of(), "stop", True)


async def test_reasoning_comes_through(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    answer = await answered(provider_of(upstream), "think")
    assert (answer.reasoning, answer.text) == ("hm, well", text_of(3))


async def test_a_finish_without_done_is_whole(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    assert (await answered(provider_of(upstream), "no-done")).text == text_of(5)


async def test_tools_travel_both_ways(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    called = await answered(provider_of(upstream), "tools", tools=[tool])
    assert called.finish_reason == "tool_calls"
    assert called.tool_calls == [
        {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    ]
    result = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
    told = await answered(provider_of(upstream), "tools", [*QUESTION, called.message(), result], tools=[tool])
    assert told.text == "the tool said sunny"


async def test_response_format_and_images_are_passed_on(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    answer = await answered(provider_of(upstream), "json", response_format={"type": "json_object"})
    assert answer.text == '{"ok":true,"format":"json_object"}'
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    answer = await answered(provider_of(upstream), "vision", [{"role": "user", "content": [picture]}])
    assert answer.text == "1 images, 26 characters"


async def test_a_server_without_stream_options_is_asked_once_more_without(
    upstream: FakeUpstream, provider_of: ProviderOf
) -> None:
    provider = provider_of(upstream)
    for _ in range(2):
        assert (await answered(provider, "no-options")).usage is None
    assert ["stream_options" in chat.body for chat in upstream.chats] == [True, False, False]


async def test_stream_options_can_be_left_out_by_setting(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    await answered(provider_of(upstream, stream_usage=False), "no-options")
    assert len(upstream.chats) == 1


@pytest.mark.parametrize("model", ["slow-20", "stall-after-3"])
async def test_leaving_the_stream_ends_the_call_upstream(upstream: FakeUpstream, provider_of: ProviderOf, model: str) -> None:
    stream = provider_of(upstream).stream(ModelRequest(model, QUESTION))
    async for _ in stream:
        break
    await stream.aclose()
    await eventually(lambda: upstream.disconnects == [model], what="the upstream sees its client leave")


@pytest.mark.parametrize("model", ["stall-headers", "stall-before", "slow-50"])
async def test_cancelling_the_reader_ends_the_call_upstream(upstream: FakeUpstream, provider_of: ProviderOf, model: str) -> None:
    reading = asyncio.create_task(answered(provider_of(upstream), model))
    await eventually(lambda: upstream.counts[model] == 1, what="the call arrives")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await eventually(lambda: upstream.disconnects == [model], what="the upstream sees its client leave")


async def test_without_a_key_none_is_sent(monkeypatch: pytest.MonkeyPatch, provider_of: ProviderOf) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "meant-for-someone-else")
    async with FakeUpstream(key=None) as upstream:
        assert (await answered(provider_of(upstream, api_key=None), "plain")).text == text_of()
        assert "meant-for-someone-else" not in upstream.chats[0].headers.values()
        assert "authorization" not in upstream.chats[0].headers


async def test_azure_paths_and_headers(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    azure = {"kind": "azure", "base_url": f"http://127.0.0.1:{upstream.port}", "api_version": "2024-10-21"}
    provider = provider_of(upstream, **azure, models=[{"name": "plain"}])
    assert (await answered(provider, "plain")).text == text_of()
    chat = upstream.chats[0]
    assert (chat.path, chat.query) == ("/openai/deployments/plain/chat/completions", "api-version=2024-10-21")
    assert chat.headers["api-key"] == KEY


def test_azure_without_its_settings_is_refused() -> None:
    settings = ProviderSettings(base_url="https://x.openai.azure.com", kind="azure", models=(ModelSettings(name="m"),))
    with pytest.raises(ConfigurationInvalid, match=r"providers\.work\.api_version"):
        ModelProvider.from_settings("work", settings)


async def test_a_context_that_the_server_finds_too_long_is_named(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    with pytest.raises(ContextExceeded) as refused:
        await answered(provider_of(upstream), "too-long")
    assert refused.value.field == "messages"


async def test_half_a_character_is_refused_before_it_is_sent(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    with pytest.raises(InputInvalid):
        await answered(provider_of(upstream), "plain", [{"role": "user", "content": "\ud800"}])
    assert not upstream.requests


def test_one_block_serves_several_event_loops() -> None:
    """A flow's loop and the API's are not the same."""

    async def twice() -> list[str]:
        async with FakeUpstream(port=0) as upstream:
            provider.base_url = upstream.base_url
            texts = [(await answered(provider, "plain")).text for _ in range(2)]
            await provider.aclose()
            return texts

    provider = ModelProvider(name="fake", base_url="http://127.0.0.1:9/v1", api_key=SecretStr(KEY))
    assert [asyncio.run(twice()) for _ in range(2)] == [[text_of()] * 2] * 2
