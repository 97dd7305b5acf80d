"""The status asked of a real database: of few services all, of many the troubles, the platforms and one page."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from core.config import DatabaseSettings, Settings
from core.status.asking import LISTED, TROUBLES, Status
from core.store.base import Store
from core.store.services import Services, SweepRecord, Sweeps
from core.sweeps.service import Key
from tests.core.status.filled import history, state

NOW = datetime.now(UTC)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = Store.from_settings(DatabaseSettings(url=SecretStr(database_url)))
    yield store
    await store.aclose()


@pytest.fixture
def status(store: Store, tmp_path: Path) -> Status:
    return Status(store, Settings(data_dir=tmp_path), datetime.now(UTC))


async def test_nothing_swept_is_unknown_and_soon_overdue(store: Store, status: Status, tmp_path: Path) -> None:
    view = await status.view()
    assert (view.overall, view.total, view.sweep.overdue) == ("unknown", 0, False)
    earlier = Status(store, Settings(data_dir=tmp_path), NOW - timedelta(hours=1))
    late = await earlier.view()
    assert (late.sweep.overdue, late.overall) == (True, "warning")


async def test_of_many_services_only_one_platforms_page_is_listed(store: Store, status: Status) -> None:
    services = [state("p1", f"s{number:03}", NOW, needs, position=number) for number, needs in enumerate(["up"] * 129 + ["down"])]  # type: ignore[arg-type]
    services += [state("p2", f"t{number:03}", NOW, "down", root="p1/s129") for number in range(90)]
    await Services(store).save(services)
    everything = await status.view()
    assert not everything.page.whole
    assert [(platform.name, platform.total, platform.services) for platform in everything.platforms] == [
        ("p1", 130, ()),
        ("p2", 90, ()),
    ]
    (trouble,) = everything.troubles
    assert (trouble.service.key, trouble.count, everything.more_troubles) == ("p1/s129", 90, 0)
    first, second = await status.view("p1"), await status.view("p1", 2)
    assert first.platforms[0].services[0].name == "s129"
    names = [each.name for view in (first, second) for each in view.platforms[0].services]
    assert (len(names), len(set(names)), len(first.platforms[0].services)) == (130, 130, LISTED)
    assert (second.page.number, second.page.pages) == (2, 2)
    assert (await status.view("p1", 99)).page.number == 2
    assert (await status.view("none of these")).platforms[0].services == ()


async def test_more_troubles_than_are_listed_are_counted(store: Store, status: Status) -> None:
    await Services(store).save([state("p", f"s{number}", NOW, "down") for number in range(TROUBLES + 7)])
    view = await status.view()
    assert (len(view.troubles), view.more_troubles, view.overall) == (TROUBLES, 7, "critical")


async def test_services_that_left_are_not_shown(store: Store, status: Status) -> None:
    await Services(store).save([state("p", "here", NOW), state("p", "gone", NOW, "down")])
    await Services(store).forget([Key("p", "gone")])
    view = await status.view()
    assert ([each.name for each in view.platforms[0].services], view.troubles) == (["here"], ())


async def test_days_that_are_over_are_remembered_and_the_last_hours_are_not(store: Store, status: Status) -> None:
    await Services(store).save([state("p", "api", NOW), state("p", "new", NOW)])
    await history(store, days=3)
    new = "(SELECT id FROM pilothouse.service_states WHERE name = 'new')"
    async with store.single() as connection:
        await connection.execute(text(f"DELETE FROM pilothouse.service_hours WHERE service = {new}"))
    before, other = (await status.view()).platforms[0].services
    assert set(before.days[:87]) == {None}
    assert list(before.days[87:]) == pytest.approx([283 / 288] * 3)
    assert (other.uptime.quarter, other.days, other.latency) == (None, (None,) * 90, (None,) * 24)
    async with store.single() as connection:
        await connection.execute(text("UPDATE pilothouse.service_hours SET up = 0, down = 12"))
    after = (await status.view()).platforms[0].services[0]
    assert (after.days[-1], after.uptime.day) == (0.0, 0.0)
    assert after.days[-3:-1] == before.days[-3:-1]


async def test_a_sweep_without_a_network_says_so(store: Store, status: Status) -> None:
    await Services(store).save([state("pilothouse", "network", NOW, "down"), state("shop", "db", NOW, "unknown")])
    await Sweeps(store).add(SweepRecord("s", "standby", NOW, NOW))
    view = await status.view()
    assert (view.sweep.by, view.sweep.online) == ("standby", False)


async def test_two_services_of_one_name_are_two(store: Store, status: Status) -> None:
    await Services(store).save([state(topology, "db", NOW, platform="shared") for topology in ("one", "two")])
    (shared,) = (await status.view()).platforms
    assert [each.key for each in shared.services] == ["one/db", "two/db"]
