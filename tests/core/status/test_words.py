"""What the page says in both languages, and how it writes spans, times and shares."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from core.status.words import WORDS, language_of, latency, moment, percent, size, span

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def test_both_languages_say_the_same_things() -> None:
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    for key, said in WORDS["en"].items():
        assert set(re.findall(r"{\w+}", said)) == set(re.findall(r"{\w+}", WORDS["zh"][key])), key


@pytest.mark.parametrize(
    ("seconds", "en", "zh"),
    [
        (0.0042, "4 ms", "4 毫秒"),
        (1, "1 s", "1 秒"),
        (61, "1 min 1 s", "1 分钟 1 秒"),
        (7200, "2 h", "2 小时"),
        (86_400 + 3600 * 5 + 59, "1 d 5 h", "1 天 5 小时"),
        (86_400 * 12 + 7200, "12 d", "12 天"),
    ],
)
def test_spans_have_two_units_at_most(seconds: float, en: str, zh: str) -> None:
    assert (span(seconds, "en"), span(seconds, "zh")) == (en, zh)


def test_moments_name_the_day_where_it_is_another_one() -> None:
    shanghai = ZoneInfo("Asia/Shanghai")
    assert moment(NOW, NOW, shanghai) == "17:30"
    assert moment(NOW - timedelta(hours=20), NOW, shanghai) == "11-20 21:30"
    assert moment(NOW - timedelta(days=400), NOW, shanghai) == "2025-10-17 17:30"


def test_a_share_is_whole_only_when_nothing_was_missed() -> None:
    assert [percent(share) for share in (1.0, 0.999999, 0.5, 0.0, None)] == ["100 %", "99.99 %", "50.00 %", "0.00 %", "–"]


def test_numbers_are_short() -> None:
    assert [latency(value) for value in (0.0123, 1.2345)] == ["12.3 ms", "1.23 s"]
    assert [size(value) for value in (0, 999, 3_412_000, 8.1e11, 2e13)] == ["0 B", "999 B", "3.41 MB", "810 GB", "20 TB"]


@pytest.mark.parametrize(
    ("wanted", "accepted", "found"),
    [
        ("zh", "en", "zh"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "en-US,en;q=0.9,zh;q=0.8", "en"),
        (None, "zh;q=0,de", "en"),
        (None, "fr;q=x,;;,zh;q=0.1", "zh"),
        ("xx", "", "en"),
    ],
)
def test_the_language_is_the_one_asked_for_or_the_browsers(wanted: str | None, accepted: str, found: str) -> None:
    assert language_of(wanted, accepted) == found
