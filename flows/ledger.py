"""What a process has in flight, kept while it runs: partial answers, wishes to cancel, the lease that says the process lives."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import structlog

from core.errors import DatabaseUnavailable, PilothouseError
from core.store.base import Store
from core.store.processes import RENEW_SECONDS, Processes
from core.store.tool_runs import ToolRuns
from core.store.tracking import Tracking
from core.turns import RunningTurn

log = structlog.get_logger(__name__)

TICK = 0.5
"""Seconds between two looks at the turns being answered: what a crash can lose of an answer."""
BATCH = 200


class Ended(Protocol):
    """A turn or a tool call that ended. ``unkept`` while the database, away for long, has not taken its outcome."""

    unkept: bool

    async def keep(self) -> None:
        """Save it. Raises ``DatabaseUnavailable``."""


class TurnLedger:
    """The background work of one process that answers ``turns`` (by id) and calls tools, in loops that outlive any failure of the
    database."""

    def __init__(self, boot_id: str, role: str, store: Store, turns: Mapping[str, RunningTurn]) -> None:
        self.noted: list[tuple[str, str | None, str]] = []
        """Turn id, flow run id and task run id of turns whose runs are known; taken off once kept."""
        self.on_orphans: list[Callable[[list[str]], None]] = []
        """Each is called with the ids of turns and tool calls that were ended because their process is dead."""
        self.on_lease: list[Callable[[], Awaitable[None]]] = []
        """Each is awaited whenever the lease has been renewed."""
        self._boot_id = boot_id
        self._role = role
        self._tracking = Tracking(store)
        self._tool_runs = ToolRuns(store)
        self._processes = Processes(store)
        self._turns = turns
        self._unkept: list[Ended] = []
        self._kept: dict[str, int] = {}
        """Turn id -> chunks already kept."""
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take the lease, end what dead processes left, and begin to keep. Raises ``DatabaseUnavailable``."""
        await self._processes.renew(self._boot_id, self._role)
        await self._end_orphans()
        for pause, work in ((TICK, self._keep_turns), (RENEW_SECONDS, self._hold_lease)):
            self._loops.append(asyncio.create_task(every(pause, work), name=f"{work.__name__} loop"))

    async def stop(self) -> None:
        """Keep what is noted and give the lease back."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        try:
            await self._keep_turns()
            await self._processes.leave(self._boot_id)
        except DatabaseUnavailable as error:
            log.warning("lease_not_given_back", reason=error.message)

    def note(self, turn: RunningTurn) -> None:
        """Remember by which runs a turn that ended was tracked, and to save it if that could not be done yet."""
        self.keep_later(turn)
        if turn.task_run_id is not None:
            self.noted.append((turn.id, turn.flow_run_id, turn.task_run_id))

    def keep_later(self, ended: Ended) -> None:
        """Save what ended, if that could not be done yet."""
        if ended.unkept:
            self._unkept.append(ended)

    async def _keep_turns(self) -> None:
        turns = self._turns
        self._kept = {turn_id: kept for turn_id, kept in self._kept.items() if turn_id in turns}
        grown = [turn for turn in turns.values() if len(turn.voice.marks) > self._kept.get(turn.id, 0) and turn.outcome is None]
        if grown:
            await self._tracking.keep_partials([(turn.id, turn.voice.answer.text, turn.voice.marks) for turn in grown])
            self._kept |= {turn.id: len(turn.voice.marks) for turn in grown}
        if turns:
            for turn_id in await self._tracking.cancel_requests(self._boot_id):
                if (turn := turns.get(turn_id)) is not None:
                    await turn.stop("cancelled")
        for ended in list(self._unkept):
            await ended.keep()
            self._unkept.remove(ended)
        if noted := self.noted[:BATCH]:
            await self._tracking.note_runs(noted)
            del self.noted[: len(noted)]

    async def _hold_lease(self) -> None:
        await self._processes.renew(self._boot_id, self._role)
        await self._end_orphans()
        for work in self.on_lease:
            await work()

    async def _end_orphans(self) -> None:
        turns, calls = await self._tracking.end_orphans(), await self._tool_runs.end_orphans()
        if turns or calls:
            log.warning("left_by_dead_process_ended", turns=len(turns), tool_calls=len(calls))
            for told in self.on_orphans:
                told(turns + calls)


async def every(pause: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do ``work`` again and again, ``pause`` seconds apart and not at once, whatever becomes of it."""
    while True:
        await asyncio.sleep(pause)
        try:
            await work()
        except PilothouseError as error:
            log.debug("upkeep_failed", work=work.__name__, reason=error.message)
        except Exception:
            log.exception("upkeep_failed", work=work.__name__)
