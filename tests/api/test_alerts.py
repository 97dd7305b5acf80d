"""Alerts over HTTP: who may tell, what is refused by name, what Alertmanager and Grafana send, silences, heartbeats, channels."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.ids import new_id
from deployments.postgres import EmbeddedPostgres
from tests.alert_inbox import AlertInbox, alert_inbox
from tests.api.serving import Served, beside, launched
from tests.waiting import eventually

SETTINGS = """
[alerts]
wait = 0
interval = 0
[channels.ops]
kind = "webhook"
url = "{url}"
per_second = 100
services = ["told-*"]
[services.nightly]
check = "heartbeat"
[services.weekly]
check = "heartbeat"
name = "weekly-report"
"""


@pytest.fixture(scope="module")
def inbox() -> Iterator[AlertInbox]:
    with alert_inbox() as opened:
        yield opened


@pytest.fixture(scope="module")
def served(
    postgres: EmbeddedPostgres, template_database: str, inbox: AlertInbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """An API without Prefect: what is tested here works without."""
    folder = Path(tmp_path_factory.mktemp("alerts"))
    with launched(postgres, template_database, folder, {}, settings=SETTINGS.format(url=inbox.url)) as api:
        yield api


@pytest.fixture
async def client(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with served.client() as opened:
        yield opened


@pytest.fixture
def key() -> str:
    """One that no other test has."""
    return f"k{new_id()[-12:]}"


async def posted(client: httpx.AsyncClient, path: str = "/alerts", /, **body: Any) -> dict[str, Any]:
    response = await client.post(path, json=body)
    assert response.status_code in (200, 201, 202), response.text
    found: dict[str, Any] = response.json()
    return found


async def found(client: httpx.AsyncClient, key: str) -> dict[str, Any]:
    listed = (await client.get("/alerts", params={"limit": 200})).json()["alerts"]
    (alert,) = [each for each in listed if each["key"] == key or each["fingerprint"].endswith(key)]
    return dict(alert)


async def test_an_alert_from_a_post_to_the_channel_and_its_end(client: httpx.AsyncClient, inbox: AlertInbox, key: str) -> None:
    body = {
        "title": f"{key} is full",
        "severity": "critical",
        "service": f"told-{key}",
        "key": key,
        "facts": {"Disk": "/data", "Used": 97.5},
        "links": [{"title": "Runbook", "url": "https://example.org/disk"}],
    }
    first = await posted(client, **body)
    again = await posted(client, **body)
    assert (first["changed"], again["changed"], first["id"]) == (True, False, again["id"])
    await eventually(lambda: f"{key} is full" in inbox.titles, what="the message")
    message = next(each for each in inbox.taken if each["title"] == f"{key} is full")
    assert (message["severity"], message["facts"]["Used"]) == ("critical", "97.5")
    assert [link["title"] for link in message["links"]] == ["Runbook", "Status page"]
    alert = await found(client, key)
    assert (alert["status"], alert["told"], alert["channels"], alert["times"]) == ("open", "firing", ["ops"], 2)

    over = await posted(client, key=key, status="resolved", text="cleaned up")
    assert (over["id"], over["changed"]) == (first["id"], True)
    assert not (await posted(client, key=key, status="resolved"))["changed"]
    await eventually(lambda: any(title.startswith("Over after") and key in title for title in inbox.titles), what="the end")
    assert (await found(client, key))["resolvedWords"] == "cleaned up"


async def test_words_without_a_key_are_told_and_over(client: httpx.AsyncClient, inbox: AlertInbox, key: str) -> None:
    made = await posted(client, text=f"Release {key}\nwith all its notes", service="told-release")
    await eventually(lambda: f"Release {key}" in inbox.titles, what="the message")
    listed = (await client.get("/alerts", params={"status": "resolved", "limit": 200})).json()["alerts"]
    alert = next(each for each in listed if each["id"] == made["id"])
    assert (alert["text"], alert["key"]) == ("with all its notes", None)


async def test_the_same_request_twice_is_one_alert(client: httpx.AsyncClient, key: str) -> None:
    headers = {"Idempotency-Key": key}
    answers = [await client.post("/alerts", json={"text": f"once {key}"}, headers=headers) for _ in range(2)]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    other = await client.post("/alerts", json={"text": "another"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"text": "  "}, "body"),
        ({"text": "x", "severity": "bad"}, "severity"),
        ({"text": "x" * 10_001}, "text"),
        ({"text": "x", "links": [{"title": "x", "url": "javascript:alert(1)"}]}, "links.0.url"),
        ({"text": "x", "links": [{"title": "x", "url": "file:///etc/passwd"}]}, "links.0.url"),
        ({"text": "x", "facts": {str(number): "1" for number in range(21)}}, "facts"),
        ({"text": "x", "channel": "http://169.254.169.254/"}, "channel"),
        ({"text": "x", "status": "resolved"}, "key"),
        ({"text": "x\x00y"}, "body"),
        ({"text": "x", "key": "k" * 201}, "key"),
    ],
)
async def test_what_is_wrong_is_named(client: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    response = await client.post("/alerts", json=body)
    assert response.status_code == 422, response.text
    assert str(response.json()["field"]).startswith(field), response.text


async def test_who_may_tell_and_who_may_read(served: Served, client: httpx.AsyncClient) -> None:
    async def asked(scope: str, method: str, path: str, **body: Any) -> int:
        headers = {"Authorization": f"Bearer {beside(served.make_token(scope))}"}
        return (await client.request(method, path, headers=headers, json=body or None)).status_code

    assert [await asked(scope, "POST", "/alerts", text="x") for scope in ("alerts", "chat", "heartbeat")] == [202, 403, 403]
    assert [await asked(scope, "GET", "/alerts") for scope in ("read", "alerts")] == [200, 403]
    assert [await asked(scope, "POST", "/heartbeats/nightly") for scope in ("heartbeat", "alerts")] == [200, 403]
    assert [await asked(scope, "POST", "/channels/ops/test") for scope in ("alerts", "read")] == [403, 403]
    assert [await asked(scope, "POST", "/silences", services=["x"]) for scope in ("alerts", "read")] == [403, 403]


def of_alertmanager(key: str, *states: str) -> dict[str, Any]:
    return {
        "version": "4",
        "groupKey": '{}:{alertname="HighLoad"}',
        "status": "firing",
        "receiver": "pilothouse",
        "groupLabels": {"alertname": "HighLoad"},
        "commonLabels": {"alertname": "HighLoad"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "truncatedAlerts": 0,
        "alerts": [
            {
                "status": state,
                "labels": {"alertname": "HighLoad", "severity": "page", "instance": f"n{at}", "service": f"told-{key}"},
                "annotations": {"summary": f"Load of n{at} is high", "runbook_url": "https://example.org/load"},
                "startsAt": "2026-11-21T08:30:00Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://prometheus:9090/graph?g0.expr=load",
                "fingerprint": f"{at}{key}",
            }
            for at, state in enumerate(states)
        ],
    }


async def test_what_alertmanager_sends(client: httpx.AsyncClient, inbox: AlertInbox, key: str) -> None:
    answer = await posted(client, "/alerts/alertmanager", **of_alertmanager(key, "firing", "firing"))
    assert answer == {"firing": 2, "resolved": 0, "changed": 2}
    title = "2 alerts: Load of n0 is high and 1 more"
    await eventually(lambda: title in inbox.titles, what="one message for the group")
    alert = await found(client, f"0{key}")
    assert (alert["severity"], alert["origin"], alert["facts"]) == (
        "critical",
        "alertmanager",
        {"Alert": "HighLoad", "instance": "n0"},
    )
    assert [link["title"] for link in alert["links"]] == ["Runbook", "Source"]
    answer = await posted(client, "/alerts/alertmanager", **of_alertmanager(key, "firing", "resolved"))
    assert answer == {"firing": 1, "resolved": 1, "changed": 1}
    assert [(await found(client, f"{at}{key}"))["status"] for at in (0, 1)] == ["open", "resolved"]


async def test_what_grafana_sends(client: httpx.AsyncClient, key: str) -> None:
    one = {
        "status": "firing",
        "labels": {"alertname": "Latency", "grafana_folder": "Platform"},
        "annotations": {"description": "p95 is above 2 s"},
        "generatorURL": "https://grafana.example.org/alerting/grafana/x/view",
        "fingerprint": key,
        "silenceURL": "https://grafana.example.org/alerting/silence/new",
        "dashboardURL": "https://grafana.example.org/d/1",
        "panelURL": "javascript:alert(1)",
        "values": {"B": 2.31},
    }
    more = {
        "receiver": "pilothouse",
        "orgId": 1,
        "title": "[FIRING:1] Latency",
        "state": "alerting",
        "message": "…",
        "version": "1",
    }
    await posted(client, "/alerts/alertmanager", status="firing", groupKey="g", alerts=[one], **more)
    alert = await found(client, key)
    assert (alert["title"], alert["text"], alert["severity"], alert["origin"]) == (
        "Latency",
        "p95 is above 2 s",
        "warning",
        "grafana",
    )
    assert alert["facts"] == {"grafana_folder": "Platform", "B": "2.31"}
    assert [link["title"] for link in alert["links"]] == ["Source", "Dashboard"]
    ended = await posted(client, "/alerts/alertmanager", status="resolved", groupKey="g", alerts=[one | {"status": "resolved"}])
    assert ended["changed"] == 1


async def test_what_an_old_grafana_sends(client: httpx.AsyncClient, key: str) -> None:
    rule = {"ruleId": key, "ruleName": "CPU", "message": "too hot", "evalMatches": [{"metric": "cpu", "value": 97, "tags": {}}]}
    await posted(client, "/alerts/alertmanager", state="alerting", **rule)
    assert (await found(client, key))["facts"] == {"cpu": "97"}
    assert (await posted(client, "/alerts/alertmanager", state="ok", **rule))["changed"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "alerts"),
        ({"alerts": "no"}, "alerts"),
        ({"alerts": [1]}, "alerts.0"),
        ({"alerts": [{}]}, "alerts.0.labels"),
        ({"alerts": [{"labels": [1]}]}, "alerts.0.labels"),
        ({"alerts": [{"labels": {"alertname": "x"}}] * 1001}, "alerts"),
    ],
)
async def test_a_webhook_that_is_none_is_named(client: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    response = await client.post("/alerts/alertmanager", json=body)
    assert (response.status_code, response.json()["field"]) == (422, field)


async def test_a_silence_holds_until_it_is_ended(client: httpx.AsyncClient, inbox: AlertInbox, key: str) -> None:
    ends = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    silence = await posted(client, "/silences", services=[f"told-{key}*"], endsAt=ends, comment="upgrade", by="ann")
    await posted(client, title=f"{key} is silent", service=f"told-{key}", key=key)
    await posted(client, title=f"{key} is loud", service="told-other", key=f"{key}-other")
    await eventually(lambda: f"{key} is loud" in inbox.titles, what="the message beside it")
    assert f"{key} is silent" not in inbox.titles
    assert (await found(client, key))["silence"] == {"id": silence["id"], "endsAt": silence["endsAt"]}
    listed = (await client.get("/silences")).json()["silences"]
    assert [(each["by"], each["comment"]) for each in listed if each["id"] == silence["id"]] == [("ann", "upgrade")]
    assert (await client.delete(f"/silences/{silence['id']}")).status_code == 204
    assert (await client.delete(f"/silences/{silence['id']}")).status_code == 404
    await eventually(lambda: f"{key} is silent" in inbox.titles, what="what was kept back")
    over = (await client.get("/silences", params={"all": True, "limit": 1})).json()
    assert len(over["silences"]) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"endsAt": "2100-01-01T00:00:00Z"}, "services"),
        ({"services": ["x"]}, "endsAt"),
        ({"services": ["x"], "endsAt": "2020-01-01T00:00:00Z"}, "endsAt"),
        ({"services": ["x"], "endsAt": "2100-01-01T00:00:00Z"}, "endsAt"),
        ({"services": ["x"], "endsAt": "2026-01-01"}, "endsAt"),
        ({"severities": ["loud"], "endsAt": "2100-01-01T00:00:00Z"}, "severities"),
    ],
)
async def test_a_silence_that_is_wrong_is_named(client: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    response = await client.post("/silences", json=body)
    assert response.status_code == 422, response.text
    assert str(response.json()["field"]).startswith(field)


async def test_heartbeats_of_names_that_are_waited_for(client: httpx.AsyncClient) -> None:
    for name in ("nightly", "weekly-report"):
        assert (await client.post(f"/heartbeats/{name}")).json()["name"] == name
    unknown = await client.post("/heartbeats/weekly")
    assert (unknown.status_code, "nightly, weekly-report" in unknown.json()["detail"]) == (404, True)


async def test_a_channel_is_tried_and_shown_without_its_address(client: httpx.AsyncClient, inbox: AlertInbox) -> None:
    assert (await client.post("/channels/ops/test")).json() == {"channel": "ops", "status": 200, "words": ""}
    assert "A test from Pilothouse" in inbox.titles
    inbox.script.append(404)
    refused = await client.post("/channels/ops/test")
    assert (refused.status_code, refused.json()["code"]) == (502, "channel_refused")
    assert (await client.post("/channels/http:%2F%2F127.0.0.1/test")).status_code == 404
    shown = await client.get("/channels")
    assert [each["name"] for each in shown.json()["channels"]] == ["ops"]
    assert inbox.url not in shown.text


async def test_pages_follow_each_other(client: httpx.AsyncClient, key: str) -> None:
    for number in range(3):
        await posted(client, text="x", key=f"{key}-{number}")
    seen: list[str] = []
    before: dict[str, str] = {}
    while True:
        page = (await client.get("/alerts", params={"limit": "2", "status": "open"} | before)).json()
        seen += [each["key"] for each in page["alerts"]]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert [name for name in seen if name and name.startswith(key)] == [f"{key}-{number}" for number in (2, 1, 0)]
    assert (await client.get("/alerts", params={"before": "gone"})).status_code == 404


async def test_ids_that_are_none_are_no_fault_of_ours(client: httpx.AsyncClient) -> None:
    assert (await client.get("/alerts", params={"before": "a\x00"})).status_code == 404
    assert (await client.get("/silences", params={"before": "a\x00"})).status_code == 200
    for method, path in (("DELETE", "/silences/%00"), ("POST", "/heartbeats/%00"), ("POST", "/channels/%00/test")):
        assert (await client.request(method, path)).status_code == 404
    odd = {"status": "resolved", "key": "k\x00"}
    assert (await client.post("/alerts", json=odd)).status_code == 422
    assert (await client.post("/alerts", json={"text": "x"}, headers={"Idempotency-Key": "k" * 256})).status_code == 422
