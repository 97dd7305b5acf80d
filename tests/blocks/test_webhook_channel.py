"""The webhook: the message as JSON, and what each answer means."""

import json
from collections.abc import Iterator

import pytest
from prefect.types import SecretDict
from pydantic import SecretStr

from blocks.channels import channel_of
from blocks.teams import TeamsChannel
from blocks.webhook_channel import WebhookChannel
from core.alerts.alert import Link
from core.alerts.message import Answer, Message
from core.config import Settings
from core.errors import ChannelRefused, ChannelUnavailable, PilothouseError
from core.settings_alerts import ChannelSettings
from tests.teams_service import SECRET, Teams, teams_service

TOLD = Message(
    "0193-1",
    "firing",
    "数据库 is down",
    "critical",
    lines=("It refuses connections.", "Since 08:30."),
    facts=(("Since", "08:30"), ("Affected", "7")),
    entries=("dify-api", "dify-worker"),
    links=(Link("Status page", "https://ph.example.com/status"),),
    alerts=({"fingerprint": "service:db", "severity": "critical"},),
)


@pytest.fixture
def endpoint() -> Iterator[Teams]:
    with teams_service() as service:
        yield service


def channel(url: str, **headers: str) -> TeamsChannel | WebhookChannel:
    secret = {name: SecretStr(value) for name, value in headers.items()}
    settings = ChannelSettings(kind="webhook", url=SecretStr(url), headers=secret, timeout=0.5)
    return channel_of("pager", settings, Settings(data_dir="/tmp/none"))  # type: ignore[arg-type]


async def test_the_message_is_posted_as_json(endpoint: Teams) -> None:
    endpoint.does('200 {"status": "accepted"}')
    answer = await channel(endpoint.url(), Authorization="Bearer geheim-12345").send(TOLD)
    assert answer == Answer(200, '{"status": "accepted"}')
    body = json.loads(endpoint.bodies[0])
    assert body.pop("at").endswith("+00:00")
    assert body == {
        "id": "0193-1",
        "kind": "firing",
        "severity": "critical",
        "title": "数据库 is down",
        "text": "It refuses connections.\n\nSince 08:30.",
        "facts": {"Since": "08:30", "Affected": "7"},
        "entries": ["dify-api", "dify-worker"],
        "links": [{"title": "Status page", "url": "https://ph.example.com/status"}],
        "alerts": [{"fingerprint": "service:db", "severity": "critical"}],
    }
    headers = endpoint.headers[0]
    assert (headers["Content-Type"], headers["Idempotency-Key"]) == ("application/json", "0193-1")
    assert headers["Authorization"] == "Bearer geheim-12345"


@pytest.mark.parametrize(
    ("step", "kind", "words"),
    [
        ("429", ChannelUnavailable, "limits our rate (429)"),
        ("503 busy", ChannelUnavailable, "failed (503). It said: busy"),
        ("slow", ChannelUnavailable, "did not answer within 0.5 s"),
        ("cut", ChannelUnavailable, "broke the connection off"),
        ("moved", ChannelRefused, "leads elsewhere (307)"),
        ("401", ChannelRefused, "check its headers"),
        ("404", ChannelRefused, "check its url"),
        ("422 no such field", ChannelRefused, "It said: no such field"),
    ],
)
async def test_what_it_answers_decides(endpoint: Teams, step: str, kind: type[PilothouseError], words: str) -> None:
    endpoint.elsewhere = endpoint.url()
    endpoint.does(step)
    with pytest.raises(kind) as raised:
        await channel(endpoint.url()).send(TOLD)
    assert words in raised.value.message
    assert endpoint.delivered == []
    assert len(endpoint.bodies) == 1


async def test_what_it_says_is_quoted_without_address_and_contents(endpoint: Teams) -> None:
    said = f"cannot POST {endpoint.url()} sig={SECRET} \u202e\x1b[31m Bearer abcdefghijk It refuses connections. And more."
    endpoint.does(f"200 {said}", f"500 {said}")
    words = (await channel(endpoint.url()).send(TOLD)).words
    assert words == "cannot POST [address] sig=[…] [31m Bearer *** …"
    with pytest.raises(ChannelUnavailable) as raised:
        await channel(endpoint.url()).send(TOLD)
    assert raised.value.message.endswith(words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"error": {"code": "Off", "message": "It is off."}}', "Off: It is off."),
        ('{"message": "no such token", "code": 50027}', "no such token"),
        ('{"error": "gone"}', '{"error": "gone"}'),
        ("[" * 3_000, "[" * 199 + "…"),
    ],
)
async def test_an_error_in_json_is_told_by_its_message(endpoint: Teams, body: str, words: str) -> None:
    endpoint.does(f"422 {body}")
    with pytest.raises(ChannelRefused) as raised:
        await channel(endpoint.url()).send(TOLD)
    assert raised.value.message.endswith(f"It said: {words}")


async def test_an_echo_of_what_was_sent_is_not_quoted(endpoint: Teams) -> None:
    told = Message(
        "1",
        "firing",
        "数据库 postgres_main 不可用，请尽快处理此告警，谢谢",
        "critical",
        facts=(("a", "b"), ("Login", "only-for-operators")),
    )
    for body in (json.dumps({"echo": told.title}), f'{{"echo": "{told.title}"}}', "got Login=only-for-operators"):
        endpoint.does(f"200 {body}")
        words = (await channel(endpoint.url()).send(told)).words
        assert words in {'{"echo": "…', "got Login=…"}


async def test_a_header_that_is_none_is_refused_without_telling_it(endpoint: Teams) -> None:
    for value in ("geheim\r\nX-Other: 1", "geheim 张"):
        block = WebhookChannel(name="pager", url=SecretStr(endpoint.url()), headers=SecretDict({"Authorization": value}))
        with pytest.raises(ChannelRefused, match="a header is not of the form") as raised:
            await block.send(TOLD)
        assert "geheim" not in raised.value.message
    assert endpoint.bodies == []


async def test_halves_of_characters_do_not_stop_a_message(endpoint: Teams) -> None:
    endpoint.does("204")
    await channel(endpoint.url()).send(Message("1", "test", "a\ud800b"))
    assert json.loads(endpoint.bodies[0])["title"] == "a?b"


def test_the_block_shows_no_header() -> None:
    block = channel("http://127.0.0.1/x?sig=hidden-1", Authorization="geheim-12345")
    shown = repr(block) + str(block) + json.dumps(block.model_dump(mode="json"))
    assert "geheim" not in shown
    assert "hidden-1" not in shown
    schema = WebhookChannel.model_json_schema()
    assert schema["secret_fields"] == ["url", "headers.*", "proxy"]
    assert all(field.get("description") for field in schema["properties"].values())
