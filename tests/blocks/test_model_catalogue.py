"""The models of all kinds that providers have: what each server tells of them, and what is known when it does not answer."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from aiohttp import web

from blocks.model_lists import Listing, catalogued, entries_of
from blocks.models import Models
from core.model_catalogue import CatalogueModel, ModelType, type_by_name
from core.settings import Settings
from tests.blocks.model_servers import OllamaServer, serving
from tests.blocks.test_models_lists import NOWHERE, ModelsOf, models_of
from tests.upstream import KEY, FakeUpstream

__all__ = ["models_of"]  # a fixture

OLLAMA: dict[str, dict[str, Any]] = {
    "qwen3:8b": {
        "capabilities": ["completion", "tools", "thinking"],
        "model_info": {"general.architecture": "qwen3", "qwen3.context_length": 40960},
    },
    "llava:7b": {
        "capabilities": ["completion", "vision"],
        "model_info": {"llama.context_length": 32768},
        "parameters": 'stop                           "USER:"\nnum_ctx                        4096',
    },
    "all-mini:latest": {"capabilities": ["embedding"], "model_info": {"bert.context_length": 512}},
    "old:1b": {"modelfile": "FROM old"},
}
XINFERENCE: list[dict[str, Any]] = [
    {"id": "qwen2.5", "model_type": "LLM", "model_ability": ["chat", "tools"], "context_length": 32768},
    {"id": "qwen2-vl", "model_type": "LLM", "model_ability": ["chat", "vision"], "context_length": 8192},
    {"id": "deepseek-r1", "model_type": "LLM", "model_ability": ["chat", "reasoning"], "context_length": 131072},
    {"id": "conan", "model_type": "embedding", "max_tokens": 512, "dimensions": 1792},
    {"id": "jina-v2", "model_type": "rerank", "max_tokens": 1024},
    {"id": "voice", "model_type": "audio", "model_ability": ["text2audio", "text2audio_zero_shot"]},
    {"id": "ears", "model_type": "audio", "model_ability": ["audio2text"]},
    {"id": "SenseVoiceSmall", "model_type": "audio"},
    {"id": "sd3", "model_type": "image"},
    {"id": "clip", "model_type": "video"},
]


@pytest.fixture
async def ollama() -> AsyncGenerator[OllamaServer, None]:
    server = OllamaServer(OLLAMA)
    async with serving(server.application()) as server.url:
        yield server


async def names(models: Models) -> list[str]:
    return [model.name for model in await models.catalogue()]


async def test_ollama_tells_what_its_models_can_do(ollama: OllamaServer, models_of: ModelsOf) -> None:
    models = models_of(ollama={"base_url": f"{ollama.url}/v1"})
    assert await models.catalogue() == (
        CatalogueModel("qwen3:8b", "ollama", "llm", 40960, reasoning=True, tools=True),
        CatalogueModel("llava:7b", "ollama", "llm", 4096, vision=True),
        CatalogueModel("all-mini:latest", "ollama", "embedding", 512),
        CatalogueModel("old:1b", "ollama", "llm"),
    )


async def test_ollama_is_asked_again_only_for_what_changed(
    ollama: OllamaServer, models_of: ModelsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = models_of(ollama={"base_url": f"{ollama.url}/v1"})
    monkeypatch.setattr(Listing, "FRESH", 0.0)
    ollama.silent = {"old:1b"}
    await models.catalogue()
    ollama.digests["qwen3:8b"] = "another"
    ollama.models["qwen3:8b"] = {"capabilities": ["completion"]}
    del ollama.models["llava:7b"]
    found = {model.name: model for model in await models.catalogue()}
    assert found["qwen3:8b"] == CatalogueModel("qwen3:8b", "ollama", "llm")
    assert found.keys() == {"qwen3:8b", "all-mini:latest", "old:1b"}
    assert ollama.asked == {"models": 2, "tags": 2, "qwen3:8b": 2, "llava:7b": 1, "all-mini:latest": 1, "old:1b": 2}


async def test_an_ollama_that_describes_nothing_still_lists(ollama: OllamaServer, models_of: ModelsOf) -> None:
    ollama.silent = set(OLLAMA)
    models = models_of(ollama={"base_url": f"{ollama.url}/v1"})
    assert [(m.name, m.type) for m in await models.catalogue()] == [
        ("qwen3:8b", "llm"),
        ("llava:7b", "llm"),
        ("all-mini:latest", "llm"),
        ("old:1b", "llm"),
    ]


async def test_xinference_tells_kinds_and_abilities(upstream: FakeUpstream, models_of: ModelsOf) -> None:
    upstream.models = XINFERENCE
    models = models_of(xinference={"base_url": upstream.base_url})
    model = CatalogueModel("", "xinference", "llm")
    assert await models.catalogue() == (
        replace(model, name="qwen2.5", context=32768, tools=True),
        replace(model, name="qwen2-vl", context=8192, vision=True),
        replace(model, name="deepseek-r1", context=131072, reasoning=True),
        replace(model, name="conan", type="embedding", context=512),
        replace(model, name="jina-v2", type="rerank", context=1024),
        replace(model, name="voice", type="tts"),
        replace(model, name="ears", type="stt"),
        replace(model, name="SenseVoiceSmall", type="stt"),
    )
    assert [info.name for info in await models.all()] == ["qwen2.5", "qwen2-vl", "deepseek-r1"]


def test_other_servers_words_for_the_same() -> None:
    entries: list[dict[str, Any]] = [
        {"id": "a/router", "supported_parameters": ["tools", "reasoning"], "architecture": {"input_modalities": ["image"]}},
        {"id": "mistral-x", "capabilities": {"completion_chat": True, "function_calling": True, "vision": False}},
        {"id": "groq", "context_window": 131072, "max_completion_tokens": 8192},
        {"id": "together", "type": "chat", "top_provider": {"max_completion_tokens": 4096}},
        {"id": "claude-x", "type": "model"},
        {"id": "odd", "type": "text-generation"},
        {"id": "lmstudio", "type": "embeddings", "max_context_length": 2048},
        {"id": "pictures", "type": "image"},
    ]
    model = CatalogueModel("", "p", "llm")
    assert catalogued("p", entries) == (
        replace(model, name="a/router", vision=True, reasoning=True, tools=True),
        replace(model, name="mistral-x", tools=True),
        replace(model, name="groq", context=131072, max_output=8192),
        replace(model, name="together", max_output=4096),
        replace(model, name="claude-x", vision=True, tools=True),
        replace(model, name="odd"),
        replace(model, name="lmstudio", type="embedding", context=2048),
    )


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("llm", "gpt-4o qwen3:32b DeepSeek-R1 llama3.2 glm-4 phi4 gemma3:27b gpt-4.1-mini o3 Yi-34B-Chat meta/b"),
        ("embedding", "bge-m3 text-embedding-3-small nomic-embed-text multilingual-e5-large gte-large all-minilm m3e-base"),
        ("rerank", "bge-reranker-v2-m3 jina-reranker-v2 Qwen3-Reranker-4B"),
        ("stt", "whisper-1 gpt-4o-transcribe SenseVoiceSmall whisper-large-v3"),
        ("tts", "tts-1 gpt-4o-mini-tts CosyVoice-300M ChatTTS kokoro"),
        (None, "dall-e-3 omni-moderation-latest gpt-4o-realtime-preview gpt-4o-audio-preview babbage-002 gpt-image-1"),
    ],
)
def test_names_tell_the_kind_where_servers_do_not(kind: ModelType | None, named: str) -> None:
    assert {name: type_by_name(name) for name in named.split()} == dict.fromkeys(named.split(), kind)


async def test_configured_models_are_listed_as_configured(models_of: ModelsOf) -> None:
    models = models_of(
        azure={
            "base_url": NOWHERE,
            "models": [
                {"name": "gpt-4o", "context": 128000, "max_output": 16384},
                {"name": "mine", "context": 4096, "vision": True},
                {"name": "vectors", "type": "embedding", "context": 512},
                {"name": "bge-m3"},
                {"name": "whisper-1", "type": "llm"},
                {"name": "dall-e-3"},
            ],
        },
        native={"base_url": NOWHERE, "tools": "native", "models": [{"name": "caller"}]},
        off={"base_url": NOWHERE, "tools": "off", "models": [{"name": "gpt-4"}]},
    )
    model = CatalogueModel("", "azure", "llm", 8192)
    assert await models.catalogue() == (
        replace(model, name="gpt-4o", context=128000, max_output=16384, vision=True, tools=True),
        replace(model, name="mine", context=4096, vision=True),
        replace(model, name="vectors", type="embedding", context=512),
        replace(model, name="bge-m3", type="embedding"),
        replace(model, name="whisper-1"),
        replace(model, name="dall-e-3"),
        CatalogueModel("caller", "native", "llm", 8192, tools=True),
        CatalogueModel("gpt-4", "off", "llm", 8192),
    )


async def test_a_name_is_listed_once_under_the_first_provider(upstream: FakeUpstream, models_of: ModelsOf) -> None:
    upstream.models = [{"id": "a"}, {"id": "b"}, {"id": "a"}, {"id": ""}, {"id": 5}]
    models = models_of(
        live={"base_url": upstream.base_url, "order": 2},
        first={"base_url": NOWHERE, "order": 1, "models": [{"name": "b"}]},
    )
    assert [(m.name, m.provider) for m in await models.catalogue()] == [("b", "first"), ("a", "live")]


async def test_the_last_good_list_stands_in(upstream: FakeUpstream, models_of: ModelsOf, monkeypatch: pytest.MonkeyPatch) -> None:
    models = models_of(here={"base_url": upstream.base_url}, gone={"base_url": NOWHERE})
    before = await names(models)
    assert before == ["plain", "echo"]
    monkeypatch.setattr(Listing, "FRESH", 0.0)
    monkeypatch.setattr(Listing, "FAILED", 0.0)
    await upstream.go_away()
    assert await names(models) == before
    upstream.models_status = 500
    await upstream.come_back()
    assert await names(models) == before
    upstream.models_status, upstream.models = 200, [{"id": "new"}]
    assert await names(models) == ["new"]


async def test_without_any_list_there_are_none(models_of: ModelsOf) -> None:
    assert await names(models_of(gone={"base_url": NOWHERE})) == []
    assert await names(models_of()) == []


async def test_a_list_outlives_its_process(upstream: FakeUpstream, tmp_path: Path) -> None:
    async def listed_by_a_new_process(base_url: str = upstream.base_url) -> list[str]:
        tree = {"data_dir": tmp_path, "providers": {"p": {"base_url": base_url, "api_key": KEY}}}
        models = Models.from_settings(Settings.model_validate(tree))
        found = await names(models)
        await models.aclose()
        return found

    assert await listed_by_a_new_process() == ["plain", "echo"]
    upstream.models_status = 500
    assert await listed_by_a_new_process() == ["plain", "echo"]
    assert await listed_by_a_new_process(NOWHERE) == [], "another address is another provider"
    (kept,) = (tmp_path / "model-lists").iterdir()
    assert upstream.base_url.encode() not in kept.read_bytes()
    kept.write_bytes(b"[{")
    assert await listed_by_a_new_process() == []
    kept.unlink()
    (tmp_path / "model-lists").rmdir()
    (tmp_path / "model-lists").write_text("in the way", encoding="utf-8")
    upstream.models_status = 200
    assert await listed_by_a_new_process() == ["plain", "echo"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"data": null}', b'{"data": {"a": 1}}', b'{"error": "x"}', b"\xff"])
async def test_garbage_is_no_list(body: bytes, models_of: ModelsOf) -> None:
    app = web.Application()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app.router.add_get("/v1/models", answer)
    async with serving(app) as url:
        assert await names(models_of(odd={"base_url": f"{url}/v1"})) == []


async def test_a_provider_that_hangs_holds_up_only_the_first_answer_and_a_little(
    upstream: FakeUpstream, models_of: ModelsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Listing, "FRESH", 0.0)
    hanging, never = web.Application(), asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        await never.wait()
        raise AssertionError

    hanging.router.add_get("/v1/models", hang)
    async with serving(hanging) as url:
        models = models_of(
            fixed={"base_url": NOWHERE, "models": [{"name": "fixed"}]},
            here={"base_url": upstream.base_url},
            hangs={"base_url": f"{url}/v1"},
        )
        for _ in range(2):
            began = monotonic()
            assert await names(models) == ["fixed", "plain", "echo"]
            assert monotonic() - began < 20
        never.set()


def test_entries_are_named_and_once_each() -> None:
    answer: dict[str, Any] = {"data": [{"id": "b", "n": 1}, {"id": "a"}, {"id": "b", "n": 2}, None, "x", {"id": ""}]}
    assert entries_of(answer) == ({"id": "b", "n": 1}, {"id": "a"})
