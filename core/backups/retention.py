"""Which backups stay and which may go: pure, source by source, and never to the last good one.

A set's run is judged as a whole, since half of it is no state that ever was: it is good when each of its sources is. The good
parts of a run that is not stay by the same rules, but are never counted among whole runs.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal, Self

from core.settings import Settings
from core.settings_backups import OWN_SOURCES
from core.settings_keep import KeepSettings

Status = Literal["running", "good", "bad", "missing"]
"""``missing`` was good; its objects are not in the store any more."""
PERIODS = {
    "hourly": ("hour %Y-%m-%d %H:00 %z", timedelta(hours=1)),
    "daily": ("day %Y-%m-%d", timedelta(days=1)),
    "weekly": ("week %G-W%V", timedelta(days=7)),
    "monthly": ("month %Y-%m", timedelta(days=28)),
    "yearly": ("year %Y", timedelta(days=365)),
}
"""By rule: what all times of one period have in common, and how long the shortest one is."""
YOUNG = "younger than the shortest of the rules"


@dataclass(frozen=True, slots=True)
class Dated:
    """What has to be known of a backup. ``set_sources`` are all that its set's run should have saved."""

    id: str
    source: str
    status: Status
    started_at: datetime
    set_name: str | None = None
    set_id: str | None = None
    set_sources: tuple[str, ...] = ()
    base: str | None = None
    """Of an increment: the whole backup without which it restores nothing."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a backup, and why."""

    backup: Dated
    kept: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Rules:
    """By name, for the sources and the sets that there are. What has no rules stays: a section may be missing by mistake."""

    sources: Mapping[str, KeepSettings]
    sets: Mapping[str, KeepSettings]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        default = settings.backups.keep
        sources = dict.fromkeys(OWN_SOURCES, default)
        sources |= {name: source.keep or default for name, source in settings.sources.items()}
        return cls(sources, {name: one.keep or default for name, one in settings.sets.items()})

    def for_(self, backup: Dated) -> KeepSettings | None:
        """Those that hold for a backup: its set's, if it is of one."""
        return self.sources.get(backup.source) if backup.set_name is None else self.sets.get(backup.set_name)


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is counted as one: a good backup, or a set's run of which all are good. ``at`` in UTC."""

    at: datetime
    ids: tuple[str, ...]


def due(backups: Iterable[Dated], rules: Rules, now: datetime, zone: tzinfo) -> list[Verdict]:
    """What becomes of each, newest first. Hours, days, weeks, months and years begin as they do in ``zone``."""
    present = now.astimezone(UTC)
    everything = sorted(backups, key=_age, reverse=True)
    good = [each for each in everything if each.status == "good" and each.started_at <= present]
    newest = {each.source: each for each in reversed(good)}
    wholes = {each.source: each for each in reversed(good) if each.base is None}
    kept: dict[str, str] = {}
    for keep, line in _lines(good, everything, rules):
        for unit, reason in _kept(keep, line, present, zone):
            kept |= dict.fromkeys(unit.ids, reason)
    verdicts = []
    for each in everything:
        keep_it = kept.get(each.id) or _spared(each, rules.for_(each), newest.get(each.source), present)
        if keep_it is None and each is wholes.get(each.source):  # an increment may be being made from it now
            keep_it = "the last whole one of its source"
        verdicts.append(Verdict(each, keep_it is not None, keep_it or _fault(each, rules.for_(each))))
    return _with_bases(verdicts)


def shortest(keep: KeepSettings) -> timedelta:
    """The age below which nothing is deleted, good or bad: ``days``, else one period of the rule with the shortest ones."""
    lengths = [length for rule, (_, length) in PERIODS.items() if getattr(keep, rule)]
    return timedelta(days=keep.days) if keep.days else min(lengths, default=timedelta())


