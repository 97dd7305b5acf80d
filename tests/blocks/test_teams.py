"""Sending to Teams, held against a stand-in with its rules and bad days: what each answer means, and what is never told."""

import json
import logging
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from time import monotonic

import pytest
from pydantic import SecretStr

from blocks.teams import TeamsChannel
from core.alerts.alert import Link
from core.alerts.message import Answer, Message
from core.config import child_environment
from core.errors import ChannelRefused, ChannelUnavailable, PilothouseError
from core.settings_alerts import ChannelSettings
from tests.prefect_server import RunningServer
from tests.teams_rules import texts_of
from tests.teams_service import BARE, CONNECTOR, FAILED, SECRET, WORKFLOW, Teams, teams_service
from tests.waiting import eventually

TOLD = Message("0193-1", "firing", "数据库 dify_db is down", "critical", ("It refuses connections.",), (("Since", "08:30"),))
RATE = FAILED.format(429)


@pytest.fixture
def teams() -> Iterator[Teams]:
    with teams_service() as service:
        yield service


def channel(
    teams: Teams, path: str = WORKFLOW, *, wrap: bool = True, timeout: float = 5.0, url: str | None = None
) -> TeamsChannel:
    address = SecretStr(url or teams.url(path))
    settings = ChannelSettings(kind="teams_connector" if path == CONNECTOR else "teams", url=address, wrap=wrap, timeout=timeout)
    return TeamsChannel.from_settings("operators", settings)


async def failure(sender: TeamsChannel, message: Message = TOLD) -> PilothouseError:
    with pytest.raises(PilothouseError) as raised:
        await sender.send(message)
    told = "".join(traceback.format_exception(raised.value))
    parts = sender.url.get_secret_value().split("/", 3)[3]
    for secret in (SECRET, parts, "5f1c9a7e02bb4d0f", "9f8e7d6c5b4a", message.title, "127.0.0.1"):
        assert secret not in told + str(raised.value), f"{secret} is told"
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    return raised.value


async def test_a_workflow_gets_the_card_and_its_202_is_success(teams: Teams) -> None:
    assert await channel(teams).send(TOLD) == Answer(202, "")
    assert texts_of(teams.delivered[0])[:2] == ["数据库 dify_db is down", "It refuses connections."]
    assert teams.failed_runs == []
    assert "数据库".encode() in teams.bodies[0]
    assert b": " not in teams.bodies[0]


async def test_a_flow_made_by_hand_gets_the_bare_card(teams: Teams) -> None:
    await channel(teams, BARE, wrap=False).send(TOLD)
    assert teams.delivered[0]["type"] == "AdaptiveCard"
    await channel(teams, BARE).send(TOLD)
    assert teams.failed_runs == ["Property 'type' must be 'AdaptiveCard'"]


async def test_a_connector_gets_a_message_card_and_says_1(teams: Teams) -> None:
    assert await channel(teams, CONNECTOR).send(TOLD) == Answer(200, "1")
    assert teams.delivered[0]["@type"] == "MessageCard"


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_2xx_of_a_workflow_is_success(teams: Teams, status: int) -> None:
    teams.does(str(status))
    assert (await channel(teams).send(TOLD)).status == status


@pytest.mark.parametrize(
    ("step", "seconds"), [("429", 1.5), ("503", None), ("500", None), ("408", None), ("502 <html>Bad Gateway</html>", None)]
)
@pytest.mark.parametrize("path", [WORKFLOW, CONNECTOR])
async def test_what_passes_is_worth_another_try(teams: Teams, path: str, step: str, seconds: float | None) -> None:
    teams.retry_after = 1.5
    teams.does(step)
    error = await failure(channel(teams, path))
    assert isinstance(error, ChannelUnavailable)
    assert error.retry_after == seconds
    await channel(teams, path).send(TOLD)
    assert len(teams.delivered) == 1


async def test_retry_after_may_be_a_date_and_is_an_hour_at_most(teams: Teams) -> None:
    teams.retry_after = 60
    teams.does("429 date")
    error = await failure(channel(teams))
    assert error.retry_after is not None
    assert 55 < error.retry_after <= 62
    teams.retry_after = 9_000_000
    teams.does("429", "429 date")
    assert [(await failure(channel(teams))).retry_after for _ in range(2)] == [3600, 3600]


