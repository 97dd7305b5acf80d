"""``pilothouse models`` on a real database: what there is, what changed, and nothing at first."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from pydantic import SecretStr
from typer.testing import CliRunner

from core.config import DatabaseSettings
from core.model_versions import Version, listed_version
from core.store.base import Store
from core.store.models import Models
from deployments.models import models

Shown = Callable[..., str]


@pytest.fixture
def shown(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shown:
    monkeypatch.chdir(tmp_path)  # away from a pilothouse.toml
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("PILOTHOUSE_DATA_DIR", str(tmp_path))
    app = typer.Typer()
    app.command()(models)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


async def seen(url: str) -> None:
    store = Store.from_settings(DatabaseSettings(url=SecretStr(url)))
    kept = Models(store)
    before = [Version("qwen3:8b", "ollama", "sha256:" + "a" * 64), Version("old:1b", "ollama", "b" * 64)]
    await kept.note("box", before, ())
    await kept.note("box", [Version("qwen3:8b", "ollama", "sha256:" + "c" * 64)], ())
    await kept.note("vllm", [listed_version("m", {"root": "/m"})], ())
    await store.aclose()


def test_what_there_is_and_what_changed(shown: Shown, database_url: str) -> None:
    assert shown().startswith("No models are known yet")
    assert shown("--changes").startswith("Nothing has changed")
    assert json.loads(shown("--json")) == {"models": [], "changes": []}
    asyncio.run(seen(database_url))
    heading, old, qwen, vllm = shown().splitlines()
    assert heading.split("  ")[0] == "PROVIDER"
    assert old.split()[:3] == ["box", "old:1b", "b" * 12]
    assert "gone since" in old
    assert qwen.split()[:3] == ["box", "qwen3:8b", "c" * 12]
    assert vllm.endswith("there")
    _, gone, changed = shown("--changes").splitlines()
    assert ("gone" in gone, changed.split()[3:8]) == (True, ["box", "qwen3:8b", "changed", "a" * 12, "c" * 12])
    told = json.loads(shown("--provider", "box", "--json"))
    assert [(each["model"], each["kind"], each["goneAt"] is None) for each in told["models"]] == [
        ("old:1b", "ollama", False),
        ("qwen3:8b", "ollama", True),
    ]
    assert told["models"][1]["digest"] == "sha256:" + "c" * 64
    assert [(each["change"], each["what"]) for each in told["changes"]] == [("gone", []), ("changed", ["digest"])]
