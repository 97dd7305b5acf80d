"""Maintenance windows: what they are written like, and when they hold, also when the clocks change."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from core.sweeps.windows import checked, in_maintenance, window

BERLIN, SHANGHAI = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Shanghai")


def holds(text: str, moment: str, zone: str = "UTC") -> bool:
    """``moment`` in UTC."""
    return in_maintenance((text,), datetime.fromisoformat(moment).replace(tzinfo=UTC), zone)


@pytest.mark.parametrize(
    ("text", "moment", "inside"),
    [
        ("daily 01:00-01:30", "2026-11-21 01:00", True),
        ("daily 01:00-01:30", "2026-11-21 01:29:59", True),
        ("daily 01:00-01:30", "2026-11-21 01:30", False),
        ("daily 01:00-01:30", "2026-11-21 00:59:59", False),
        ("Daily 01:00 - 01:30", "2026-11-21 01:15", True),
        ("daily 00:00-24:00", "2026-11-21 13:00", True),
        ("Sun 02:00-04:00", "2026-11-22 03:00", True),
        ("Sun 02:00-04:00", "2026-11-21 03:00", False),
        ("sunday 2:00-4:00", "2026-11-22 02:00", True),
        ("Sat 22:00-06:00", "2026-11-22 05:59", True),
        ("Sat 22:00-06:00", "2026-11-22 06:00", False),
        ("Sat 22:00-06:00", "2026-11-21 05:00", False),
        ("Mon-Fri 12:00-13:00", "2026-11-20 12:30", True),
        ("Mon-Fri 12:00-13:00", "2026-11-21 12:30", False),
        ("Fri-Mon 12:00-13:00", "2026-11-22 12:30", True),
        ("Fri-Mon 12:00-13:00", "2026-11-24 12:30", False),
        ("Mon,Wed 12:00-13:00", "2026-11-18 12:30", True),
        ("Mon,Wed 12:00-13:00", "2026-11-17 12:30", False),
        ("daily 01:00-01:30 Asia/Shanghai", "2026-11-20 17:15", True),
        ("daily 01:00-01:30 Asia/Shanghai", "2026-11-21 01:15", False),
        ("2026-12-01 22:00/2026-12-02 02:00", "2026-12-02 01:59", True),
        ("2026-12-01 22:00/2026-12-02 02:00", "2026-12-02 02:00", False),
        ("2026-12-01T22:00/2026-12-02T02:00 Asia/Shanghai", "2026-12-01 14:00", True),
    ],
)
def test_windows(text: str, moment: str, inside: bool) -> None:
    assert holds(text, moment) is inside


def test_without_a_zone_the_configured_one_holds() -> None:
    assert holds("daily 01:00-01:30", "2026-11-20 17:15", "Asia/Shanghai")
    assert holds("daily 01:00-01:30 UTC", "2026-11-20 01:15", "Asia/Shanghai")


@pytest.mark.parametrize(
    ("text", "moment", "inside"),
    [
        # 2026-03-29 in Berlin: 02:00 CET (01:00 UTC) becomes 03:00 CEST.
        ("Sun 02:30-03:30", "2026-03-29 00:59", False),
        ("Sun 02:30-03:30", "2026-03-29 01:00", True),
        ("Sun 02:30-03:30", "2026-03-29 01:29", True),
        ("Sun 02:30-03:30", "2026-03-29 01:30", False),
        ("Sun 01:00-02:30", "2026-03-29 00:30", True),
        ("Sun 01:00-02:30", "2026-03-29 01:00", False),
        ("Sat 22:00-06:00", "2026-03-29 03:59", True),
        ("Sat 22:00-06:00", "2026-03-29 04:00", False),
        # 2026-10-25 in Berlin: 03:00 CEST (01:00 UTC) becomes 02:00 CET.
        ("Sun 02:00-03:00", "2026-10-25 00:00", True),
        ("Sun 02:00-03:00", "2026-10-25 01:59", True),
        ("Sun 02:00-03:00", "2026-10-25 02:00", False),
        ("Sun 02:15-02:45", "2026-10-25 00:15", True),
        ("Sun 02:15-02:45", "2026-10-25 01:44", True),
        ("Sun 02:15-02:45", "2026-10-25 01:45", False),
        ("2026-10-25 02:30/2026-10-25 02:45", "2026-10-25 00:30", True),
    ],
)
def test_windows_keep_to_the_clock_on_the_wall(text: str, moment: str, inside: bool) -> None:
    assert holds(text, moment, "Europe/Berlin") is inside


@pytest.mark.parametrize(
    "text",
    [
        "",
        "daily",
        "01:00-02:00",
        "Someday 01:00-02:00",
        "daily 25:00-26:00",
        "daily 01:60-02:00",
        "daily 01:00",
        "Sun 1-2",
        "2026-12-02 02:00/2026-12-01 22:00",
        "2026-02-30 02:00/2026-03-01 22:00",
        "Mon, 01:00-02:00",
    ],
)
def test_what_is_no_window_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected .*daily 01:00-01:30"):
        window(text)


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(ValueError, match="IANA time zone"):
        checked("daily 01:00-01:30 Nowhere/Land")


@given(some.integers(0, 366 * 24 * 60), some.integers(0, 23), some.integers(1, 23), some.sampled_from([BERLIN, SHANGHAI]))
def test_a_daily_window_holds_where_the_clock_says_so(minute: int, begin: int, length: int, zone: ZoneInfo) -> None:
    """Away from the days on which the clocks change."""
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    there = moment.astimezone(zone)
    assume(not {there.date() + timedelta(days=step) for step in (-1, 0, 1)} & {date(2026, 3, 29), date(2026, 10, 25)})
    since = (there.hour * 60 + there.minute - begin * 60) % 1440
    text = f"daily {begin:02}:00-{(begin + length) % 24:02}:00"
    assert in_maintenance((text,), moment, str(zone)) is (since < length * 60)
