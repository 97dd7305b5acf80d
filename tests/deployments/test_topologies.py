"""``topology import`` and ``topology show``, with nothing running."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from core.errors import ConfigurationInvalid
from deployments.topologies import app

COMPOSE = """
name: shop
services:
  web: {image: "nginx:1", ports: ["8080:80"], depends_on: [api], healthcheck: {test: "curl -f http://localhost/health"}}
  api: {image: example/api, container_name: shop-of-old, environment: {DATABASE_URL: "postgresql://u:hunter2@db/x"}}
  db: {image: "postgres:16", ports: ["127.0.0.1:5432:5432"], environment: {POSTGRES_PASSWORD: "${DB_SECRET}"}}
  spare: {image: example/spare, profiles: [spare]}
"""


ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
    (tmp_path / ".env").write_text("DB_SECRET=hunter2\n", encoding="utf-8")
    return tmp_path


def pilothouse(folder: Path, *arguments: str, given: str | None = None) -> Result:
    """The commands in this process; what they refuse is in ``exception``."""
    return CliRunner().invoke(app, [*arguments, "--data-dir", str(folder / "data")], input=given, env={"COLUMNS": "120"})


def refused(result: Result) -> str:
    assert isinstance(result.exception, ConfigurationInvalid)
    return result.exception.message


def test_json_gives_services_and_findings_and_writes_nothing(folder: Path) -> None:
    done = pilothouse(folder, "import", "compose.yaml", "--json", "--no-docker")
    assert (done.exit_code, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    services = {service["name"]: service for service in found["services"]}
    assert services["web"] == {
        "name": "web",
        "image": "nginx:1",
        "container": "shop-web-1",
        "probe": {"check": "http", "url": "http://127.0.0.1:8080/health"},
        "dependsOn": ["api"],
        "hints": [],
        "oneShot": False,
    }
    assert set(services) == {"web", "api", "db"}
    assert services["api"]["probe"] is None
    assert services["api"]["container"] == "shop-of-old"
    assert services["api"]["hints"] == ["db"]
    assert services["db"]["probe"]["password"] == "env:DB_SECRET"
    assert [finding["service"] for finding in found["findings"] if finding["level"] == "warning"] == ["api"]
    assert "hunter2" not in done.stdout
    assert {path.name for path in folder.iterdir()} == {"compose.yaml", ".env"}


def test_standard_input_and_docker(folder: Path) -> None:
    done = pilothouse(folder, "import", "-", "--json", "--docker", "--host", "10.0.0.9", "--name", "told", given=COMPOSE)
    found = json.loads(done.stdout)
    assert found["name"] == "told"
    probes = {service["name"]: service["probe"] for service in found["services"]}
    assert probes["api"] == {"check": "docker", "container": "shop-of-old"}
    assert probes["web"]["url"] == "http://10.0.0.9:8080/health"
    assert probes["db"] == {"check": "docker", "container": "shop-db-1"}


def test_it_is_kept_shown_and_not_overwritten(folder: Path) -> None:
    first = pilothouse(folder, "import", "compose.yaml", "--no-docker")
    file = folder / "data" / "topologies" / "shop.toml"
    assert first.exit_code == 0
    assert f"kept: {file}" in first.stdout
    assert "api (shop-of-old)" in first.stdout
    assert "hunter2" not in first.stdout + file.read_text(encoding="utf-8")
    assert "says the same already" in pilothouse(folder, "import", "compose.yaml", "--no-docker").stdout
    edited = file.read_text(encoding="utf-8").replace('url = "http://127.0.0.1:8080/health"', 'url = "http://shop.example/x"')
    file.write_text(edited, encoding="utf-8")
    again = pilothouse(folder, "import", "compose.yaml", "--no-docker")
    assert "services.web.url: http://shop.example/x in the file, http://127.0.0.1:8080/health in the import" in refused(again)
    assert file.read_text(encoding="utf-8") == edited
    shown = json.loads(pilothouse(folder, "show", "--json").stdout)["topologies"]
    assert [(each["name"], each["file"]) for each in shown] == [("shop", str(file))]
    assert shown[0]["services"][2]["probe"]["url"] == "http://shop.example/x"
    assert "http://shop.example/x" in pilothouse(folder, "show").stdout
    assert pilothouse(folder, "import", "compose.yaml", "--no-docker", "--replace").exit_code == 0
    assert file.with_suffix(".toml.old").read_text(encoding="utf-8") == edited


def test_a_refusal_ends_with_2_and_one_line(folder: Path) -> None:
    (folder / "bad.yaml").write_text("services:\n  a:\n    image: a\n    imgae: b\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "deployments.cli", "topology", "import", "bad.yaml", "--json"],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("bad.yaml, line 4: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--name", "../x"), "--name"),
        (("--name", "pilothouse"), "Pilothouse's own"),
        (("--json", "--out", "x.toml"), "--json writes nothing"),
        (("--reader", "mine"), "--reader"),
        (("--host", "http://h"), "--host"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(folder: Path, arguments: tuple[str, ...], expected: str) -> None:
    assert expected in refused(pilothouse(folder, "import", "compose.yaml", *arguments))


def test_nothing_kept_yet(folder: Path) -> None:
    assert "There is no topology yet" in pilothouse(folder, "show").stdout


def test_a_broken_file_is_told_beside_the_others(folder: Path) -> None:
    kept = folder / "data" / "topologies"
    kept.mkdir(parents=True)
    (kept / "bad.toml").write_text("[services.a]\ncheck = 'nothing'\n", encoding="utf-8")
    (kept / "good.toml").write_text("[services.a]\ncheck = 'none'\n", encoding="utf-8")
    shown = pilothouse(folder, "show", "--json")
    assert "bad.toml: services.a.check" in refused(shown)
    assert [topology["name"] for topology in json.loads(shown.stdout)["topologies"]] == ["good"]
