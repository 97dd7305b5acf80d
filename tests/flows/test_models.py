"""``sync_models``: what is there is kept, what changed is told once, and a provider that is away stops no other."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.sorting import ArtifactSort

from core.config import DatabaseSettings
from core.errors import NotFound, ProviderUnavailable
from core.store.alerts import Alerts
from core.store.base import Store
from core.store.models import Models
from flows import models as flow_module
from flows.models import sync_models
from tasks.models import list_versions
from tests.blocks.model_servers import OllamaServer, serving
from tests.ports import free_port
from tests.prefect_server import RunningServer
from tests.upstream import KEY, FakeUpstream

CONFIGURED = """
[providers.box]
base_url = "{ollama}/v1"
models = [{{ name = "qwen3:8b" }}]

[providers.vllm]
base_url = "{vllm}"
api_key = "{key}"

[providers.away]
base_url = "http://127.0.0.1:{away}/v1"
api_key = "sk-of-the-one-that-is-away"
"""
MODELS: dict[str, dict[str, Any]] = {"qwen3:8b": {}, "old:1b": {}}


class Stage:
    def __init__(self, ollama: OllamaServer, vllm: FakeUpstream, store: Store) -> None:
        self.ollama, self.vllm, self.store = ollama, vllm, store
        self.models, self.alerts = Models(store), Alerts(store)


@pytest.fixture
async def stage(
    database_url: str, prefect_client: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Stage]:
    monkeypatch.setattr(flow_module, "list_versions", list_versions.with_options(retry_delay_seconds=0))
    ollama = OllamaServer(MODELS)
    store = Store.from_settings(DatabaseSettings.model_validate({"url": database_url}))
    async with serving(ollama.application()) as ollama.url, FakeUpstream(models=[{"id": "m", "root": "/m/a"}]) as vllm:
        file = tmp_path / "pilothouse.toml"
        file.write_text(CONFIGURED.format(ollama=ollama.url, vllm=vllm.base_url, key=KEY, away=free_port()))
        for name, value in (("DATABASE_URL", database_url), ("PILOTHOUSE_DATA_DIR", tmp_path), ("PILOTHOUSE_CONFIG", file)):
            monkeypatch.setenv(name, str(value))
        yield Stage(ollama, vllm, store)
    await store.aclose()


async def test_what_changed_of_a_model_that_is_used_is_told_once(stage: Stage) -> None:
    first = await sync_models()
    assert first == {"providers": {"box": 2, "vllm": 1}, "away": {"away": "provider_unavailable"}, "changes": [], "told": 0}
    assert [(each.provider, each.model) for each in await stage.models.all()] == [
        ("box", "old:1b"),
        ("box", "qwen3:8b"),
        ("vllm", "m"),
    ]
    stage.ollama.digests = {"qwen3:8b": "pulled-again", "old:1b": "pulled-too"}
    stage.vllm.models_status = 503
    second = await sync_models()
    assert second["changes"] == [
        {"provider": "box", "model": "qwen3:8b", "change": "changed", "what": ["digest"]},
        {"provider": "box", "model": "old:1b", "change": "changed", "what": ["digest"]},
    ]
    assert (second["told"], set(second["away"])) == (1, {"away", "vllm"})
    (alert,) = await stage.alerts.open_()
    assert (alert.severity, alert.service, alert.lasting) == ("warning", "model-box/qwen3:8b", False)
    assert [each.gone_at for each in await stage.models.all("vllm")] == [None], "away is not gone"

    third = await sync_models(provider="box")
    assert (third["providers"], third["changes"], third["told"]) == ({"box": 2}, [], 0)
    assert [each.times for each in await stage.alerts.open_()] == [1]
    async with get_client() as client:
        (artifact,) = await client.read_artifacts(sort=ArtifactSort.CREATED_DESC, limit=1)
    rows = json.loads(str(artifact.data))
    assert artifact.key == "models"
    assert {row["model"] for row in rows} == {"qwen3:8b", "old:1b"}
    assert "sk-" not in str(artifact.data) + str(second)


async def test_a_change_that_could_not_be_told_is_told_by_the_next_run(stage: Stage) -> None:
    await sync_models(provider="box")
    await stage.models.note(
        "box", [each.version for each in await stage.models.all("box") if each.model != "qwen3:8b"], {"qwen3:8b"}
    )
    result = await sync_models(provider="box")
    assert (result["told"], [each["change"] for each in result["changes"]]) == (2, ["back"])
    assert {each.title for each in await stage.alerts.open_()} == {
        "Model qwen3:8b is not there any more",
        "Model qwen3:8b is there again",
    }


async def test_a_provider_asked_for_alone_has_to_answer(stage: Stage) -> None:
    with pytest.raises(NotFound, match="away, box, vllm"):
        await sync_models(provider="nobody")
    with pytest.raises(ProviderUnavailable):
        await sync_models(provider="away")