def _with_bases(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The same, and what a kept one needs is kept."""
    by_id = {each.backup.id: each for each in verdicts}
    waiting = [each for each in verdicts if each.kept]
    while waiting:
        needing = waiting.pop()
        base = by_id.get(needing.backup.base or "")
        if base is not None and not base.kept:
            by_id[base.backup.id] = Verdict(base.backup, True, f"the base of {needing.backup.id}")
            waiting.append(by_id[base.backup.id])
    return [by_id[each.backup.id] for each in verdicts]


def _age(backup: Dated) -> tuple[datetime, str]:
    return backup.started_at, backup.id


def _lines(good: Sequence[Dated], everything: Sequence[Dated], rules: Rules) -> Iterator[tuple[KeepSettings, list[_Unit]]]:
    """What is counted together, newest first: a source's own backups, a set's whole runs, a source's share of later runs."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for each in everything:
        wanted[_run_of(each)] |= {each.source, *each.set_sources}
    runs: dict[str, list[Dated]] = defaultdict(list)
    for each in good:
        runs[_run_of(each)].append(each)
    lines: dict[tuple[str, str], list[_Unit]] = defaultdict(list)
    keeps: dict[tuple[str, str], KeepSettings] = {}
    # Whole runs come first: what a broken run left is only of use until the next whole one.
    for whole in (True, False):
        for run_id, run in runs.items():
            name, keep = run[0].set_name or "", rules.for_(run[0])
            if keep is None or whole != (bool(name) and {each.source for each in run} >= wanted[run_id]):
                continue
            for unit, source in _units(run, whole):
                if not any(name and not whole and later.at > unit.at for later in lines[name, ""]):
                    keeps[name, source] = keep
                    lines[name, source].append(unit)
    for line, keep in keeps.items():
        yield keep, sorted(lines[line], key=lambda unit: (unit.at, unit.ids), reverse=True)


def _run_of(backup: Dated) -> str:
    return backup.set_id or backup.id


def _units(run: Sequence[Dated], whole: bool) -> list[tuple[_Unit, str]]:
    """The run as one, of no source in particular, or each of its backups with its source."""
    if whole:
        return [(_Unit(min(each.started_at for each in run).astimezone(UTC), tuple(each.id for each in run)), "")]
    return [(_Unit(each.started_at.astimezone(UTC), (each.id,)), each.source) for each in run]


def _kept(keep: KeepSettings, line: Sequence[_Unit], now: datetime, zone: tzinfo) -> Iterator[tuple[_Unit, str]]:
    """Those that stay, with a reason each; a later one takes the place of an earlier one."""
    for unit in line:
        if now - unit.at < shortest(keep):
            yield unit, YOUNG
    if line:
        yield line[0], "the last good one"
    for rule, (form, _) in reversed(PERIODS.items()):
        for unit, period in _newest_of(line, getattr(keep, rule), form, zone):
            yield unit, f"the newest of {period}"
    for unit in line[: keep.last]:
        yield unit, f"one of the last {keep.last}"
    for unit in line:
        if now - unit.at < timedelta(days=keep.days):
            yield unit, f"younger than {keep.days:g} days"


def _newest_of(line: Sequence[_Unit], count: int, form: str, zone: tzinfo) -> Iterator[tuple[_Unit, str]]:
    """The newest of each of the latest ``count`` periods that have one."""
    seen: set[str] = set()
    for unit in line:
        period = unit.at.astimezone(zone).strftime(form)
        if period not in seen and len(seen) < count:
            seen.add(period)
            yield unit, period


def _spared(backup: Dated, keep: KeepSettings | None, newest: Dated | None, now: datetime) -> str | None:
    """Why a backup stays that no rule keeps."""
    young = keep is not None and now - backup.started_at.astimezone(UTC) < shortest(keep)
    unmended = backup.status == "bad" and (newest is None or _age(newest) < _age(backup))
    causes = (
        (keep is None, "no rules: it is not in the configuration"),
        (backup.status == "running", "still running"),
        (backup.status == "missing", "not in the store any more"),
        (backup.started_at > now, "dated in the future"),
        (backup is newest, "the last good one of its source"),
        (young, YOUNG),
        (unmended, "failed, and no good one came since"),
    )
    return next((reason for holds, reason in causes if holds), None)


def _fault(backup: Dated, keep: KeepSettings | None) -> str:
    return "failed" if backup.status == "bad" else f"not among {keep}"
