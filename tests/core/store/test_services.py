"""Services in the database: saved all at once, forgotten with their history kept, one sweep at a time, thinned with age."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from core.store.base import Store
from core.store.samples import Samples, Uptime
from core.store.services import LEASE_SECONDS, Services, SweepRecord, Sweeps
from core.sweeps.service import Key, ServiceState

NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


def state(name: str, **more: object) -> ServiceState:
    return replace(ServiceState("dify", name, "http", NOW), **more)  # type: ignore[arg-type]


async def test_services_come_back_as_they_were_saved(store: Store) -> None:
    services = Services(store)
    full = state(
        "api",
        position=1,
        title="API \u0000 端",
        platform="dify",
        severity="warning",
        runbook="https://wiki/api",
        depends_on=("db", "redis"),
        hints=("sandbox",),
        state="down",
        pending="up",
        streak=1,
        code="status",
        message="502",
        seconds=0.25,
        facts={"status": 502, "via": "nginx", "share": 0.5},
        checked_at=NOW,
        good_at=NOW - timedelta(hours=1),
        flips=3,
        root="dify/db",
        looks=2,
        told="digest",
        maintenance=True,
    )
    await services.save([full, state("db"), replace(state("db"), topology="other")])
    assert await services.all("dify") == [state("db"), replace(full, title="API \ufffd 端")]
    await services.save([replace(full, state="up", root=None, told=None)])
    found = {each.key: each for each in await services.all()}
    assert found[Key("dify", "api")].state == "up"
    assert found[Key("dify", "api")].told is None
    assert list(found) == [("dify", "db"), ("dify", "api"), ("other", "db")]
    await services.save([])


async def test_one_that_left_is_forgotten_and_begins_anew_with_its_history(store: Store) -> None:
    services, samples = Services(store), Samples(store)
    down = state("api", state="down", told="digest")
    await services.save([down, state("db")])
    await samples.add(NOW, [down])
    await services.forget([down.key])
    assert [each.name for each in await services.all()] == ["db"]
    assert await samples.since(NOW - timedelta(days=1)) == {}
    assert await samples.uptimes(NOW - timedelta(days=1)) == {}
    await services.save([state("api", state="up")])
    assert [(each.name, each.state, each.told) for each in await services.all()] == [("api", "up", None), ("db", "unknown", None)]
    assert [each.state for each in (await samples.since(NOW))[down.key]] == ["down"]


async def test_a_thousand_services_are_one_statement(store: Store) -> None:
    many = [state(f"service-{number:04}", seconds=0.1) for number in range(1000)]
    await Services(store).save(many)
    await Samples(store).add(NOW, many)
    assert await Services(store).all() == many
    assert len(await Samples(store).since(NOW)) == 1000


async def test_only_one_sweeps_at_a_time(store: Store) -> None:
    sweeps = Sweeps(store)
    async with sweeps.held("one") as mine:
        assert mine
        async with sweeps.held("two") as also:
            assert not also
        assert await sweeps.take("one")
    assert await sweeps.take("two")
    async with store.single() as connection:
        await connection.execute(text(f"UPDATE pilothouse.sweep_lease SET lease_until = now() - interval '{LEASE_SECONDS}s'"))
    assert await sweeps.take("three"), "that of a dead process lapses"
    await sweeps.leave("two")
    assert not await sweeps.take("one")


async def test_the_last_sweep_of_all_services_counts(store: Store) -> None:
    sweeps = Sweeps(store)
    assert await sweeps.last() is None
    first = SweepRecord("1", "flow", NOW, NOW + timedelta(seconds=3), "run", None, {"up": 3})
    alone = SweepRecord("2", "command", NOW + timedelta(minutes=1), NOW + timedelta(minutes=1), None, "dify", {"up": 1})
    for each in (first, alone):
        await sweeps.add(each)
    assert await sweeps.last() == first
    assert await sweeps.last("dify") == alone
    assert await sweeps.last("other") == first
    assert await sweeps.forget_before(7) == (2 if datetime.now(UTC) > NOW + timedelta(days=7, minutes=2) else 0)


async def test_hours_count_sweeps_and_not_those_in_maintenance(store: Store) -> None:
    samples = Samples(store)
    one = state("api", state="up", seconds=0.2)
    await Services(store).save([one])
    course = [
        one,
        replace(one, state="degraded", seconds=0.6),
        replace(one, state="down", seconds=None),
        replace(one, state="down", maintenance=True),
        replace(one, state="unreachable", seconds=None),
    ]
    for number, each in enumerate(course):
        await samples.add(NOW + timedelta(minutes=20 * number), [each])
    found = (await samples.uptimes(NOW))[one.key]
    assert (found.up, found.degraded, found.down, found.unknown) == (1, 1, 1, 2)
    assert found.mean == pytest.approx(1 / 3)
    assert found.slowest == pytest.approx(0.6)
    assert found.share == pytest.approx(2 / 3)
    assert (await samples.uptimes(NOW + timedelta(hours=1)))[one.key].share == 0
    assert Uptime(unknown=3).share is None
    assert [each.state for each in (await samples.since(NOW, one.key))[one.key]] == [each.state for each in course]
    assert await samples.since(NOW, Key("dify", "db")) == {}


async def test_what_is_old_is_thinned_in_batches(store: Store) -> None:
    samples, one, now = Samples(store), state("api"), datetime.now(UTC)
    await Services(store).save([one, state("old")])
    await Services(store).forget([Key("dify", "old")])
    async with store.single() as connection:
        await connection.execute(
            text("UPDATE pilothouse.service_states SET gone_at = now() - interval '11 days' WHERE name = 'old'")
        )
    for days in (1, 3, 4, 5, 11, 12):
        await samples.add(now - timedelta(days=days), [one])
    gone = []
    while batch := await samples.thin(2, 10, batch=2):
        gone.append(batch)
    assert gone == [5, 2, 1]
    assert len((await samples.since(now - timedelta(days=20)))[one.key]) == 1
    async with store.single() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM pilothouse.service_hours"))).scalar_one() == 4
        assert (await connection.execute(text("SELECT count(*) FROM pilothouse.service_states"))).scalar_one() == 1