@pytest.mark.parametrize("path", [WORKFLOW, CONNECTOR])
async def test_more_than_four_a_second_are_limited_and_so_told(teams: Teams, path: str) -> None:
    for _ in range(4):
        await channel(teams, path).send(TOLD)
    error = await failure(channel(teams, path))
    assert isinstance(error, ChannelUnavailable)
    assert "limits our rate (429)" in error.message
    assert len(teams.delivered) == 4


@pytest.mark.parametrize(
    ("step", "kind", "words"),
    [
        (f"text {RATE}", ChannelUnavailable, "limits our rate (429)"),
        ("text Throttled: too many requests.", ChannelUnavailable, "limits our rate (429)"),
        (f"text {FAILED.format(504)}", ChannelUnavailable, "failed (504)"),
        (f"text {FAILED.format(413)}", ChannelRefused, "found the card too large (413)"),
        (f"text {FAILED.format(400)}", ChannelRefused, "refused the card (400)"),
        (f"text {FAILED.format(404)}", ChannelRefused, "retired"),
        ("text ", ChannelUnavailable, "did not say that the card arrived (200)"),
        ("text 11", ChannelUnavailable, "did not say that the card arrived (200)"),
        ("202", ChannelRefused, 'set kind = "teams"'),
        ("410", ChannelRefused, "retired"),
        ("400 Summary or Text is required.", ChannelRefused, "Summary or Text is required."),
    ],
)
async def test_a_connectors_200_is_judged_by_what_it_says(
    teams: Teams, step: str, kind: type[PilothouseError], words: str
) -> None:
    teams.does(step)
    error = await failure(channel(teams, CONNECTOR))
    assert isinstance(error, kind)
    assert words in error.message


async def test_a_connectors_text_counts_for_a_workflow_as_well(teams: Teams) -> None:
    """Somebody has put a connector's address where a Workflow's belongs."""
    teams.does(f"text {RATE}")
    assert isinstance(await failure(channel(teams)), ChannelUnavailable)


async def test_a_refusal_says_what_to_do(teams: Teams) -> None:
    wrong = teams.url().replace(SECRET, "AnotherSignature123")
    error = await failure(channel(teams, url=wrong))
    assert "AnotherSignature123" not in error.message
    assert isinstance(error, ChannelRefused)
    assert "copy its address again" in error.message
    assert error.message.endswith("It said: DirectApiAuthorizationRequired: The signature in […]?[…] is not valid.")
    assert "is not found" in (await failure(channel(teams, url=teams.url("/workflows/5f1c9a7e02bb4d0f/gone")))).message
    teams.on = False
    assert "turn the flow on" in (await failure(channel(teams))).message
    teams.on = True
    teams.does("400 Property 'type' must be 'AdaptiveCard'.")
    assert "set wrap = false" in (await failure(channel(teams))).message
    teams.does("400 The 'foreach' expression ... 'attachments' is of type 'Null'.")
    assert "set wrap = true" in (await failure(channel(teams))).message
    teams.does("413")
    assert "too large (413)" in (await failure(channel(teams))).message


@pytest.mark.parametrize("path", [WORKFLOW, CONNECTOR])
@pytest.mark.parametrize("step", ["slow", "drip", "cut"])
async def test_a_broken_or_stalled_answer_is_worth_another_try(teams: Teams, path: str, step: str) -> None:
    teams.does(step)
    began = monotonic()
    error = await failure(channel(teams, path, timeout=0.3))
    assert isinstance(error, ChannelUnavailable)
    assert monotonic() - began < 20
    await eventually(lambda: "channel" not in {thread.name for thread in threading.enumerate()}, what="its thread has ended")
    await channel(teams, path).send(TOLD)
    assert len(teams.delivered) == 1


