"""``pilothouse config show`` for people and for programs."""

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from deployments.cli import main
from deployments.configuring import app

SECRETS = {"DATABASE_URL": "postgresql://u:hunter2@h/db", "AUTH_TOKEN": "hunter2", "REDIS_URL": "redis://:hunter2@h"}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_command_shows_it_to_people_and_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SECRETS, "OPENAI_API_KEY": "hunter2"}.items():
        monkeypatch.setenv(name, value)
    plain = CliRunner().invoke(app, ["show"])
    assert "# DATABASE_URL" in plain.output
    assert "OPENAI_API_KEY is set" in plain.output
    content = orjson.loads(CliRunner().invoke(app, ["show", "--json"]).output)
    assert {"key": "auth_token", "value": "********", "source": "AUTH_TOKEN"} in content["settings"]
    assert len(content["hints"]) == 1
    assert "hunter2" not in plain.output + repr(content)


def test_a_wrong_setting_is_one_line_and_exit_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PILOTHOUSE_PROT", "1")
    monkeypatch.setattr("sys.argv", ["pilothouse", "config", "show"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "PILOTHOUSE_PROT: unknown key prot; did you mean PILOTHOUSE_PORT?\n"
