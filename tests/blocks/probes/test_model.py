"""Model providers: the list, the model that is needed, and one token where that is asked for."""

from pathlib import Path
from typing import Any

import pytest

from blocks.probes.choosing import probe_of
from core.errors import ConfigurationInvalid
from core.settings import ProviderSettings, Settings
from core.settings_services import ServiceSettings
from tests.blocks.probes.looking import seen
from tests.upstream import KEY, FakeUpstream


async def test_a_provider_that_lists_its_models(upstream: FakeUpstream) -> None:
    found = await seen("model", upstream.base_url, password=KEY)
    assert (found.state, found.code) == ("up", "ok")
    assert found.facts == {"status": 200, "models": 2}
    assert upstream.chats == []


@pytest.mark.parametrize(("model", "state", "code"), [("echo", "up", "ok"), ("qwen3", "down", "model_missing")])
async def test_the_model_that_is_needed(upstream: FakeUpstream, model: str, state: str, code: str) -> None:
    found = await seen("model", upstream.base_url, password=KEY, model=model)
    assert (found.state, found.code) == (state, code)


async def test_a_wrong_key_is_told_apart_and_not_told(upstream: FakeUpstream) -> None:
    found = await seen("model", upstream.base_url, password="sk-wrong-wrong-wrong")
    assert (found.state, found.code) == ("down", "login")
    assert "sk-wrong" not in f"{found}"


async def test_one_token_and_how_long_it_took(upstream: FakeUpstream) -> None:
    found = await seen("model", upstream.base_url, password=KEY, model="plain", one_token=True)
    assert found.state == "up"
    assert isinstance(first := found.facts["first_token"], float)
    assert 0 < first < 5
    assert found.seconds == first
    (chat,) = upstream.chats
    assert (chat.body["model"], chat.body["max_tokens"]) == ("plain", 1)
    slow = await seen("model", upstream.base_url, password=KEY, model="plain", one_token=True, slow=0.000001)
    assert (slow.state, slow.code) == ("degraded", "slow")


@pytest.mark.parametrize(
    ("model", "code"),
    [("refuse-500", "provider_unavailable"), ("refuse-401", "provider_failed"), ("stall-before", "stalled")],
)
async def test_a_model_that_is_listed_but_does_not_speak(upstream: FakeUpstream, model: str, code: str) -> None:
    upstream.models.append({"id": model})
    limit = 1 if code == "stalled" else 10
    found = await seen("model", upstream.base_url, password=KEY, model=model, one_token=True, timeout=limit)
    assert (found.state, found.code) == ("down", code)


@pytest.mark.parametrize(("models", "status", "code"), [([], 200, "models"), ([], 503, "status")])
async def test_lists_that_are_none(upstream: FakeUpstream, models: list[dict[str, Any]], status: int, code: str) -> None:
    upstream.models, upstream.models_status = models, status
    found = await seen("model", upstream.base_url, password=KEY)
    assert (found.state, found.code) == ("down", code)


async def test_a_provider_of_ours_is_asked_by_its_name(upstream: FakeUpstream, tmp_path: Path) -> None:
    provider = ProviderSettings.model_validate({"base_url": upstream.base_url, "api_key": KEY})
    settings = Settings(data_dir=tmp_path, providers={"vllm": provider})
    assert (await probe_of("vllm", ServiceSettings(check="model"), settings).look()).state == "up"
    assert (await probe_of("gpu", ServiceSettings(check="model", name="vllm"), settings).look()).state == "up"
    with pytest.raises(ConfigurationInvalid, match=r"services\.gpu: expected a url, or the name of one of \[providers\.X\]"):
        probe_of("gpu", ServiceSettings(check="model"), settings)


async def test_azure_is_asked_in_its_own_way(upstream: FakeUpstream, tmp_path: Path) -> None:
    values = {"base_url": upstream.base_url.removesuffix("/v1"), "api_key": KEY, "kind": "azure", "api_version": "2024-10-21"}
    settings = Settings(data_dir=tmp_path, providers={"azure": ProviderSettings.model_validate(values)})
    await probe_of("azure", ServiceSettings(check="model"), settings).look()
    (asked,) = upstream.requests
    assert (asked.path, asked.query) == ("/openai/models", "api-version=2024-10-21")
    assert asked.headers["api-key"] == KEY
