"""Standing by in an API process: when nobody has swept for clearly longer than the interval, this process does.

That is so while Prefect is away, or while the process that runs flows is; and soon after the start, since the flow's own time may
be minutes away. Of several API processes the first one that finds out sweeps; the lease keeps the others from it, and what it
found is there for all of them.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from time import monotonic

import structlog

from core.settings import Settings
from core.store.base import Store
from core.store.services import Sweeps
from core.sweeps.pace import overdue
from flows.ledger import every
from flows.own_probes import Probes
from flows.prefect_link import PrefectLink
from flows.sweeping import Parts, swept, watched
from tasks.probes import Looks

log = structlog.get_logger(__name__)

LOOK = 1.0
"""Seconds between two looks at when the last sweep was."""
STARTING = 120.0
"""Seconds that Prefect may take to start with us, before this process calls it away."""
SETTLING = 10.0
"""Seconds after Prefect is up until the first sweep of a start, so that what starts last is there too."""


class Standby:
    """The background work of one API process."""

    def __init__(self, settings: Settings, store: Store, link: PrefectLink) -> None:
        self._settings, self._store, self._link = settings, store, link
        self._sweeps = Sweeps(store)
        self._began, self._began_at = monotonic(), datetime.now(UTC)
        self._was_up = False
        self._first = True
        """No sweep of this start has been thought of yet."""
        self._asked_at = self._began
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch; returns at once."""
        self._loop = asyncio.create_task(every(LOOK, self._look), name="standby")

    async def stop(self) -> None:
        """End the watch, and a sweep in the midst of it: what it found out so far is kept."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def _look(self) -> None:
        up = self._link.presence.up
        if up and not self._was_up:
            self._asked_at = monotonic() + SETTLING
        self._was_up = self._was_up or up
        if not self._was_up and monotonic() - self._began < STARTING:
            return
        # Nothing can be overdue yet: a question each second is asked of the database in vain.
        if monotonic() < self._asked_at:
            return
        last = await self._sweeps.last()
        first, self._first = self._first, False
        if first and (last is None or last.started_at < self._began_at - timedelta(seconds=self._settings.sweeps.interval)):
            await self._sweep(up)
            return
        since = max(self._began_at, last.started_at) if last is not None else self._began_at
        wait = (since + timedelta(seconds=overdue(self._settings, away=not up)) - datetime.now(UTC)).total_seconds()
        if wait > 0:
            self._asked_at = monotonic() + min(wait, self._settings.sweeps.interval / 10)
            return
        await self._sweep(up)

    async def _sweep(self, up: bool) -> None:
        seen = await asyncio.to_thread(watched, self._settings)
        probes = Probes(self._settings, self._store, self._link.client)
        parts = Parts(self._settings, self._store, probes, "standby")
        board = await swept(parts, seen, _take, _told)
        if board is not None:
            log.info("swept_in_place_of_the_flow", prefect_up=up, **board.counts())


async def _take(_what: str, looks: Looks) -> int:
    return await looks.take()


def _told(_done: int, _total: int) -> None:
    """Nobody follows it."""
