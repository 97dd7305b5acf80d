"""The checks before production as a flow: a result, and a table to look at."""

import json
from pathlib import Path

import psycopg
import pytest
from prefect import get_client
from prefect.client.schemas.sorting import ArtifactSort

from blocks.preflight.prefect_door import is_open
from core.config import load_settings
from flows.preflight import preflight
from flows.preflighting import compose_files
from tests.prefect_server import RunningServer

FILE = """
[changes.update]
commands = [["{hook}"]]
compose = ["compose.yaml"]
[preflight]
compose = ["platform.yaml", "platform.override.yaml"]
[hooks.before]
command = ["{hook}"]
"""


async def test_it_keeps_what_it_found_and_draws_a_table(
    database_url: str, prefect_client: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hook = tmp_path / "hook.py"
    hook.write_text("import subprocess\nsubprocess.run('ls ' + input(), shell=True)\n", encoding="utf-8")
    (tmp_path / "compose.yaml").write_text("name: shop\nservices: {web: {image: nginx}}\n", encoding="utf-8")
    (tmp_path / "pilothouse.toml").write_text(FILE.format(hook=hook), encoding="utf-8")
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("PILOTHOUSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("JWT_SECRET", "your-super-secret-jwt-key-change-this-in-production")
    monkeypatch.chdir(tmp_path)
    for name, image in (("platform.yaml", "redis:8.2.1"), ("platform.override.yaml", "redis:latest")):
        (tmp_path / name).write_text(f"name: platform\nservices: {{store: {{image: '{image}'}}}}\n", encoding="utf-8")
    platform = [str(tmp_path / name) for name in ("platform.yaml", "platform.override.yaml")]
    assert compose_files(load_settings()) == [platform, [str(tmp_path / "compose.yaml")]]
    result = await preflight()
    found = {each["id"]: each["status"] for each in result["items"]}
    assert (found["jwt_secret"], found["hook_scripts"], found["image_tags"], found["clock"]) == ("fail", "fail", "fail", "pass")
    (tags,) = (each["message"] for each in result["items"] if each["id"] == "image_tags")
    assert ("store" in tags, "web" in tags) == (True, True), tags
    assert result["fail"] == list(found.values()).count("fail")
    async with get_client() as client:
        (artifact,) = await client.read_artifacts(sort=ArtifactSort.CREATED_DESC, limit=1)
        assert await is_open(str(client.api_url), None) is True
    assert artifact.key == "preflight"
    assert len(json.loads(str(artifact.data))) == len(found)
    assert "your-super-secret" not in str(artifact.data) + str(result)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT flow, result -> 'fail' FROM pilothouse.run_results").fetchone() == (
            "preflight",
            result["fail"],
        )
