"""One sweep: every service looked at, those that seem to change looked at again until that is sure, and what is new told.

The same for the flow and for the API process that stands by: only who takes the looks differs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic

import structlog

from core.ids import new_id
from core.settings import Settings
from core.store.alerts import Alerts
from core.store.base import Store
from core.store.model_figures import ModelFigures
from core.store.samples import Samples
from core.store.services import Services, SweepOrigin, SweepRecord, Sweeps
from core.sweeps.board import Board
from core.sweeps.observation import Observation, Probe
from core.sweeps.service import Key, ServiceState
from core.sweeps.telling import Place
from core.topology import ours
from core.topology.kept import readable_topologies
from core.topology.topology import Topology
from flows.catalogue import scheduled
from flows.own_probes import Probes, Said
from tasks.probes import Looks, Target

log = structlog.get_logger(__name__)

RETRY = 1.0
"""Seconds until the second look at what failed; half of ``sweeps.recheck`` where that is less."""
LONGEST = 120.0
"""Seconds for which a sweep goes on to look again at what is undecided; more where the configured looks need more."""
PATIENCE = 1.0
"""Seconds after which the next level is begun, though looks at this one are not all there yet."""
USED = timedelta(days=7)
"""After which a model that is only listed, and that nobody asked since, is watched no longer."""
GONE = "It is no longer in the configuration."
LOST = "There is nothing to look at any more."

Take = Callable[[str, Looks], Awaitable[int]]
"""Takes looks under a name: as a task run in a flow, or just so."""
Told = Callable[[int, int], None]
"""How many services of how many have been looked at."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What is swept. ``unread``: why some that are configured cannot be read."""

    topologies: Sequence[Topology]
    unread: str | None = None


def watched(settings: Settings) -> Watched:
    """All topologies: our own, and those of the configuration. One that cannot be read is told of as a service of ours."""
    own = ours.ours(settings, scheduled(settings))
    found, wrong = readable_topologies(settings)
    if not wrong:
        return Watched([own, *found])
    reasons = " ".join(error.message for error in wrong)
    log.error("topologies_not_read", reason=reasons)
    return Watched([ours.with_unreadable(own), *found], reasons)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a sweep works with. ``run_url``: the Prefect run's page; ``owner``: whose lease it is."""

    settings: Settings
    store: Store
    probes: Probes
    origin: SweepOrigin
    flow_run_id: str | None = None
    run_url: str | None = None
    owner: str = field(default_factory=new_id)


