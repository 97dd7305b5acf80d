"""What the stores know, put together: what is late, what is overdue, what a large platform's picture shows."""

from datetime import UTC, datetime, timedelta

import pytest

from core.status.assembling import backup_views, platform_view, service_view, sweep_view, troubles
from core.status.view import Fresh, StatusView, SweepView
from core.store.backup_freshness import Freshness
from core.store.service_history import DAYS, History, Listed
from core.store.services import SweepRecord
from tests.core.status.filled import state
from tests.core.status.samples import platform, service

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
NIGHTLY = "0 2 * * *"


def saved(hours: float | None, *, failed: bool = False) -> Freshness:
    good_at = None if hours is None else NOW - timedelta(hours=hours)
    return Freshness("db", "postgres", good_at, 4.0, 10, NOW, failed, "It broke." if failed else "", "", None, None)


@pytest.mark.parametrize(
    ("found", "fresh"),
    [
        (saved(7.5), "fresh"),
        (saved(30), "late"),
        (saved(7.5, failed=True), "failed"),
        (saved(None, failed=True), "failed"),
        (saved(None), "none"),
        (None, "none"),
    ],
)
def test_a_backup_is_late_once_the_grace_is_over(found: Freshness | None, fresh: Fresh) -> None:
    (view,) = backup_views([found] if found else [], {"db": NIGHTLY}, timedelta(hours=6), "UTC", NOW)
    assert view.fresh == fresh
    assert view.error == ("It broke." if fresh == "failed" else "")


def test_a_backup_may_be_missed_within_the_grace() -> None:
    (view,) = backup_views([saved(31.5)], {"db": NIGHTLY}, timedelta(hours=8), "UTC", NOW)
    assert view.fresh == "fresh"


def test_sources_that_are_no_longer_saved_are_left_out() -> None:
    assert backup_views([saved(1)], {}, timedelta(0), "UTC", NOW) == ()


@pytest.mark.parametrize(("age", "overdue"), [(0, False), (659, False), (661, True)])
def test_sweeps_are_overdue_after_two_intervals_and_a_minute(age: float, overdue: bool) -> None:
    at = NOW - timedelta(seconds=age)
    swept = SweepRecord("s", "standby", at - timedelta(seconds=3), at)
    view = sweep_view(swept, 300, NOW, started=NOW)
    assert (view.overdue, view.seconds, view.by) == (overdue, 3.0, "standby")
    assert sweep_view(None, 300, NOW, started=at).overdue is overdue


def test_a_root_counts_what_hangs_under_it_though_not_all_is_named() -> None:
    root, child = service("db", state="down"), service("api", state="down", root="astron-agent/db")
    (trouble,) = troubles([root], [child], {"astron-agent/db": 900})
    assert (trouble.folded, trouble.count) == ((child,), 900)
    (alone,) = troubles([root], [], {})
    assert alone.count == 0


def test_a_service_that_works_is_explained_by_nothing() -> None:
    shown = service_view(Listed(state("shop", "api", NOW, root="shop/db"), "shop"), None, ())
    assert (shown.root, shown.uptime.day, shown.days) == ("", None, (None,) * DAYS)


def test_uptime_counts_what_could_be_told() -> None:
    nothing = (0,) * (DAYS - 2)
    history = History((9, 20, *nothing), (10, 20, *nothing), (0.5,) * 24)
    shown = service_view(Listed(state("shop", "api", NOW), "shop"), history, {"service:shop/api"})
    assert (shown.uptime.day, shown.uptime.week, shown.uptime.quarter) == (0.9, 29 / 30, 29 / 30)
    assert shown.days[-2:] == (1.0, 0.9)
    assert shown.flapping


def test_a_large_platform_is_drawn_with_its_troubles_and_what_they_touch() -> None:
    many = [service(f"s{number}", "p", needs=(f"p/s{number - 1}",) if number else ()) for number in range(70)]
    many[40] = service("s40", "p", "down", needs=("p/s39",))
    view = platform_view("p", {"up": 69, "down": 1}, many, many)
    assert [each.name for each in view.drawn] == ["s39", "s40"]
    small = platform_view("p", {"up": 3}, many[:3], many[:3])
    assert len(small.drawn) == 3


def test_the_whole_is_as_bad_as_its_worst() -> None:
    def overall(*states: str, overdue: bool = False) -> str:
        services = [service(f"s{index}", "p", each) for index, each in enumerate(states)]  # type: ignore[arg-type]
        return StatusView(NOW, SweepView(overdue=overdue), platforms=(platform("p", services),)).overall

    assert overall("up", "degraded", "down") == "critical"
    assert overall("up", "degraded") == "warning"
    assert overall("up", "unreachable") == "ok"
    assert overall("up", overdue=True) == "warning"
    assert overall("unknown") == overall() == "unknown"
