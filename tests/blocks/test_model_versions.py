"""Versions of models as servers tell them: Ollama's digests, files, and lists of which only some facts hold."""

import time
from collections.abc import AsyncGenerator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from blocks.model_versions import ModelShelf, facts_of
from core.errors import ProviderFailed, ProviderUnavailable
from core.model_versions import Version, differing
from core.settings import Settings
from tests.blocks.model_servers import OllamaServer, serving
from tests.upstream import KEY, FakeUpstream

MODELS: dict[str, dict[str, Any]] = {"qwen3:8b": {"model_info": {"general.parameter_count": 8}}, "old:1b": {"model_info": {}}}


def shelf_of(base_url: str, **more: Any) -> ModelShelf:
    provider = {"base_url": base_url, **more}
    return ModelShelf.from_settings("box", Settings.model_validate({"data_dir": "/nowhere", "providers": {"box": provider}}))


@pytest.fixture
async def ollama() -> AsyncGenerator[OllamaServer, None]:
    server = OllamaServer(MODELS)
    async with serving(server.application()) as server.url:
        yield server


async def seen(shelf: ModelShelf, known: dict[str, Version] | None = None) -> dict[str, Version]:
    try:
        return {each.model: each for each in await shelf.versions(known or {})}
    finally:
        await shelf.aclose()


async def test_ollama_tells_digests(ollama: OllamaServer) -> None:
    before = await seen(shelf_of(f"{ollama.url}/v1"))
    assert (before["qwen3:8b"].kind, before["qwen3:8b"].digest) == ("ollama", "sha-qwen3:8b")
    assert before["qwen3:8b"].details == {
        "size": 5,
        "family": "qwen3",
        "parameter_size": "8.2B",
        "quantization_level": "Q4_K_M",
    }
    ollama.digests["qwen3:8b"] = "pulled-again"
    after = await seen(shelf_of(f"{ollama.url}/v1"))
    assert [differing(before[name], after[name]) for name in ("qwen3:8b", "old:1b")] == [("digest",), ()]


async def test_what_only_speaks_like_an_ollama_is_known_by_what_it_shows(ollama: OllamaServer) -> None:
    ollama.digests = dict.fromkeys(MODELS, "")
    before = await seen(shelf_of(f"{ollama.url}/v1"))
    assert (before["qwen3:8b"].kind, before["qwen3:8b"].details["general.parameter_count"]) == ("listed", 8)
    ollama.models["qwen3:8b"] = {"model_info": {"general.parameter_count": 9}}
    after = await seen(shelf_of(f"{ollama.url}/v1"))
    assert differing(before["qwen3:8b"], after["qwen3:8b"]) == ("general.parameter_count",)


async def test_an_ollama_of_which_a_part_fails_says_nothing(ollama: OllamaServer) -> None:
    ollama.broken = True
    with pytest.raises(ProviderUnavailable):
        await seen(shelf_of(f"{ollama.url}/v1"))


async def test_other_servers_are_known_by_facts_that_go_with_the_weights() -> None:
    now = int(time.time())
    vllm = {"id": "m", "object": "model", "owned_by": "vllm", "root": "/m/a", "max_model_len": 4096, "created": now}
    async with FakeUpstream(models=[vllm | {"permission": [{"id": "modelperm-1"}]}, {"id": "bad\nname"}]) as upstream:
        before = await seen(shelf_of(upstream.base_url, api_key=KEY))
        assert set(before) == {"m"}
        assert before["m"].details == {"owned_by": "vllm", "root": "/m/a", "max_model_len": 4096}
        upstream.models = [vllm | {"created": now + 5, "permission": [{"id": "modelperm-2"}]}]
        assert await seen(shelf_of(upstream.base_url, api_key=KEY)) == before
        upstream.models = [vllm | {"root": "/m/b"}]
        after = await seen(shelf_of(upstream.base_url, api_key=KEY))
        assert differing(before["m"], after["m"]) == ("root",)


def test_when_a_model_was_made_counts_unless_that_is_when_it_was_asked_for() -> None:
    assert facts_of({"id": "gpt", "created": 1_700_000_000, "owned_by": "openai"}, 1_800_000_000)["created"] == 1_700_000_000
    assert facts_of({"id": "m", "created": 1_800_000_000, "owned_by": "llamacpp"}, 1_800_000_000.2) == {"owned_by": "llamacpp"}
    assert facts_of({"id": "m", "meta": {"n_params": 7, "n_ctx": 4096, "vocab_type": True}}, 1.0) == {"meta.n_params": 7}


async def test_a_file_is_read_again_only_when_it_changed(tmp_path: Path) -> None:
    weights = tmp_path / "m.gguf"
    weights.write_bytes(b"GGUF")
    async with FakeUpstream(models=[{"id": "demo"}]) as upstream:
        settings = Settings.model_validate(
            {"data_dir": tmp_path, "providers": {"box": {"base_url": upstream.base_url, "api_key": KEY}}}
        )
        plain = ModelShelf.from_settings("box", settings)

        async def look(known: dict[str, Version]) -> Version:
            return (await ModelShelf(plain._provider, weights).versions(known))[0]

        first = await look({})
        assert (first.kind, first.digest) == ("file", f"sha256:{sha256(b'GGUF').hexdigest()}")
        kept = Version("demo", "file", "sha256:kept", first.details)
        assert await look({"demo": kept}) is kept
        weights.write_bytes(b"GGUF2")
        second = await look({"demo": kept})
        assert differing(first, second) == ("digest",)
        await plain.aclose()


async def test_a_wrong_key_is_said_without_it() -> None:
    async with FakeUpstream() as upstream:
        with pytest.raises(ProviderFailed) as caught:
            await seen(shelf_of(upstream.base_url, api_key="sk-wrong-secret"))
    assert "sk-wrong-secret" not in str(caught.value)
