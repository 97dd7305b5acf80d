"""What the stores know, put together for the page: pure, so that every case of it can be shown."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from core.alerts.silencing import Silence, silenced
from core.schedules import latest
from core.status.view import (
    AlertView,
    BackupView,
    ChannelView,
    Delivery,
    Fresh,
    PlatformView,
    ServiceView,
    SilenceView,
    SweepView,
    Trouble,
    Uptime,
    WindowView,
)
from core.store.alerts import AlertRecord
from core.store.backup_freshness import Freshness
from core.store.notices import Outbox
from core.store.service_history import History, Listed
from core.store.services import SweepRecord
from core.sweeps.observation import State
from core.sweeps.service import Key

DRAWN = 60
"""Services of a platform that are drawn in full; of a larger one only troubles and what they touch."""
LATE = 2.0
"""Intervals without a sweep after which sweeps are overdue, and a minute more for the sweep itself."""


def service_view(listed: Listed, history: History | None, flapping: Collection[str]) -> ServiceView:
    """``flapping``: fingerprints of alerts that come and go."""
    state, past = listed.state, history or History()
    topology = state.topology
    return ServiceView(
        key=str(state.key),
        name=state.name,
        title=state.shown,
        platform=listed.platform,
        state=state.state,
        since=state.since,
        checked_at=state.checked_at,
        code=state.code,
        message=state.message,
        severity=state.severity,
        seconds=state.seconds,
        root=(state.root or "") if state.opened else "",
        needs=tuple(f"{topology}/{name}" for name in state.depends_on),
        hints=tuple(f"{topology}/{name}" for name in state.hints),
        runbook=state.runbook,
        maintenance=state.maintenance,
        flapping=state.key.fingerprint in flapping,
        uptime=Uptime(past.share(1), past.share(7), past.share(90)),
        latency=past.latency,
        days=past.days,
    )


def service_views(
    found: Iterable[Listed], flapping: Collection[str], hidden: Collection[str], histories: Mapping[Key, History] | None = None
) -> list[ServiceView]:
    """As they are shown to somebody who may not see those ``hidden``, also not as what another one needs."""
    views = (service_view(each, (histories or {}).get(each.state.key), flapping) for each in found)
    return [
        replace(
            view,
            root="" if view.root in hidden else view.root,
            needs=tuple(name for name in view.needs if name not in hidden),
            hints=tuple(name for name in view.hints if name not in hidden),
        )
        for view in views
        if view.key not in hidden
    ]


def troubles(roots: Iterable[ServiceView], folded: Iterable[ServiceView], counts: Mapping[str, int]) -> tuple[Trouble, ...]:
    """What is wrong, each with what hangs under it; ``counts`` by root, of which ``folded`` may hold only some."""
    under: dict[str, list[ServiceView]] = {}
    for each in folded:
        under.setdefault(each.root, []).append(each)
    return tuple(
        Trouble(root, tuple(found := under.get(root.key, [])), max(counts.get(root.key, 0), len(found))) for root in roots
    )


def platform_view(
    name: str, counts: Mapping[State, int], services: Sequence[ServiceView], drawn: Sequence[ServiceView]
) -> PlatformView:
    """A platform; ``drawn`` are all of its services that are known here."""
    if sum(counts.values()) <= DRAWN:
        return PlatformView(name, counts, tuple(services), tuple(drawn))
    near = {each.key for each in drawn if each.troubled}
    near |= {need for each in drawn if each.troubled for need in each.needs}
    return PlatformView(name, counts, tuple(services), tuple(each for each in drawn if each.key in near)[:DRAWN])


def sweep_view(last: SweepRecord | None, interval: float, now: datetime, started: datetime) -> SweepView:
    """``started``: when this process began to look; before the first sweep that decides whether one is overdue."""
    due = timedelta(seconds=interval * LATE + 60)
    if last is None:
        return SweepView(interval=interval, overdue=now - started > due)
    took = (last.finished_at - last.started_at).total_seconds()
    return SweepView(last.finished_at, took, last.origin, interval, overdue=now - last.finished_at > due)


def alert_view(record: AlertRecord, sent: Sequence[Delivery], silences: Sequence[Silence], now: datetime) -> AlertView:
    """An alert with how its newest messages fared."""
    return AlertView(
        id=record.id,
        fingerprint=record.fingerprint,
        title=record.title,
        severity=record.severity,
        opened_at=record.raised_at,
        resolved_at=record.resolved_at,
        text=record.text,
        service=record.service,
        platform=record.platform,
        origin=record.origin,
        silenced=record.is_open and silenced(record, silences, now) is not None,
        deliveries=tuple(sent),
    )


def silence_view(silence: Silence) -> SilenceView:
    """What it covers in one line, patterns as they were given."""
    lists = (silence.services, silence.platforms, silence.severities, silence.fingerprints)
    what = " · ".join(", ".join(patterns) for patterns in lists if patterns)
    return SilenceView(silence.id, what or "*", silence.ends_at, silence.comment, silence.made_by)


def window_view(listed: Listed) -> WindowView:
    """A service whose window of maintenance is open."""
    return WindowView(listed.state.name, listed.state.shown, listed.platform)


def channel_view(outbox: Outbox) -> ChannelView:
    """What waits for a channel."""
    return ChannelView(outbox.channel, outbox.waiting, outbox.given_up, outbox.oldest_at)


def backup_views(
    found: Iterable[Freshness], schedules: Mapping[str, str], grace: timedelta, zone: str, now: datetime
) -> tuple[BackupView, ...]:
    """The sources that are saved now, by name; ``schedules`` are their cron lines. One that was never saved is shown as well."""
    known = {each.source: each for each in found}
    return tuple(
        _backup(name, known.get(name), _fresh(known.get(name), line, grace, zone, now)) for name, line in schedules.items()
    )


def _fresh(each: Freshness | None, line: str, grace: timedelta, zone: str, now: datetime) -> Fresh:
    if each is None or each.good_at is None:
        return "failed" if each is not None and each.failed else "none"
    if each.failed:
        return "failed"
    return "late" if each.good_at < latest(line, zone, now - grace) else "fresh"


def _backup(name: str, each: Freshness | None, fresh: Fresh) -> BackupView:
    if each is None:
        return BackupView(name, "", fresh)
    return BackupView(
        source=name,
        engine=each.engine,
        fresh=fresh,
        good_at=each.good_at,
        size=each.size,
        seconds=each.seconds,
        tried_at=each.tried_at,
        error=each.error if each.failed else "",
        drill=each.drill,
        drill_at=each.drill_at,
        drill_seconds=each.drill_seconds,
    )
