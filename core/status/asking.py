"""The status of everything, asked of the stores: a dozen small questions, whose cost depends on what is listed and not on how
many services there are."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from core.alerts.routing import hidden_channels
from core.alerts.silencing import Silence
from core.backups.sources import sources_of, units_of
from core.config import Settings
from core.status import assembling
from core.status.model_view import ModelViews
from core.status.view import AlertView, BackupView, Page, PlatformView, ServiceView, StatusView, SweepView
from core.store.alerts import AlertRecord, Alerts
from core.store.backup_freshness import freshness
from core.store.base import Store
from core.store.deliveries import deliveries
from core.store.notices import Notices, Outbox
from core.store.service_history import Listed, ServiceHistory
from core.store.services import Sweeps
from core.store.silences import Silences
from core.sweeps.observation import State
from core.topology.ours import NAME, NETWORK, hidden_from
from core.workspaces import EVERY, current_workspace

PROBER = f"{NAME}/{NETWORK}"
"""The service that is down while this machine has no network."""
WHOLE = 150
"""Services that one page lists; where there are more, platforms are opened one by one."""
LISTED = 100
"""Services on a page of those."""
TROUBLES = 40
FOLDED = 400
ALERTS = 15
SILENCES = 50
DRAWN_FROM = 2000
"""Services of a platform among which troubles to be drawn are looked for."""


class Status:
    """Asks for what is shown. ``started``: when this process did."""

    def __init__(self, store: Store, settings: Settings, started: datetime) -> None:
        self._store = store
        self._settings = settings
        self._history = ServiceHistory(store)
        self._models = ModelViews(store, settings)
        self._started = started

    async def view(
        self, platform: str | None = None, number: int = 1, listed: int = LISTED, *, history: bool = True
    ) -> StatusView:
        """Everything as of now. Where there are too many services for a page, ``platform`` says whose are listed, and ``number``
        which page of ``listed`` of them. Without ``history`` there are no uptimes, which take most of the time.

        Raises ``DatabaseUnavailable``."""
        now = datetime.now(UTC)
        counts = await self._history.counts()
        silences = [each for each in await Silences(self._store).page(SILENCES) if each.starts_at <= now]
        alerts, flapping = await self._alerts(silences, now)
        found, page = await self._listed(platform, number, listed, counts={name: sum(of.values()) for name, of in counts.items()})
        histories = await self._history.histories([each.state.key for each in found] if history else [], now)
        hidden = hidden_from(current_workspace(), self._settings)
        services = assembling.service_views(found, flapping, hidden, histories)
        roots = assembling.service_views(await self._history.troubles(TROUBLES), flapping, hidden)
        folded = await self._history.folded([root.key for root in roots], FOLDED)
        dragged = assembling.service_views(folded, flapping, hidden)
        under = await self._history.folded_counts()
        return StatusView(
            now=now,
            sweep=replace(await self.sweep(now), online=all(root.key != PROBER for root in roots)),
            troubles=assembling.troubles(roots, dragged, under),
            more_troubles=max(0, under.get("", 0) - len(roots)),
            platforms=tuple([await self._platform(name, of, services, flapping) for name, of in counts.items()]),
            alerts=alerts,
            silences=tuple(assembling.silence_view(each) for each in silences),
            windows=tuple(assembling.window_view(each) for each in await self._history.maintained(SILENCES)),
            backups=await self.backups(now),
            channels=tuple(assembling.channel_view(each) for each in await self.outboxes()),
            models=await self._models.now(),
            page=page,
        )

    async def _listed(self, platform: str | None, number: int, listed: int, counts: dict[str, int]) -> tuple[list[Listed], Page]:
        total = sum(counts.values())
        if platform is None and total <= WHOLE:
            return await self._history.listed(WHOLE), Page()
        if platform is None or platform not in counts:
            return [], Page(platform=platform, whole=total <= WHOLE)
        size = counts[platform]
        pages = max(1, -(-size // listed))
        number = min(max(1, number), pages)
        found = await self._history.listed(listed, (number - 1) * listed, platform, worst_first=size > listed)
        return found, Page(number, pages, platform, whole=total <= WHOLE)

    async def _platform(
        self, name: str, counts: dict[State, int], services: Sequence[ServiceView], flapping: set[str]
    ) -> PlatformView:
        """A platform of which nothing is listed is not drawn either."""
        here = [each for each in services if each.platform == name]
        drawn = here
        if here and len(here) < sum(counts.values()):
            known = await self._history.listed(DRAWN_FROM, 0, name, worst_first=True)
            hidden = hidden_from(current_workspace(), self._settings)
            drawn = assembling.service_views(known, flapping, hidden)
        return assembling.platform_view(name, counts, here, drawn)

    async def _alerts(self, silences: Sequence[Silence], now: datetime) -> tuple[tuple[AlertView, ...], set[str]]:
        """The newest alerts, open ones first; and the fingerprints of those that come and go."""
        records: list[AlertRecord] = await Alerts(self._store).page(ALERTS)
        sent = await deliveries(self._store, [record.id for record in records])
        views = tuple(assembling.alert_view(record, sent.get(record.id, ()), silences, now) for record in records)
        return views, {record.fingerprint for record in records if record.flapping}

    async def sweep(self, now: datetime) -> SweepView:
        """The newest sweep, and whether the next one is overdue."""
        last = await Sweeps(self._store).last()
        return assembling.sweep_view(last, self._settings.sweeps.interval, now, self._started)

    async def outboxes(self) -> list[Outbox]:
        """What waits for each channel, of those that take alerts of the workspace whose work is done."""
        hidden = hidden_channels(current_workspace(), self._settings.channels)
        return [each for each in await Notices(self._store).outboxes() if each.channel not in hidden]

    async def backups(self, now: datetime) -> tuple[BackupView, ...]:
        """Every source that is saved, by name; of the workspace alone whose work is done."""
        settings = self._settings
        own = {name for name, each in sources_of(settings).items() if current_workspace() in (EVERY, each.workspace)}
        schedules = {source: unit.schedule for unit in units_of(settings) for source in unit.sources if source in own}
        grace = timedelta(hours=settings.backups.grace_hours)
        return assembling.backup_views(await freshness(self._store), schedules, grace, settings.timezone, now)
