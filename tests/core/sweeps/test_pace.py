"""When sweeps come: the schedule for an interval, what is due, and when another process steps in."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.schedules import cron
from core.settings import Settings
from core.sweeps.pace import due, ends, overdue, several, step_of, sweep_schedules

NOW = datetime(2026, 11, 21, 12, 2, 30, tzinfo=UTC)


def each(interval: float) -> Settings:
    return Settings.model_validate({"data_dir": "/nowhere", "sweeps": {"interval": interval}})


@pytest.mark.parametrize(
    ("interval", "line", "runs_several", "next_run"),
    [
        (10, "*/5 * * * *", True, "12:05"),
        (299, "*/5 * * * *", True, "12:05"),
        (300, "*/5 * * * *", False, "12:05"),
        (420, "*/5 * * * *", False, "12:05"),
        (900, "*/15 * * * *", False, "12:15"),
        (3600, "0 */1 * * *", False, "13:00"),
        (20_000, "0 */4 * * *", False, "16:00"),
        (86_400, "0 0 * * *", False, "00:00"),
    ],
)
def test_schedules(interval: float, line: str, runs_several: bool, next_run: str) -> None:
    assert sweep_schedules(each(interval)) == [line]
    assert several(each(interval)) is runs_several
    assert f"{ends(each(interval), NOW):%H:%M}" == next_run


@given(some.floats(10, 86_400))
def test_no_interval_is_swept_more_often_than_it_says(interval: float) -> None:
    settings = each(interval)
    assert cron(sweep_schedules(settings)[0])
    assert several(settings) or step_of(interval) * 60 <= interval
    assert overdue(settings, away=True) > interval
    assert overdue(settings, away=False) > overdue(settings, away=True)


def test_what_came_a_little_late_does_not_put_the_next_one_off() -> None:
    assert due(each(300), None, NOW) == NOW
    assert due(each(300), NOW - timedelta(seconds=297), NOW) == NOW
    assert due(each(300), NOW - timedelta(seconds=100), NOW) == NOW + timedelta(seconds=140)
    assert due(each(10), NOW - timedelta(seconds=4), NOW) == NOW + timedelta(seconds=6)
