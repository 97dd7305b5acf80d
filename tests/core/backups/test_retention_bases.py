"""No kept increment ever loses its base, for any backups and any rules; and nothing else stays because of it."""

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from core.backups.retention import Dated, Rules, due
from core.settings_keep import KeepSettings
from tests.core.backups.test_retention import NIGHT, NOW, ids, kept_of, lone, nightly, rules_of_all, with_runs, zones


@st.composite
def increments(draw: st.DrawFn, backups: st.SearchStrategy[list[Dated]]) -> list[Dated]:
    """Some of them increments, each on an older whole one of its source, of whatever status."""
    made: list[Dated] = []
    for each in sorted(draw(backups), key=lambda one: (one.started_at, one.id)):
        wholes = [one.id for one in made if one.source == each.source and one.base is None]
        base = draw(st.sampled_from([None, *wholes[-3:]])) if wholes else None
        made.append(replace(each, base=base))
    return made


@given(increments(with_runs()), rules_of_all, zones)
def test_no_kept_increment_loses_its_base(backups: list[Dated], rules: Rules, zone: ZoneInfo) -> None:
    verdicts = due(backups, rules, NOW, zone)
    kept = ids(verdicts, kept=True)
    assert {one.base for one in backups if one.id in kept and one.base} <= kept
    assert [one.backup for one in verdicts] == [one.backup for one in due([replace(each) for each in backups], rules, NOW, zone)]


@given(increments(with_runs()), rules_of_all, zones)
def test_only_what_is_needed_stays_beyond_the_rules(backups: list[Dated], rules: Rules, zone: ZoneInfo) -> None:
    kept = ids(due(backups, rules, NOW, zone), kept=True)
    by_rules = ids(due([replace(each, base=None) for each in backups], rules, NOW, zone), kept=True)
    needed = {one.base for one in backups if one.id in kept}
    wholes = [one for one in backups if one.status == "good" and one.base is None and one.started_at <= NOW]
    newest = {
        max((one for one in wholes if one.source == name), key=lambda one: (one.started_at, one.id)).id
        for name in {one.source for one in wholes}
    }
    assert by_rules <= kept
    assert kept - by_rules <= needed | newest


@given(increments(lone()), rules_of_all, zones)
def test_done_again_after_deleting_it_deletes_no_more(backups: list[Dated], rules: Rules, zone: ZoneInfo) -> None:
    kept = ids(due(backups, rules, NOW, zone), kept=True)
    left = [one for one in backups if one.id in kept]
    assert {one.base for one in left if one.base} <= kept
    assert {one.base for one in left if one.base} <= ids(due(left, rules, NOW, zone), kept=True)


def test_the_base_says_for_which_it_stays() -> None:
    newest, *older = nightly(9)
    backups = [replace(newest, base="dify-8"), *(replace(one, base="dify-8") for one in older[:-1]), older[-1]]
    kept = kept_of(backups, KeepSettings(last=1))
    assert kept == {"dify-0": "one of the last 1", "dify-8": "the last whole one of its source"}
    later = Dated("later", "dify", "good", NIGHT - timedelta(days=8, hours=-2))
    kept = kept_of([*backups, later], KeepSettings(last=1))
    assert kept == {
        "dify-0": "one of the last 1",
        "later": "the last whole one of its source",
        "dify-8": "the base of dify-0",
    }
