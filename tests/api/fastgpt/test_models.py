"""The lists of models and providers, field by field, in every generation."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from blocks.model_lists import Listing
from tests.api.fastgpt.app import Bare, bare
from tests.api.fastgpt.conftest import behave
from tests.api.fastgpt.sdk_clients import AnyModel, ClientA, ClientB, ClientC, Providers
from tests.upstream import KEY, FakeUpstream

MODELS: list[dict[str, Any]] = [
    {"id": "qwen2.5", "model_type": "LLM", "model_ability": ["chat", "tools", "vision"], "context_length": 32768},
    {"id": "plain"},
    {"id": "bge-m3", "model_type": "embedding", "max_tokens": 8192},
    {"id": "small", "model_type": "embedding", "max_tokens": 256},
    {"id": "jina", "model_type": "rerank", "max_tokens": 1024},
    {"id": "CosyVoice", "model_type": "audio", "model_ability": ["text2audio"]},
    {"id": "whisper-1"},
    {"id": "dall-e-3"},
]
LLM = {
    "type": "llm",
    "provider": "xinference",
    "model": "qwen2.5",
    "name": "qwen2.5",
    "maxContext": 32768,
    "maxTokens": 4096,
    "quoteMaxToken": 28672,
    "maxTemperature": 1,
    "vision": True,
    "reasoning": False,
    "reasoningEffort": False,
    "toolChoice": True,
    "showTopP": True,
    "showStopSign": True,
    "responseFormatList": ["text", "json_object"],
    "censor": False,
    "datasetProcess": True,
    "usedInClassify": True,
    "usedInExtractFields": True,
    "usedInToolCall": True,
    "useInEvaluation": True,
    "defaultSystemChatPrompt": "",
    "defaultConfig": {},
    "fieldMap": {},
}
OURS = {"provider": "xinference"}
VOICES = [{"label": voice, "value": voice} for voice in ("alloy", "echo", "fable", "onyx", "nova", "shimmer")]
ITEMS: list[dict[str, Any]] = [
    {
        **LLM,
        "provider": "DeepSeek",
        "model": "small-talk",
        "name": "small-talk",
        "maxContext": 4096,
        "maxTokens": 2048,
        "quoteMaxToken": 2048,
        "vision": False,
        "toolChoice": False,
    },
    LLM,
    LLM
    | {
        "model": "plain",
        "name": "plain",
        "maxContext": 8192,
        "maxTokens": 2048,
        "quoteMaxToken": 6144,
        "vision": False,
        "toolChoice": False,
    },
    {"type": "embedding", **OURS, "model": "bge-m3", "name": "bge-m3", "defaultToken": 512, "maxToken": 8192, "weight": 100},
    {"type": "embedding", **OURS, "model": "small", "name": "small", "defaultToken": 256, "maxToken": 256, "weight": 100},
    {"type": "rerank", **OURS, "model": "jina", "name": "jina", "maxToken": 1024},
    {"type": "tts", **OURS, "model": "CosyVoice", "name": "CosyVoice", "voices": VOICES},
    {"type": "stt", **OURS, "model": "whisper-1", "name": "whisper-1"},
]


@pytest.fixture
async def listing(upstream: FakeUpstream) -> AsyncGenerator[Bare, None]:
    upstream.models = MODELS
    providers: dict[str, Any] = {
        "xinference": {"base_url": upstream.base_url, "api_key": KEY, "order": 2},
        "deepseek": {
            "base_url": "http://127.0.0.1:9/v1",
            "order": 1,
            "models": [{"name": "small-talk", "context": 4096, "max_output": 4000}],
        },
        "gone": {"base_url": "http://127.0.0.1:9/v1", "order": 3},
    }
    async with bare(behave, providers=providers) as served:
        yield served


async def test_the_list_in_every_generation(listing: Bare) -> None:
    first, second, third = ClientA(listing.url, "plugin"), ClientB(listing.url, "plugin"), ClientC(listing.url, "plugin")
    assert await first.get("/model/list") == ITEMS
    assert await second.get("/api/models") == ITEMS
    checked = await third.get(list[AnyModel], "/api/models")
    assert [model.name for model in checked] == [item["model"] for item in ITEMS]
    for client in (first, second, third):
        await client.aclose()


async def test_providers_in_every_generation(listing: Bare) -> None:
    first, second, third = ClientA(listing.url, "plugin"), ClientB(listing.url, "plugin"), ClientC(listing.url, "plugin")
    found = await first.get("/model/getProviders")
    providers = [each["provider"] for each in found["modelProviders"]]
    assert providers[:3] == ["DeepSeek", "xinference", "gone"]
    assert providers[-1] == "Other"
    assert len(providers) == len(set(providers))
    assert found["modelProviders"][0] == {
        "provider": "DeepSeek",
        "value": {"en": "DeepSeek", "zh-CN": "深度求索", "zh-Hant": "深度求索"},
        "avatar": "model/deepseek",
    }
    assert found["modelProviders"][1]["avatar"] == "model/huggingface"
    assert found["aiproxyIdMap"]["1"] == {
        "name": {"en": "OpenAI", "zh-CN": "OpenAI", "zh-Hant": "OpenAI"},
        "provider": "OpenAI",
        "avatar": "model/openai",
    }
    assert {each["provider"] for each in found["aiproxyIdMap"].values()} <= set(providers)
    later = await second.get("/api/models/get-providers")
    assert later["modelProviders"] == found["modelProviders"]
    assert later["aiproxyIdMap"] == found["aiproxyIdMap"]
    checked = await third.get(Providers, "/api/models/get-providers")
    assert [str(channel.channel_id) for channel in checked.aiproxy_channels] == list(found["aiproxyIdMap"])
    for client in (first, second, third):
        await client.aclose()


async def test_every_model_has_a_provider_that_is_listed(listing: Bare) -> None:
    async with httpx.AsyncClient(base_url=listing.url, headers={"authtoken": "plugin"}, trust_env=False) as http:
        providers = {each["provider"] for each in (await http.get("/model/getProviders")).json()["modelProviders"]}
        assert {model["provider"] for model in (await http.get("/model/list")).json()} <= providers


async def test_a_provider_that_goes_away_stays_listed(
    listing: Bare, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Listing, "FRESH", 0.0)
    monkeypatch.setattr(Listing, "FAILED", 0.0)
    client = ClientA(listing.url, "plugin")
    assert await client.get("/model/list") == ITEMS
    await upstream.go_away()
    assert await client.get("/model/list") == ITEMS
    await upstream.come_back()
    upstream.models = [{"id": "new"}]
    assert [item["model"] for item in await client.get("/model/list")] == ["small-talk", "new"]
    await client.aclose()


@pytest.mark.parametrize("providers", [{}, {"gone": {"base_url": "http://127.0.0.1:9/v1"}}])
async def test_without_models_the_list_is_empty_and_still_a_list(providers: dict[str, Any]) -> None:
    async with bare(behave, providers=providers) as served:
        client = ClientA(served.url, "plugin")
        assert await client.get("/model/list") == []
        assert isinstance((await client.get("/model/getProviders"))["modelProviders"], list)
        await client.aclose()