class Sweep:
    """A sweep under the lease, of ``topologies``; ``only`` one of them is looked at."""

    def __init__(self, parts: Parts, board: Board, take: Take, told: Told, only: str | None = None) -> None:
        self.board = board
        self.looked = 0
        self._parts, self._take, self._told, self._only = parts, take, told, only
        self._services, self._samples = Services(parts.store), Samples(parts.store)
        self._alerts = Alerts(parts.store)
        self.made: dict[Key, Probe] = {}
        sweeps = parts.settings.sweeps
        self._again = min(RETRY, sweeps.recheck / 2)
        self._place = Place(f"{parts.settings.address}/status", parts.settings.timezone, parts.run_url)

    async def run(self) -> SweepRecord:
        """Until nothing is undecided, or for as long as it may take."""
        sweeps = self._parts.settings.sweeps
        started, began = datetime.now(UTC), monotonic()
        await self._forget()
        whole = self.board.levels(self._chosen())
        await self._pass(whole, "level")
        await self._samples.add(started, self._sampled())
        sampled = looked = began
        longest = max(LONGEST, 4 * sweeps.recheck * max(sweeps.open_after, sweeps.close_after))
        while (again := self.board.again()) and monotonic() - began < longest:
            next_whole = sampled + sweeps.interval
            await asyncio.sleep(max(0.0, min(looked + sweeps.recheck, next_whole) - monotonic()))
            looked = monotonic()
            if looked < next_whole:
                await self._pass([again], "again")
                continue
            sampled = looked
            await self._pass(whole, "level")
            await self._samples.add(datetime.now(UTC), self._sampled())
        counts = self.board.counts(self._only) | {"flips": self.board.flips, "looks": self.looked}
        flow_run, origin = self._parts.flow_run_id, self._parts.origin
        record = SweepRecord(new_id(), origin, started, datetime.now(UTC), flow_run, self._only, counts)
        await Sweeps(self._parts.store).add(record)
        return record

    def _chosen(self) -> list[Key]:
        return [key for key in self.board.states if self._only in (None, key.topology)]

    def _sampled(self) -> list[ServiceState]:
        return [each for each in self.board.sampled() if self._only in (None, each.topology)]

    async def _pass(self, levels: Sequence[Sequence[Key]], what: str) -> None:
        """Look at them, level by level, and settle what that says.

        What does not answer takes its whole time, twice: no level waits for it longer than a moment, else a card about what
        lies on the ground would wait for all that stands above it.
        """
        online = await self._parts.probes.online()
        gate = asyncio.Semaphore(self._parts.settings.sweeps.at_once)
        total, done = sum(len(level) for level in levels), 0

        async def looked(name: str, keys: Sequence[Key]) -> None:
            nonlocal done
            looks = Looks([self._target(key) for key in keys], gate)
            await self._take(name, looks)
            for key, seen in looks.seen.items():
                self._note(key, seen, online)
            done += len(keys)
            self._told(done, total)

        async with asyncio.TaskGroup() as group:
            for number, level in enumerate(levels):
                begun = group.create_task(looked(f"{what} {number}: {len(level)} services", level))
                await asyncio.wait({begun}, timeout=PATIENCE)
        self.looked += total
        await self._settle()

    def _note(self, key: Key, seen: Observation, online: bool) -> None:
        now = datetime.now(UTC)
        if not online and seen.state != "up" and not self._parts.probes.is_local(key, self.board.services[key]):
            self.board.blur(key, now)
            return
        flip = self.board.note(key, seen, now)
        if flip is not None and flip.before != "unknown":
            log.info("service_flipped", service=str(key), before=flip.before, after=flip.after, code=seen.code)

    async def _settle(self) -> None:
        """Told first, kept second: told twice it is the same alert, but what is kept as told is never told again."""
        tidings = self.board.settle(self._place, datetime.now(UTC))
        if tidings.alerts:
            await self._alerts.raise_all(tidings.alerts)
            log.warning("services_not_well", services=[alert.service for alert in tidings.alerts])
        for words, over in (("", tidings.over), (LOST, tidings.lost)):
            if over:
                await self._alerts.resolve_all((each.key.fingerprint for each in over), words)
                log.info("alerts_over", services=[str(each.key) for each in over])
        await self._services.save(self.board.changed())

    async def _forget(self) -> None:
        """What has left the configuration, and its alerts."""
        gone = self.board.gone
        if gone:
            await self._alerts.resolve_all((each.key.fingerprint for each in gone if each.told is not None), GONE)
            await self._services.forget([each.key for each in gone])
            log.info("services_gone", services=[str(each.key) for each in gone])

    def _target(self, key: Key) -> Target:
        service = self.board.services[key]
        if key not in self.made:
            self.made[key] = self._parts.probes.of(key, service)
        once = self.board.thresholds(key).open_after == 1 or self.board.states[key].failing
        timeout = service.timeout or self._parts.settings.sweeps.timeout
        return Target(key, self.made[key], timeout, None if once else self._again)


async def swept(parts: Parts, seen: Watched, take: Take, told: Told, only: str | None = None) -> Board | None:
    """Sweep, unless another does at this moment: then None."""
    async with Sweeps(parts.store).held(parts.owner) as mine:
        if not mine:
            return None
        seen = await _with_models(parts, seen)
        kept = await Services(parts.store).all()
        names = {each.name for each in seen.topologies}
        known = [each for each in kept if seen.unread is None or each.topology in names]
        board = Board(parts.settings, seen.topologies, known, datetime.now(UTC))
        sweep = Sweep(parts, board, take, told, only)
        if seen.unread is not None:
            sweep.made[Key(ours.NAME, ours.UNREADABLE)] = Said(Observation("down", "configuration", seen.unread))
        await sweep.run()
        return board


async def _with_models(parts: Parts, seen: Watched) -> Watched:
    """With the models of our providers: those of the configuration, and those that were asked lately."""
    used = await ModelFigures(parts.store).used(datetime.now(UTC) - USED)
    asked = [(each.provider, each.model) for each in used]
    topologies = [ours.with_models(each, parts.settings, asked) if each.name == ours.NAME else each for each in seen.topologies]
    return Watched(topologies, seen.unread)
