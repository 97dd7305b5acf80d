"""When a schedule was due last, also where clocks are turned."""

from datetime import UTC, datetime

import pytest

from core.schedules import cron, latest


@pytest.mark.parametrize(
    ("line", "zone", "now", "expected"),
    [
        ("0 2 * * *", "UTC", "2030-01-02T02:00:00", "2030-01-02T02:00:00"),
        ("0 2 * * *", "UTC", "2030-01-02T01:59:59", "2030-01-01T02:00:00"),
        ("0 2 * * *", "Asia/Shanghai", "2030-01-02T00:00:00", "2030-01-01T18:00:00"),
        ("0 4 * * 0", "UTC", "2030-01-02T00:00:00", "2029-12-30T04:00:00"),
        ("30 2 * * *", "Europe/Berlin", "2025-03-30T12:00:00", "2025-03-30T01:00:00"),
        ("0 2 1 1 *", "UTC", "2030-06-01T00:00:00", "2030-01-01T02:00:00"),
    ],
)
def test_the_last_time(line: str, zone: str, now: str, expected: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert latest(line, zone, moment) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_a_line_is_written_with_single_spaces() -> None:
    assert cron(" 0  2 * *\tMON-FRI ") == "0 2 * * MON-FRI"


@pytest.mark.parametrize(
    "line", ["", "@daily", "0 2 * *", "0 2 * * * *", "60 2 * * *", "0 0 31 2 *", "two o'clock at night today"]
)
def test_what_never_comes_is_no_schedule(line: str) -> None:
    with pytest.raises(ValueError, match="expected a cron line of five fields"):
        cron(line)