async def test_a_service_that_is_away_is_told_without_its_address(teams: Teams) -> None:
    for host in ("127.0.0.1:1", "no-such-host.invalid"):
        url = teams.url().replace(f"127.0.0.1:{teams.port}", host)
        error = await failure(channel(teams, url=url))
        assert isinstance(error, ChannelUnavailable)
        assert "no-such-host" not in error.message


@pytest.mark.parametrize("url", ["http://[::1", "http://host.example:99999999/x", "https://ex ample/x", "http://\udcff/"])
async def test_an_address_that_is_none_is_refused(teams: Teams, url: str) -> None:
    sender = TeamsChannel(name="operators", url=SecretStr(url))
    with pytest.raises(ChannelRefused) as raised:
        await sender.send(TOLD)
    assert url not in raised.value.message


async def test_nothing_is_followed_to_another_host(teams: Teams) -> None:
    with teams_service() as other:
        teams.elsewhere = other.url()
        teams.does("moved")
        error = await failure(channel(teams))
        assert isinstance(error, ChannelRefused)
        assert "leads elsewhere (307)" in error.message
        assert other.bodies == []


async def test_addresses_in_alerts_are_shown_and_never_asked_for(teams: Teams) -> None:
    with teams_service() as other:
        url = f"http://127.0.0.1:{other.port}/metadata"
        links, entries = (Link("Look", url),), (f"[x]({url})", f"![x]({url})")
        await channel(teams).send(
            Message("1", "firing", url, "critical", (url,), (("u", url),), entries, links, (f"{url} <{url}>",))
        )
        assert teams.failed_runs == []
        assert teams.delivered[0]["attachments"][0]["content"]["actions"][0]["url"] == url
        assert other.paths == []


async def test_no_log_holds_the_address(
    teams: Teams, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        await channel(teams).send(TOLD)
        teams.does("401", "cut")
        for _ in range(2):
            await failure(channel(teams))
    said = caplog.text + "".join(capfd.readouterr())
    assert SECRET not in said
    assert "/workflows/" not in said


def test_the_block_shows_no_address_and_explains_each_field(teams: Teams) -> None:
    block = TeamsChannel(name="a", url=SecretStr(teams.url()), proxy=SecretStr("http://me:pass-word@proxy:3128"))
    shown = repr(block) + str(block) + json.dumps(block.model_dump(mode="json"))
    assert SECRET not in shown
    assert "pass-word" not in shown
    schema = TeamsChannel.model_json_schema()
    assert schema["secret_fields"] == ["url", "proxy"]
    assert all(field.get("description") for field in schema["properties"].values())
    assert "aload" in (TeamsChannel.get_code_example() or "")


ROUND_TRIP = """
import asyncio, sys
from pydantic import SecretStr
from prefect.client.orchestration import get_client
from prefect.types import SecretDict
from blocks.teams import TeamsChannel
from blocks.webhook_channel import WebhookChannel
from core.alerts.message import Message

async def main(url):
    made = TeamsChannel(name="operators", url=SecretStr(url), wrap=False)
    hook = WebhookChannel(name="pager", url=SecretStr(url), headers=SecretDict({"Authorization": "geheim-12345"}))
    await made.asave("operators", overwrite=True)
    await hook.asave("pager", overwrite=True)
    loaded, again = await TeamsChannel.aload("operators"), await WebhookChannel.aload("pager")
    assert again.headers.get_secret_value() == {"Authorization": "geheim-12345"}
    async with get_client() as client:
        shown = str([await client.read_block_documents(include_secrets=False)])
    assert "geheim-12345" not in shown and url not in shown and url.rpartition("=")[2] not in shown
    print(loaded.url.get_secret_value() == url, (await loaded.send(Message("1", "test", "x"))).status)

asyncio.run(main(sys.stdin.read()))
"""


def test_a_flow_loads_what_was_saved_and_the_server_shows_no_secret(teams: Teams, prefect_server: RunningServer) -> None:
    environment = child_environment(prefect_server.environment("flows"))
    done = subprocess.run(
        [sys.executable, "-c", ROUND_TRIP],
        input=teams.url(BARE),
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.stdout == "True 202\n", done.stderr[-3000:]
    assert len(teams.delivered) == 1
