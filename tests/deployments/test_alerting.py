"""``alert``, ``alerts`` and ``silence`` as people type them, against a served API and a channel of its own."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.errors import ChannelRefused, InputInvalid, NotFound
from core.ids import new_id
from deployments.cli import app
from deployments.postgres import EmbeddedPostgres
from tests.alert_inbox import AlertInbox, alert_inbox
from tests.api.serving import Served, launched
from tests.waiting import eventually

SETTINGS = """
[alerts]
wait = 0
interval = 0
[channels.ops]
kind = "webhook"
url = "{url}"
per_second = 100
"""
Pilothouse = Callable[..., str]


@pytest.fixture(scope="module")
def inbox() -> Iterator[AlertInbox]:
    with alert_inbox() as opened:
        yield opened


@pytest.fixture(scope="module")
def served(
    postgres: EmbeddedPostgres, template_database: str, inbox: AlertInbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = Path(tmp_path_factory.mktemp("alerting"))
    with launched(postgres, template_database, folder, {}, settings=SETTINGS.format(url=inbox.url)) as api:
        yield api


@pytest.fixture
def pilothouse(served: Served, tmp_path: Path) -> Pilothouse:
    """What a command prints; raises what it ends with."""
    environment = {"PILOTHOUSE_URL": served.url, "PILOTHOUSE_TOKEN": served.token, "HOME": str(tmp_path), "NO_COLOR": "1"}

    def typed(*words: str) -> str:
        result = CliRunner().invoke(app, [*words, "--data-dir", str(tmp_path)], env=environment)
        if result.exception is not None:
            raise result.exception
        return result.stdout.strip()

    return typed


async def test_an_alert_with_a_key_until_it_is_resolved(pilothouse: Pilothouse, inbox: AlertInbox) -> None:
    key = new_id()
    alert_id = pilothouse("alert", "The disk is full\nlook at /data", "--severity", "critical", "--key", key, "--service", "n1")
    assert pilothouse("alert", "The disk is full", "--key", key) == f"{alert_id} (it held already)"
    await eventually(lambda: "The disk is full" in inbox.titles, what="the message")
    lines = pilothouse("alerts", "list").splitlines()
    assert lines[0].split() == ["SEVERITY", "STATUS", "SINCE", "LASTS", "TITLE", "TOLD", "TO"]
    (line,) = [line for line in lines if "The disk is full" in line]
    assert line.split()[:2] == ["warning", "open"]
    assert line.endswith("ops")
    (listed,) = [each for each in json.loads(pilothouse("alerts", "list", "--json"))["alerts"] if each["key"] == key]
    assert (listed["id"], listed["service"]) == (alert_id, "")
    assert pilothouse("alert", "cleaned", "--key", key, "--resolved") == "resolved"
    assert pilothouse("alert", "cleaned", "--key", key, "--resolved") == "nothing of this key held"
    assert "The disk is full" in pilothouse("alerts", "list", "--all", "--limit", "500")
    assert alert_id not in pilothouse("alerts", "list", "--json")


async def test_a_note_is_told_and_over(pilothouse: Pilothouse, inbox: AlertInbox) -> None:
    made = json.loads(pilothouse("alert", "look at the notes", "--title", "Release 1.2", "--severity", "info", "--json"))
    assert made["changed"]
    await eventually(lambda: "Release 1.2" in inbox.titles, what="the message")
    with pytest.raises(InputInvalid, match="severity"):
        pilothouse("alert", "x", "--severity", "loud")


def test_a_channel_says_what_came_back(pilothouse: Pilothouse, inbox: AlertInbox) -> None:
    assert pilothouse("alerts", "test", "ops") == "ops answered 200"
    assert json.loads(pilothouse("alerts", "test", "ops", "--json")) == {"channel": "ops", "status": 200, "words": ""}
    inbox.script.append(404)
    with pytest.raises(ChannelRefused, match='"ops"'):
        pilothouse("alerts", "test", "ops")
    with pytest.raises(NotFound, match="there are: ops"):
        pilothouse("alerts", "test", "teams")
    assert pilothouse("alerts", "channels").splitlines()[1].split()[:3] == ["ops", "webhook", "0"]


def test_a_silence_from_its_making_to_its_end(pilothouse: Pilothouse) -> None:
    name = f"dify-{new_id()}"
    made = json.loads(pilothouse("silence", "add", f"{name}*", "--for", "1.5h", "--comment", "upgrade", "--json"))
    assert (made["services"], made["comment"]) == ([f"{name}*"], "upgrade")
    (line,) = [line for line in pilothouse("silence", "list").splitlines() if made["id"] in line]
    assert f"services: {name}*" in line
    assert pilothouse("silence", "end", made["id"]) == "ended"
    assert made["id"] not in pilothouse("silence", "list")
    assert made["id"] in pilothouse("silence", "list", "--all", "--json")
    with pytest.raises(NotFound):
        pilothouse("silence", "end", made["id"])
    day = datetime.now(UTC).date() + timedelta(days=10)
    until = pilothouse("silence", "add", name, "--until", f"{day}T06:00+08:00")
    assert until.endswith(f"until {day - timedelta(days=1)} 22:00 UTC")
    pilothouse("silence", "end", until.split()[0])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["x"], "needs an end"),
        (["x", "--for", "1h", "--until", "2100-01-01T00:00Z"], "needs an end"),
        (["x", "--for", "soon"], "such as 30min"),
        (["--for", "1h"], "services"),
        (["x", "--until", "tomorrow"], "endsAt"),
    ],
)
def test_a_silence_says_what_it_needs(pilothouse: Pilothouse, words: list[str], why: str) -> None:
    with pytest.raises(InputInvalid, match=why):
        pilothouse("silence", "add", *words)
