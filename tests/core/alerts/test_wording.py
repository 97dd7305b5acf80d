"""What messages say, read as people read them, in both languages."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.alerts.alert import Alert, Link
from core.alerts.digest import Day, OpenAlert, digest, moment_due
from core.alerts.phrases import PHRASES, lasted
from core.alerts.storms import MOST, Waiting, joinable
from core.alerts.wording import Telling, Voice, alive, joined, message_of, passed_on, title_of, trial

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 21, 0, 42, tzinfo=UTC)
PAGE = Link("Status page", "https://pilothouse.example.org/status")
EN = Voice("en", ZONE, ("On Call <oncall@example.com>",), (PAGE,))
ZH = replace(EN, language="zh")
POSTGRES = Alert(
    "service:postgres",
    "postgres is down",
    text="Connection refused. 12 services fail with it.",
    service="postgres",
    platform="dify",
    facts={"Fail with it": "12"},
    links=(Link("Runbook", "https://example.org/postgres"),),
)


def telling(word: Any = "firing", alert: Alert = POSTGRES, **more: Any) -> Telling:
    return replace(Telling("1", alert, word, NOW - timedelta(minutes=12), NOW), **more)


def said(voice: Voice, *tellings: Telling) -> str:
    return message_of(tellings, "m", voice, timedelta(minutes=15)).title


@pytest.mark.parametrize(
    ("word", "more", "en", "zh"),
    [
        ("firing", {}, "postgres is down", "postgres 不可用"),
        ("worse", {}, "postgres is down", "postgres 不可用"),
        ("resolved", {"until": NOW}, "postgres is up again after 12 min", "postgres 已恢复，历时 12 分钟"),
        ("reminder", {"since": NOW - timedelta(hours=4)}, "postgres has been down for 4 h", "postgres 不可用已持续 4 小时"),
        (
            "flapping",
            {"flips": 5},
            "postgres is flapping: it changed 5 times in 12 min",
            "postgres 反复波动：12 分钟内变化 5 次",
        ),
    ],
)
def test_titles_say_what_happened(word: Any, more: dict[str, Any], en: str, zh: str) -> None:
    assert (said(EN, telling(word, **more)), said(ZH, telling(word, **more))) == (en, zh)


def test_titles_of_others_are_left_as_they_are() -> None:
    disk = Alert("am:1", "Disk of n1 is full", origin="alertmanager")
    assert said(EN, telling("firing", disk)) == said(ZH, telling("firing", disk)) == "Disk of n1 is full"
    assert said(EN, telling("resolved", disk, until=NOW)) == "Over after 12 min: Disk of n1 is full"
    assert said(ZH, telling("resolved", disk, until=NOW)) == "已结束（历时 12 分钟）：Disk of n1 is full"
    assert said(EN, telling("reminder", disk)) == "Still, after 12 min: Disk of n1 is full"
    assert said(EN, telling("flapping", disk, flips=5)) == "Disk of n1 is full, on and off: it changed 5 times in 12 min"
    assert title_of("redis", "degraded") == "redis is degraded"


def test_a_message_about_one_alert() -> None:
    message = message_of([telling()], "m", EN)
    assert (message.kind, message.severity, message.mentions) == ("firing", "critical", EN.mentions)
    assert message.lines == ("Connection refused. 12 services fail with it.",)
    assert message.facts == (("Fail with it", "12"), ("Platform", "dify"), ("Since", "2026-11-21 08:30 CST"))
    assert [link.title for link in message.links] == ["Runbook", "Status page"]
    (program,) = message.alerts
    assert (program["fingerprint"], program["status"], program["since"]) == (
        "service:postgres",
        "open",
        "2026-11-21T00:30:00+00:00",
    )
    over = message_of([telling("resolved", until=NOW, words="It answers again.")], "m", ZH)
    assert (over.kind, over.mentions, over.lines) == ("resolved", (), ("It answers again.",))
    assert over.facts[-2:] == (("开始于", "2026-11-21 08:30 CST"), ("结束于", "2026-11-21 08:42 CST"))
    assert message_of([telling(alert=replace(POSTGRES, severity="warning"))], "m", EN).mentions == ()


def test_what_flaps_says_when_more_is_said() -> None:
    message = message_of([telling("flapping", flips=5)], "m", EN, timedelta(minutes=15))
    assert message.lines[-1] == "No more is said of it until it has been calm for 15 min."
    assert message_of([telling("resolved", until=NOW, flips=20)], "m", EN).lines == ("Before, it had changed 20 times.",)


def test_a_message_about_many() -> None:
    redis = telling("resolved", replace(POSTGRES, title="redis is down", severity="info"), until=NOW)
    both = message_of([redis, telling()], "m", EN)
    assert (both.title, both.kind, both.severity) == (
        "2 alerts, 1 of them over: postgres is down and 1 more",
        "firing",
        "critical",
    )
    assert both.entries == ("08:42 redis is up again after 12 min", "08:30 postgres is down")
    assert both.links == (PAGE,)
    assert said(EN, redis, redis) == "2 alerts are over: redis is up again after 12 min and 1 more"
    assert said(ZH, telling(), telling(), telling()) == "3 条告警：postgres 不可用 等另外 2 条"


def test_many_messages_in_one() -> None:
    ends = [message_of([telling("resolved", until=NOW)], str(number), EN) for number in range(3)]
    opens = [message_of([telling()], str(number), EN) for number in range(2)]
    storm = joined([*ends, *opens], "batch")
    assert (storm.id, storm.kind, storm.severity) == ("batch", "firing", "critical")
    assert storm.title == "5 messages at once, the worst: postgres is down"
    assert storm.entries == ("postgres is up again after 12 min",) * 3 + ("postgres is down",) * 2
    assert (storm.mentions, storm.links, len(storm.alerts)) == (EN.mentions, (PAGE,), 5)
    assert joined(ends, "batch").title == "3 messages at once: all of it is over"
    assert joined(ends[:1], "batch") == ends[0]
    assert passed_on(ends[0], "teams").lines[-1] == "Channel teams could not take this."


def test_every_phrase_takes_the_same_words_in_both_languages() -> None:
    for name, (en, zh) in PHRASES.items():
        fields = [{part.split("}")[0] for part in text.split("{")[1:]} for text in (en, zh)]
        assert fields[0] == fields[1], name


@pytest.mark.parametrize(
    ("seconds", "en", "zh"),
    [
        (-5, "0 s", "0 秒"),
        (0.2, "0 s", "0 秒"),
        (59.6, "1 min", "1 分钟"),
        (40, "40 s", "40 秒"),
        (754, "12 min", "12 分钟"),
        (11_100, "3 h 5 min", "3 小时 5 分钟"),
        (86_400 * 2 + 4 * 3600 + 5, "2 d 4 h", "2 天 4 小时"),
    ],
)
def test_lengths_of_time(seconds: float, en: str, zh: str) -> None:
    time = timedelta(seconds=seconds)
    assert (lasted(time), lasted(time, "zh")) == (en, zh)


def test_the_daily_messages() -> None:
    calm = digest(Day(NOW, 0, 0, 0), "d", EN)
    assert (calm.title, calm.severity, calm.entries) == ("Last 24 hours: nothing to report", "info", ())
    day = Day(
        NOW, 12, 10, 1, [OpenAlert("postgres is down", "critical", NOW - timedelta(hours=2))], backups_good=5, backups_bad=1
    )
    busy = digest(day, "d", EN)
    assert (busy.title, busy.severity) == ("Last 24 hours: 12 alerts, 1 still open", "critical")
    assert busy.lines == ("2026-11-20 08:42 CST - 2026-11-21 08:42 CST",)
    assert busy.facts == (("Raised", "12"), ("Over", "10"), ("Open", "1"), ("Backups", "5 good, 1 failed"))
    assert busy.entries == ("postgres is down, since 2026-11-21 06:42 CST (2 h)",)
    assert alive("a", ZH, NOW, 2).facts == (("未结束", "2"),)
    assert trial("t", EN, NOW).lines == ("If you can read this, alerts of Pilothouse arrive here.", "2026-11-21 08:42 CST")


@pytest.mark.parametrize(
    ("clock", "now", "day"),
    [
        ("09:00", datetime(2026, 11, 21, 0, 59, 59, tzinfo=UTC), None),
        ("09:00", datetime(2026, 11, 21, 1, 0, tzinfo=UTC), date(2026, 11, 21)),
        ("09:00", datetime(2026, 11, 21, 1, 59, tzinfo=UTC), date(2026, 11, 21)),
        ("09:00", datetime(2026, 11, 21, 2, 0, tzinfo=UTC), None),
        ("23:30", datetime(2026, 11, 21, 16, 10, tzinfo=UTC), date(2026, 11, 21)),
    ],
)
def test_daily_messages_go_out_within_the_hour(clock: str, now: datetime, day: date | None) -> None:
    assert moment_due(clock, now, ZONE) == day


def test_where_the_clock_jumps_a_daily_message_goes_out_once() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 3, 28, 12, tzinfo=UTC)
    days = [moment_due("02:30", start + timedelta(minutes=number), berlin) for number in range(1440)]
    assert {day for day in days if day is not None} == {date(2026, 3, 29)}


def test_which_messages_are_joined() -> None:
    news = Waiting("firing", 100)
    assert [joinable([Waiting("firing", 30)] * number) for number in (0, 1, 9, 10, 200)] == [0, 1, 1, 10, MOST]
    assert joinable([Waiting("digest", 10), *[news] * 20]) == 1
    assert joinable([*[news] * 12, Waiting("digest", 10), news]) == 12
    assert joinable([Waiting("firing", 250)] * 40) == 24, "a card holds so much"
    assert joinable([*[Waiting("firing", 9, 1, "b")] * 3, *[news] * 20]) == 3, "as it was tried before"
    assert joinable([news] * 12 + [Waiting("firing", 9, 1, "b")] * 5) == 12
