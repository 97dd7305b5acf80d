"""Retention cannot destroy: what is promised of it, for any backups and any rules; and the days on which clocks are turned."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.backups.retention import PERIODS, Dated, Rules, Status, Verdict, due, shortest
from core.config import Settings, load_settings
from core.settings_keep import KeepSettings

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
NIGHT = NOW.replace(hour=2)
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Shanghai", "Pacific/Apia", "Asia/Kathmandu")
]
NAMES = ("dify", "fastgpt")

zones = st.sampled_from(ZONES)
keeps = st.builds(
    lambda **rules: KeepSettings(**rules) if any(rules.values()) else KeepSettings(last=1),
    days=st.sampled_from([0, 0, 0.5, 1, 7, 400]),
    **{rule: st.integers(0, 5) for rule in ("last", *PERIODS)},
)
rules_of_all = st.builds(lambda *each: Rules(dict(zip(NAMES, each[:2], strict=True)), {"all": each[2]}), keeps, keeps, keeps)
# Most within hours and days, some within years, a few ahead of the clock.
moments = st.one_of(st.integers(-120, 3_000), st.integers(0, 90 * 1440), st.integers(0, 6 * 525_600)).map(
    lambda minutes: NOW - timedelta(minutes=minutes)
)
statuses: st.SearchStrategy[Status] = st.sampled_from(["good", "good", "good", "bad", "running", "missing"])


@st.composite
def lone(draw: st.DrawFn, sources: Sequence[str] = NAMES) -> list[Dated]:
    found = draw(st.lists(st.tuples(st.sampled_from(sources), statuses, moments), max_size=40))
    return [Dated(f"{source}-{number}", source, status, at) for number, (source, status, at) in enumerate(found)]


@st.composite
def with_runs(draw: st.DrawFn) -> list[Dated]:
    """Runs of the set too, each of both sources, with whatever became of them."""
    backups = draw(lone())
    late = st.integers(0, 600)
    runs = draw(st.lists(st.tuples(moments, st.tuples(statuses, statuses), st.tuples(late, late)), max_size=15))
    for number, (at, found, lateness) in enumerate(runs):
        backups += [
            Dated(f"run{number}-{name}", name, status, at + timedelta(minutes=minutes), "all", f"run{number}", NAMES)
            for name, status, minutes in zip(NAMES, found, lateness, strict=True)
            if status != "missing"
        ]
    return backups


def ids(verdicts: Iterable[Verdict], *, kept: bool) -> set[str]:
    return {verdict.backup.id for verdict in verdicts if verdict.kept is kept}


def nightly(count: int, source: str = "dify", at: datetime = NIGHT) -> list[Dated]:
    return [Dated(f"{source}-{number}", source, "good", at - timedelta(days=number)) for number in range(count)]


def kept_of(backups: Sequence[Dated], keep: KeepSettings, now: datetime = NOW, zone: ZoneInfo = ZONES[0]) -> dict[str, str]:
    return {one.backup.id: one.reason for one in due(backups, Rules({"dify": keep}, {}), now, zone) if one.kept}


@given(with_runs(), rules_of_all, zones)
def test_every_backup_gets_one_verdict_with_a_reason_newest_first(backups: list[Dated], rules: Rules, zone: ZoneInfo) -> None:
    verdicts = due(backups, rules, NOW, zone)
    assert sorted(one.backup.id for one in verdicts) == sorted(one.id for one in backups)
    assert all(one.backup.started_at >= two.backup.started_at for one, two in pairwise(verdicts))
    assert all(one.reason for one in verdicts)


@given(with_runs(), rules_of_all, zones)
def test_nothing_younger_than_the_youngest_rule_is_deleted(backups: list[Dated], rules: Rules, zone: ZoneInfo) -> None:
    for verdict in due(backups, rules, NOW, zone):
        keep = rules.sets["all"] if verdict.backup.set_name else rules.sources[verdict.backup.source]
        lengths = {"hourly": 1 / 24, "daily": 1, "weekly": 7, "monthly": 28, "yearly": 365}
        youngest = keep.days or min((length for rule, length in lengths.items() if getattr(keep, rule)), default=0)
        assert verdict.kept or NOW - verdict.backup.started_at >= timedelta(days=youngest)


@given(with_runs(), rules_of_all, zones)
def test_the_last_good_one_of_each_source_always_stays(backups: list[Dated], rules: Rules, zone: ZoneInfo) -> None:
    kept = ids(due(backups, rules, NOW, zone), kept=True)
    for source in NAMES:
        good = [one for one in backups if one.source == source and one.status == "good"]
        past = [one for one in good if one.started_at <= NOW]
        for some in (good, past):
            if some:
                assert max(some, key=lambda one: (one.started_at, one.id)).id in kept


@given(lone(), rules_of_all, zones, st.lists(st.tuples(st.sampled_from(NAMES), moments), max_size=10))
def test_a_bad_backup_protects_nothing_and_is_not_counted(
    backups: list[Dated], rules: Rules, zone: ZoneInfo, more: list[tuple[str, datetime]]
) -> None:
    bad = [Dated(f"bad-{number}", source, "bad", at) for number, (source, at) in enumerate(more)]
    before, after = due(backups, rules, NOW, zone), due([*backups, *bad], rules, NOW, zone)
    known = {one.id for one in backups}
    assert [one for one in after if one.backup.id in known] == before


@given(with_runs(), rules_of_all, zones)
def test_a_broken_run_of_a_set_counts_for_nothing_among_whole_ones(backups: list[Dated], rules: Rules, zone: ZoneInfo) -> None:
    runs: dict[str, list[Dated]] = {}
    for one in backups:
        if one.set_id is not None:
            runs.setdefault(one.set_id, []).append(one)
    whole = {name for name, run in runs.items() if {one.source for one in run if one.status == "good"} == set(NAMES)}
    alone = [one for one in backups if one.set_id is None or one.set_id in whole]
    kept = ids(due(backups, rules, NOW, zone), kept=True)
    for name in whole:
        parts = {one.id for one in runs[name]}
        assert parts & ids(due(alone, rules, NOW, zone), kept=True) <= kept | _spared_parts(alone, backups)


def _spared_parts(alone: Sequence[Dated], backups: Sequence[Dated]) -> set[str]:
    """What stayed only as the last good one of its source, and is not that any more."""
    return {
        max(found, key=lambda one: (one.started_at, one.id)).id
        for source in NAMES
        if (found := [one for one in alone if one.source == source and one.status == "good" and one.started_at <= NOW])
    } - {
        max(found, key=lambda one: (one.started_at, one.id)).id
        for source in NAMES
        if (found := [one for one in backups if one.source == source and one.status == "good" and one.started_at <= NOW])
    }


@given(with_runs(), rules_of_all, zones)
def test_a_whole_run_of_a_set_stays_or_goes_as_one(backups: list[Dated], rules: Rules, zone: ZoneInfo) -> None:
    newest = {
        max(some, key=lambda one: (one.started_at, one.id)).id
        for source in NAMES
        if (some := [one for one in backups if one.source == source and one.status == "good" and one.started_at <= NOW])
    }
    by_run: dict[str, list[Verdict]] = {}
    for verdict in due(backups, rules, NOW, zone):
        if verdict.backup.set_id is not None:
            by_run.setdefault(verdict.backup.set_id, []).append(verdict)
    for run in by_run.values():
        good = {one.backup.source for one in run if one.backup.status == "good"} == set(NAMES)
        past = all(one.backup.started_at <= NOW for one in run)
        young = timedelta(minutes=600) > NOW - max(one.backup.started_at for one in run) - shortest(rules.sets["all"])
        if good and past and not young and not newest & {one.backup.id for one in run}:
            assert len({one.kept for one in run}) == 1


@given(lone(), lone(["fastgpt"]), rules_of_all, zones)
def test_sources_never_affect_each_other(backups: list[Dated], others: list[Dated], rules: Rules, zone: ZoneInfo) -> None:
    ours = [one for one in backups if one.source == "dify"]
    more = [replace(one, id=f"other-{one.id}") for one in others]
    changed = Rules({**rules.sources, "fastgpt": KeepSettings(last=1)}, {})
    alone = due(ours, rules, NOW, zone)
    assert [one for one in due([*backups, *more], changed, NOW, zone) if one.backup.source == "dify"] == alone


@given(lone(["dify"]), keeps, zones)
def test_each_rule_keeps_the_newest_of_each_of_so_many_periods(backups: list[Dated], keep: KeepSettings, zone: ZoneInfo) -> None:
    """Told in another way than the code does it: by what each local calendar period holds."""
    kept = kept_of(backups, keep, zone=zone)
    good = sorted((one for one in backups if one.status == "good" and one.started_at <= NOW), key=lambda one: one.started_at)
    calendars: Mapping[str, object] = {
        "daily": lambda at: at.date(),
        "weekly": lambda at: at.isocalendar()[:2],
        "monthly": lambda at: (at.year, at.month),
        "yearly": lambda at: at.year,
    }
    for rule, calendar in calendars.items():
        assert callable(calendar)
        newest = {calendar(one.started_at.astimezone(zone)): one for one in good}
        for one in [newest[period] for period in sorted(newest)][-getattr(keep, rule) :] if getattr(keep, rule) else []:
            same = [other.id for other in good if other.started_at == one.started_at]
            assert set(same) & kept.keys()


@settings(max_examples=50)
@given(lone(["dify"]), keeps, zones)
def test_pruned_again_nothing_more_goes(backups: list[Dated], keep: KeepSettings, zone: ZoneInfo) -> None:
    kept = kept_of(backups, keep, zone=zone)
    assert kept_of([one for one in backups if one.id in kept], keep, zone=zone).keys() == kept.keys()


def test_seven_days() -> None:
    assert set(kept_of(nightly(30), KeepSettings(days=7))) == {f"dify-{number}" for number in range(7)}
    late = nightly(30, at=NOW - timedelta(days=90))
    assert kept_of(late, KeepSettings(days=7)) == {"dify-0": "the last good one"}


def test_seven_days_four_weeks_six_months() -> None:
    kept = kept_of(nightly(400), KeepSettings(daily=7, weekly=4, monthly=6))
    ages = sorted(int(name.removeprefix("dify-")) for name in kept)
    assert ages == [0, 1, 2, 3, 4, 5, 6, 7, 14, 21, 32, 62, 93, 124]
    assert kept["dify-1"] == "the newest of day 2026-10-31"
    assert kept["dify-7"] == "the newest of week 2026-W43"
    assert kept["dify-124"] == "the newest of month 2026-06"


def test_periods_without_a_backup_are_not_counted() -> None:
    rare = [replace(one, started_at=NOW - timedelta(days=40 * number)) for number, one in enumerate(nightly(5))]
    assert len(kept_of(rare, KeepSettings(daily=3))) == 3
    assert len(kept_of(rare, KeepSettings(monthly=5))) == 5


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    """On 25 October 2026 at 3:00 the clocks of Berlin are set back to 2:00."""
    first, second = datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert [at.astimezone(BERLIN).hour for at in (first, second)] == [2, 2]
    backups = [Dated("first", "dify", "good", first), Dated("second", "dify", "good", second)]
    assert kept_of(backups, KeepSettings(hourly=2), zone=BERLIN).keys() == {"first", "second"}
    assert kept_of(backups, KeepSettings(daily=2), zone=BERLIN).keys() == {"second"}


def test_a_day_begins_as_it_does_in_the_configured_zone() -> None:
    """In the night of 29 March 2026 Berlin goes from UTC+1 to UTC+2."""
    evening, midnight = datetime(2026, 3, 29, 21, 59, tzinfo=UTC), datetime(2026, 3, 29, 22, 1, tzinfo=UTC)
    backups = [Dated("evening", "dify", "good", evening), Dated("midnight", "dify", "good", midnight)]
    assert kept_of(backups, KeepSettings(daily=2), zone=BERLIN).keys() == {"evening", "midnight"}
    assert kept_of(backups, KeepSettings(daily=2)).keys() == {"midnight"}


def test_times_in_other_zones_are_the_same_times() -> None:
    backups = nightly(50)
    moved = [replace(one, started_at=one.started_at.astimezone(BERLIN)) for one in backups]
    for keep in (KeepSettings(days=7), KeepSettings(hourly=3, weekly=2)):
        assert kept_of(backups, keep) == kept_of(moved, keep, now=NOW.astimezone(BERLIN))


def test_what_has_no_rules_and_what_is_no_longer_there_stays() -> None:
    old = NOW - timedelta(days=9000)
    backups = [
        Dated("left out", "mongo", "bad", old),
        Dated("left out too", "dify", "good", old, "gone", "run", ("dify",)),
        Dated("missing", "dify", "missing", old),
        Dated("running", "dify", "running", old),
        Dated("ahead", "dify", "good", NOW + timedelta(minutes=1)),
        *nightly(2),
    ]
    reasons = kept_of(backups, KeepSettings(last=1))
    assert reasons == {
        "left out": "no rules: it is not in the configuration",
        "left out too": "no rules: it is not in the configuration",
        "missing": "not in the store any more",
        "running": "still running",
        "ahead": "dated in the future",
        "dify-0": "one of the last 1",
    }


def test_a_failure_is_remembered_until_a_good_one_came() -> None:
    good, bad = nightly(1)[0], Dated("bad", "dify", "bad", NOW - timedelta(days=3))
    older = replace(good, started_at=NOW - timedelta(days=4))
    assert kept_of([older, bad], KeepSettings(daily=1))["bad"] == "failed, and no good one came since"
    (verdict,) = [one for one in due([good, bad], Rules({"dify": KeepSettings(daily=1)}, {}), NOW, BERLIN) if not one.kept]
    assert (verdict.backup.id, verdict.reason) == ("bad", "failed")


def test_a_set_whose_one_source_fails_keeps_its_last_whole_run_and_what_is_good_since() -> None:
    def run(day: int, *statuses: Status) -> list[Dated]:
        at = NOW - timedelta(days=day)
        return [
            Dated(f"{name}-{day}", name, status, at, "all", f"run{day}", NAMES)
            for name, status in zip(NAMES, statuses, strict=True)
        ]

    backups = [one for day in range(1, 20) for one in run(day, "good", "bad" if day < 10 else "good")]
    verdicts = due(backups, Rules({}, {"all": KeepSettings(last=3)}), NOW, BERLIN)
    kept = [one.backup.id for one in verdicts if one.kept and one.backup.status == "good"]
    assert kept == ["dify-1", "dify-2", "dify-3", "fastgpt-10", "dify-10", "fastgpt-11", "dify-11", "fastgpt-12", "dify-12"]


def test_what_a_broken_run_left_is_of_no_use_after_the_next_whole_one() -> None:
    at = NOW - timedelta(days=300)
    left = Dated("left", "dify", "good", at, "all", "broken", NAMES)
    whole = [Dated(f"{name}-whole", name, "good", at + timedelta(days=1), "all", "whole", NAMES) for name in NAMES]
    rules = Rules({}, {"all": KeepSettings(daily=7, yearly=3)})
    assert ids(due([left], rules, NOW, BERLIN), kept=True) == {"left"}
    assert ids(due([left, *whole], rules, NOW, BERLIN), kept=True) == {"dify-whole", "fastgpt-whole"}


def test_the_newest_of_a_source_stays_though_its_run_is_not_the_newest() -> None:
    """Of two runs that overlapped, the one that began first ended last."""
    hours = {"first": (40, 10), "second": (30, 20)}
    runs = [
        Dated(f"{name}-{run}", name, "good", NOW - timedelta(hours=ago), "all", run, NAMES)
        for run, both in hours.items()
        for name, ago in zip(NAMES, both, strict=True)
    ]
    kept = {one.backup.id: one.reason for one in due(runs, Rules({}, {"all": KeepSettings(last=1)}), NOW, BERLIN) if one.kept}
    assert kept == {
        "dify-second": "one of the last 1",
        "fastgpt-second": "one of the last 1",
        "fastgpt-first": "the last good one of its source",
    }


def test_the_rules_of_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "pilothouse.toml"
    file.write_text(
        """
        [backups]
        keep = "7 days"
        [sources.dify]
        path = "x"
        keep = { last = 3 }
        [sources.fastgpt]
        path = "y"
        [sets.all]
        sources = ["dify", "fastgpt"]
        keep = "2 weekly"
        [sets.more]
        sources = ["dify", "prefect"]
        """,
        encoding="utf-8",
    )
    loaded: Settings = load_settings(config=file, environ={"HOME": "/nowhere"})
    rules = Rules.of(loaded)
    week = KeepSettings(days=7)
    own = {"pilothouse": week, "prefect": week, "configuration": week}
    assert rules.sources == own | {"dify": KeepSettings(last=3), "fastgpt": week}
    assert rules.sets == {"all": KeepSettings(weekly=2), "more": week}


@pytest.mark.parametrize(
    ("keep", "hours"), [(KeepSettings(last=3), 0), (KeepSettings(days=7, hourly=2), 168), (KeepSettings(hourly=2, yearly=1), 1)]
)
def test_the_shortest_reach(keep: KeepSettings, hours: float) -> None:
    assert shortest(keep) == timedelta(hours=hours)
