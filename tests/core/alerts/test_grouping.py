"""When alerts are told: news waits for others, a group speaks only so often, and what flaps is told twice at most."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.alerts.alert import Alert
from core.alerts.grouping import Plan, Said, Standing, planned
from core.alerts.telling import Audience, Held, told
from core.settings_alerts import AlertSettings, ChannelSettings

START = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
RULES = AlertSettings()
CHANNEL = ChannelSettings.model_validate({"kind": "webhook", "url": "http://127.0.0.1/x"})


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def standing(name: str = "a", **more: Any) -> Standing:
    return replace(Standing(name, open=True, severity="critical", changed_at=START), **more)


def told_at(plan: Plan) -> list[Said]:
    return list(plan.said)


def test_news_waits_for_others_of_its_group() -> None:
    group = [standing("a"), standing("b", changed_at=at(20))]
    early = planned(group, at(29), RULES)
    assert (early.said, early.look_at) == ((), {"a": at(30), "b": at(30)})
    assert told_at(planned(group, at(30), RULES)) == [Said("a", "firing"), Said("b", "firing")]


def test_a_group_speaks_only_so_often() -> None:
    group = [standing("a", told="firing", told_at=START, told_severity="critical"), standing("b", changed_at=at(10))]
    assert planned(group, at(299), RULES).look_at == {"a": None, "b": at(300)}
    assert told_at(planned(group, at(300), RULES)) == [Said("b", "firing")]


def test_what_grows_worse_is_told_at_once() -> None:
    one = standing(told="firing", told_at=START, told_severity="warning")
    assert told_at(planned([one], at(1), RULES)) == [Said("a", "worse")]
    assert planned([replace(one, severity="info")], at(1000), RULES) == Plan((), {"a": None}, {"a": None})


def test_what_was_never_told_has_no_end() -> None:
    assert planned([standing(open=False)], at(1000), RULES) == Plan((), {"a": None}, {"a": None})


def test_the_end_is_told_even_in_a_silence() -> None:
    one = standing(silenced_until=at(7200))
    assert planned([one], at(100), RULES) == Plan((), {"a": at(7200)}, {"a": None})
    assert told_at(planned([one], at(7200), RULES)) == [Said("a", "firing")]
    ended = replace(one, open=False, told="firing", told_at=at(-1000), told_severity="critical")
    assert told_at(planned([ended], at(30), RULES)) == [Said("a", "resolved")]


def test_reminders_come_every_so_many_hours_or_never() -> None:
    one = standing(told="firing", told_at=START, told_severity="critical")
    assert planned([one], at(99_999), RULES).look_at == {"a": None}
    every = AlertSettings(remind_hours=4)
    assert planned([one], at(14_399), every) == Plan((), {"a": at(14_400)}, {"a": None})
    assert told_at(planned([one], at(14_400), every)) == [Said("a", "reminder")]


def test_what_flaps_is_told_once_and_then_when_it_is_calm() -> None:
    flips = tuple(at(10 * number) for number in range(4))
    one = standing(changed_at=flips[-1], flips=flips)
    plan = planned([one], at(31), RULES)
    assert (told_at(plan), plan.flapping) == ([Said("a", "flapping", 4)], {"a": START})
    silent = replace(one, told="flapping", flapping_since=START, told_at=at(31), told_severity="critical")
    calm = at(30 + 900)
    assert planned([silent], at(400), RULES) == Plan((), {"a": calm}, {"a": START})
    assert told_at(planned([silent], calm, RULES)) == [Said("a", "firing", 4)]
    assert told_at(planned([replace(silent, open=False)], calm, RULES)) == [Said("a", "resolved", 4)]


def test_what_is_known_to_be_down_is_not_said_to_flap() -> None:
    flips = tuple(at(40 * number) for number in range(6))
    one = standing(changed_at=flips[-1], flips=flips, told="firing", told_at=at(30), told_severity="critical", open=False)
    assert planned([one], at(400), RULES).said == ()
    assert told_at(planned([replace(one, flapping_since=START)], at(200 + 900), RULES)) == [Said("a", "resolved", 6)]


def test_who_heard_both_hears_that_it_flaps_only_when_it_goes_on_for_long() -> None:
    flips = (at(0), at(300), at(600), at(890))
    one = standing(changed_at=flips[-1], flips=flips, told="resolved", told_at=at(300), open=False)
    assert planned([one], at(891), RULES) == Plan((), {"a": at(890 + 900)}, {"a": START})
    more = replace(one, flips=(*flips, at(905)), changed_at=at(905))
    assert told_at(planned([more], at(905), RULES)) == [Said("a", "flapping", 5)]


def test_what_comes_back_soon_waits_to_be_sure() -> None:
    one = standing(told="resolved", told_at=at(-3600), flips=(at(-40), at(-20), at(0)))
    assert planned([one], at(30), RULES).look_at == {"a": at(40)}
    assert told_at(planned([one], at(40), RULES)) == [Said("a", "firing")]
    long = replace(one, flips=(at(-900), at(-600), at(0)))
    assert told_at(planned([long], at(45), RULES)) == [Said("a", "firing")]


class Platform:
    """One service whose alert comes and goes, looked at every second as the dispatcher does; ``messages`` are what is told."""

    def __init__(self, rules: AlertSettings) -> None:
        self.audience = Audience({"ops": CHANNEL}, rules, UTC)
        self.messages: list[tuple[float, str]] = []
        alert = Alert("service:a", "a is down", service="a", group="service:a")
        self.held = Held("1", alert, False, START, None, "", 1, START, "", None, None, None, (), None, ())
        self.look: datetime | None = None
        self.flips: list[datetime] = []

    def flip(self, now: datetime) -> None:
        opens = not self.held.open
        self.flips.append(now)
        window = timedelta(minutes=self.audience.rules.flap_minutes)
        since = (self.held.flapping_since or now) - window
        times = {"raised_at": now, "resolved_at": None} if opens else {"resolved_at": now}
        kept = tuple(flip for flip in self.flips if flip >= since)
        self.held = replace(self.held, open=opens, changed_at=now, flips=kept, **times)
        self.look = now

    def tick(self, now: datetime) -> None:
        if self.look is None or self.look > now:
            return
        outcome = told([self.held], [], self.audience, now)
        (kept,) = outcome.remembered
        self.look = kept.look_at
        self.held = replace(
            self.held,
            told=kept.told,
            told_severity=kept.told_severity,
            told_at=kept.told_at,
            told_since=kept.told_since,
            channels=kept.channels,
            flapping_since=kept.flapping_since,
        )
        self.messages += [((now - START).total_seconds(), each.message.kind) for each in outcome.messages]

    def run(self, flips: Sequence[int], until: int) -> "Platform":
        """Flips at these seconds, and on until it has been calm for long."""
        events = sorted({*flips, *range(until)})
        for second in events:
            if second in flips:
                self.flip(at(second))
            self.tick(at(second))
        return self


@pytest.mark.parametrize("pause", [3, 10, 29, 31, 45, 70, 95])
def test_twenty_flips_are_two_messages_at_most(pause: int) -> None:
    platform = Platform(RULES).run([pause * number for number in range(1, 21)], 20 * pause + 3600)
    assert len(platform.messages) <= 2, platform.messages
    assert not platform.held.open


@pytest.mark.parametrize("pause", [3, 10, 20])
def test_twenty_flips_are_two_messages_at_most_even_where_nothing_waits(pause: int) -> None:
    hasty = AlertSettings(wait=0, interval=0)
    platform = Platform(hasty).run([pause * number for number in range(1, 21)], 20 * pause + 3600)
    assert [kind for _, kind in platform.messages] == ["firing", "resolved"]


@given(st.lists(st.integers(min_value=1, max_value=2000), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_whatever_happens_the_last_word_is_what_is_so(pauses: list[int]) -> None:
    flips = [sum(pauses[: number + 1]) for number in range(len(pauses))]
    platform = Platform(RULES).run(flips, flips[-1] + 4000)
    kinds = [kind for _, kind in platform.messages]
    if platform.held.open:
        assert kinds[-1] == "firing"
        assert platform.held.told == "firing"
    else:
        assert not kinds or kinds[-1] == "resolved" or platform.held.told == "resolved"
        assert platform.held.told in ("", "resolved"), "nobody is left with an alert that is over"
    moments = [moment for moment, _ in platform.messages]
    assert all(later - earlier >= RULES.interval for earlier, later in pairwise(moments))
    assert all(kind != "resolved" for kind in kinds[:1]), "an end comes after a beginning"


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.integers(min_value=0, max_value=400))
@settings(max_examples=60, deadline=None)
def test_all_news_of_a_group_goes_out_in_one_message(opened: list[bool], later: int) -> None:
    group = [
        standing(f"s{at_}", open=is_open, told="" if is_open else "firing", told_severity="critical", changed_at=at(at_))
        for at_, is_open in enumerate(opened)
    ]
    plan = planned(group, at(later), RULES)
    assert len(plan.said) in (0, len(group))
    assert (later >= 30) == bool(plan.said)
    assert set(plan.look_at) == {one.fingerprint for one in group}
