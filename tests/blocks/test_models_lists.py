"""Which models there are, and whom a question goes to."""

from collections.abc import AsyncGenerator
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import pytest

from blocks.model_lists import DEFAULT_CONTEXT, Listing, entries_of, listed
from blocks.models import Models
from blocks.ollama import OllamaNearby
from core.conversation import ModelInfo
from core.errors import ModelUnknown, ProviderFailed, ProviderUnavailable
from core.settings import Settings
from tests.blocks.conftest import ProviderOf
from tests.upstream import KEY, FakeUpstream

NOWHERE = "http://127.0.0.1:9/v1"


class ModelsOf(Protocol):
    def __call__(self, **providers: dict[str, Any]) -> Models: ...


@pytest.fixture
async def models_of() -> AsyncGenerator[ModelsOf, None]:
    made: list[Models] = []

    def build(**providers: dict[str, Any]) -> Models:
        tree = {"data_dir": Path("unused"), "providers": {name: {"api_key": KEY} | each for name, each in providers.items()}}
        made.append(Models.from_settings(Settings.model_validate(tree)))
        return made[-1]

    yield build
    for models in made:
        await models.aclose()


def named(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


async def asked(models: Models, model: str | None) -> list[tuple[str, str]]:
    return [(info.provider, info.name) for _, info in await models.resolve(model)]


async def test_the_configured_models_are_what_there_is(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    provider = provider_of(upstream, models=[{"name": "a", "context": 4096, "vision": True, "max_output": 100}])
    assert await provider.models() == (ModelInfo("a", "fake", 4096, vision=True, max_output=100),)
    assert not upstream.requests


async def test_else_the_provider_lists_them_once_a_minute(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    provider = provider_of(upstream)
    for _ in range(3):
        assert [(m.name, m.context) for m in await provider.models()] == [("plain", DEFAULT_CONTEXT), ("echo", 4096)]
    assert len(upstream.requests) == 1


async def test_the_last_good_list_stands_in_while_asking_fails(
    upstream: FakeUpstream, provider_of: ProviderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = provider_of(upstream)
    before = await provider.models()
    monkeypatch.setattr(Listing, "FRESH", 0.0)
    upstream.models_status = 500
    assert await provider.models() == before
    assert len(upstream.requests) == 2
    upstream.models, upstream.models_status = [{"id": "new"}], 200
    monkeypatch.setattr(Listing, "FAILED", 0.0)
    assert [model.name for model in await provider.models()] == ["new"]


@pytest.mark.parametrize(("status", "error"), [(500, ProviderUnavailable), (401, ProviderFailed)])
async def test_without_any_list_the_failure_is_told(
    upstream: FakeUpstream, provider_of: ProviderOf, status: int, error: type[Exception]
) -> None:
    upstream.models_status = status
    provider = provider_of(upstream)
    for _ in range(2):
        with pytest.raises(error):
            await provider.models()
    assert len(upstream.requests) == 1, "and is not asked for again at once"


async def test_no_model_asked_means_every_provider_in_order(models_of: ModelsOf) -> None:
    models = models_of(
        late={"base_url": NOWHERE, "order": 9, "models": named("c")},
        first={"base_url": NOWHERE, "order": 1, "models": named("a", "b")},
    )
    assert await asked(models, None) == [("first", "a"), ("late", "c")]


async def test_a_named_model_goes_to_those_that_have_it(models_of: ModelsOf) -> None:
    models = models_of(
        one={"base_url": NOWHERE, "order": 1, "models": named("a", "meta/b")},
        two={"base_url": NOWHERE, "order": 2, "models": named("meta/b", "a")},
    )
    assert await asked(models, "a") == [("one", "a"), ("two", "a")]
    assert await asked(models, "two/a") == [("two", "a")]
    assert await asked(models, "meta/b") == [("one", "meta/b"), ("two", "meta/b")]
    assert await asked(models, "one/meta/b") == [("one", "meta/b")]
    with pytest.raises(ModelUnknown, match=r'model "z"; available: a, meta/b') as unknown:
        await models.resolve("z")
    assert unknown.value.field == "model"


async def test_a_provider_that_is_away_does_not_stand_in_the_way(upstream: FakeUpstream, models_of: ModelsOf) -> None:
    models = models_of(gone={"base_url": NOWHERE, "order": 1}, here={"base_url": upstream.base_url, "order": 2})
    assert await asked(models, None) == [("here", "plain")]
    assert await asked(models, "echo") == [("here", "echo")]
    assert [info.name for info in await models.all()] == ["plain", "echo"]


async def test_only_providers_that_are_away(models_of: ModelsOf) -> None:
    with pytest.raises(ProviderUnavailable, match="is it running"):
        await models_of(gone={"base_url": NOWHERE}).resolve("a")


async def test_no_provider_at_all(models_of: ModelsOf) -> None:
    with pytest.raises(ProviderFailed, match=r"providers\.NAME"):
        await models_of().resolve(None)


async def test_a_model_that_was_just_added_is_found(
    upstream: FakeUpstream, models_of: ModelsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = models_of(here={"base_url": upstream.base_url})
    assert await asked(models, "plain")
    upstream.models = [{"id": "pulled"}]
    now = monotonic()
    monkeypatch.setattr("blocks.model_lists.monotonic", lambda: now + 3)
    assert await asked(models, "pulled") == [("here", "pulled")]


async def test_the_demo_model_says_so_and_names_an_ollama(upstream: FakeUpstream, models_of: ModelsOf) -> None:
    models = models_of(
        demo={"base_url": NOWHERE, "demo": True, "models": named("a")},
        real={"base_url": NOWHERE, "order": 200, "models": named("b")},
    )
    models._ollama = OllamaNearby(f"http://127.0.0.1:{upstream.port}")  # answers, but is no Ollama
    (demo, _), (real, _) = await models.resolve(None)
    assert models.notice(real) is None
    assert "demo model" in (models.notice(demo) or "")
    assert "Ollama" not in (models.notice(demo) or "")
    models._ollama.found = True
    assert "An Ollama answers" in (models.notice(demo) or "")


def test_what_servers_say_about_their_models() -> None:
    answer = {
        "data": [
            {"id": "vllm", "max_model_len": 32768},
            {"id": "llama.cpp", "meta": {"n_ctx": 2048, "n_ctx_train": 8192}, "architecture": {"input_modalities": ["text"]}},
            {"id": "openrouter", "context_length": 128000, "architecture": {"input_modalities": ["text", "image"]}},
            {"id": "xinference", "model_type": "LLM", "model_ability": ["chat", "vision"], "context_length": 4096},
            {"id": "bge-m3", "model_type": "embedding"},
            {"id": "text-embedding-3-small"},
            {"id": "whisper-1"},
            {"id": "ollama:8b"},
            {"nonsense": 1},
        ]
    }
    entries = entries_of(answer)
    assert [(m.name, m.context, m.vision) for m in listed("p", entries or ())] == [
        ("vllm", 32768, False),
        ("llama.cpp", 2048, False),
        ("openrouter", 128000, True),
        ("xinference", 4096, True),
        ("ollama:8b", DEFAULT_CONTEXT, False),
    ]
    assert entries_of({"error": "x"}) is None
    assert entries_of([]) is None


def test_chat_models_can_be_asked_for_tools_in_the_way_that_is_configured() -> None:
    assert [model.tools for model in listed("p", [{"id": "a"}], "schema")] == ["schema"]


async def test_a_configured_model_of_another_kind_is_not_for_chat(models_of: ModelsOf) -> None:
    vectors = {"name": "vectors", "type": "embedding"}
    models = models_of(
        mixed={"base_url": NOWHERE, "order": 1, "models": [vectors, {"name": "talker"}]},
        alone={"base_url": NOWHERE, "order": 2, "models": [vectors]},
    )
    assert await asked(models, None) == [("mixed", "talker")]
    assert [info.name for info in await models.all()] == ["talker"]
    with pytest.raises(ModelUnknown):
        await models.resolve("vectors")
