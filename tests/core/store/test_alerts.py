"""Alerts: the same one twice is one, each time that it held is kept, open ones come first."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from core.alerts.alert import Alert, Link
from core.errors import NotFound
from core.store.alerts import Alerts
from core.store.base import Store
from core.store.heartbeats import Heartbeats
from tests.audit_rows import audit_rows


def down(name: str, **more: Any) -> Alert:
    return Alert(f"service:{name}", f"{name} is down", service=name, origin="sweep", **more)


def sql(url: str, statement: str, *values: Any) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode(), values)


async def test_an_alert_from_raised_to_resolved(store: Store, database_url: str) -> None:
    alerts = Alerts(store)
    first = down("postgres", facts={"Since": "08:30", "Folded": "3"}, links=(Link("Runbook", "https://example.org/r"),))
    assert await alerts.raise_(first)
    assert not await alerts.raise_(down("postgres", severity="warning", text="refused\x00"))
    found = await alerts.current("service:postgres")
    assert found is not None
    assert (found.status, found.times, found.severity, found.text) == ("open", 2, "warning", "refused\ufffd")
    assert (found.group, found.told, found.channels, found.flapping) == ("service:postgres", "", (), False)
    assert (found.facts, found.links) == ((), ()), "the new words take the place of the old"

    assert await alerts.resolve("service:postgres", "it answers again")
    assert not await alerts.resolve("service:postgres")
    raised, ended = audit_rows(database_url)
    assert (raised.action, raised.about, raised.details["origin"]) == ("alert.raised", found.id, "sweep")
    assert (ended.action, ended.about, ended.details) == ("alert.resolved", found.id, {"fingerprint": "service:postgres"})
    assert await alerts.current("service:postgres") is None
    over = await alerts.get(found.id)
    assert (over.status, over.resolved_words) == ("resolved", "it answers again")
    assert over.resolved_at is not None

    assert await alerts.raise_(first), "it holds again"
    again = await alerts.current("service:postgres")
    assert again is not None
    assert again.id != found.id
    assert (again.facts, again.links) == ((("Since", "08:30"), ("Folded", "3")), (Link("Runbook", "https://example.org/r"),))


async def test_raised_by_many_at_once_it_is_new_to_one(store: Store) -> None:
    alerts = Alerts(store)
    for _ in range(3):
        assert sum(await asyncio.gather(*(alerts.raise_(down("redis")) for _ in range(8)))) == 1
        assert sum(await asyncio.gather(*(alerts.resolve("service:redis") for _ in range(8)))) == 1
    assert len(await alerts.page(10)) == 3


async def test_many_at_once(store: Store) -> None:
    alerts = Alerts(store)
    many = [down(f"s{number}") for number in range(50)]
    assert await alerts.raise_all([*many, many[0]]) == 50
    assert await alerts.raise_all(many) == 0
    assert await alerts.resolve_all([one.fingerprint for one in many] + ["service:unknown"], "over") == 50


async def test_open_ones_come_first_page_by_page(store: Store) -> None:
    alerts = Alerts(store)
    for name in "abcdef":
        await alerts.raise_(down(name))
    await alerts.resolve_all(["service:f", "service:c"])
    names: list[str] = []
    before = None
    while page := await alerts.page(2, before):
        names += [one.service for one in page]
        before = page[-1].id
    assert names == ["e", "d", "b", "a", "f", "c"]
    assert [one.service for one in await alerts.page(9, status="resolved")] == ["f", "c"]
    assert [one.service for one in await alerts.open_(2)] == ["e", "d"]
    with pytest.raises(NotFound, match="no such alert"):
        await alerts.page(2, "gone")
    assert await alerts.counts(datetime.now(UTC) - timedelta(hours=1)) == {"open": 4, "raised": 6, "resolved": 2}


async def test_what_has_been_over_for_long_is_forgotten(store: Store, database_url: str) -> None:
    alerts = Alerts(store)
    await alerts.raise_all(down(name) for name in "abc")
    await alerts.resolve_all(["service:a", "service:b"])
    await alerts.raise_(down("b"))
    sql(database_url, "UPDATE pilothouse.alerts SET resolved_at = resolved_at - interval '11 days'")
    assert await alerts.forget(12) == 0
    assert [await alerts.forget(10, batch=1) for _ in range(3)] == [1, 1, 0]
    assert sorted(one.service for one in await alerts.page(9)) == ["b", "c"]
    assert not await alerts.raise_(down("b")), "it holds still, and what was told of it is known"


async def test_a_heartbeat_is_known_by_its_last(store: Store) -> None:
    heartbeats = Heartbeats(store)
    assert await heartbeats.last("nightly") is None
    first = await heartbeats.beat("nightly")
    second = await heartbeats.beat("nightly")
    assert await heartbeats.last("nightly") == second > first
    assert await heartbeats.last("other") is None
