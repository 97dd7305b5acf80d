"""Runs in Prefect kept true: those of turns confirmed, those of dead processes ended, of turns and tool calls alike."""

import asyncio
from datetime import UTC, datetime, timedelta
from time import monotonic
from uuid import UUID

from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
    TaskRunFilter,
    TaskRunFilterId,
    TaskRunFilterName,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort
from prefect.states import Crashed

from core.store.base import Store
from core.store.processes import Processes
from core.store.tracking import Tracking
from flows.holding import OpenRuns
from flows.ledger import BATCH, every
from flows.prefect_link import PrefectLink, in_our_words
from flows.relay import EventRelay

CONFIRM = 2.0
SWEEP = 10.0
LATE = 600.0
"""Seconds after which a run that Prefect, though up and told everything, does not know counts as dropped."""
DROPPED_TRIES = 30
RECORDED_WITHIN = timedelta(minutes=1)
HELD = "pilothouse-process"
"""Tag of the runs that live in one of our processes and die with it."""
# Without an explicit sort, the server refuses the question.
TASKS_SORT = TaskRunSort.EXPECTED_START_TIME_ASC
UNFINISHED = [StateType.RUNNING, StateType.PENDING]


def boot_tag(boot_id: str) -> str:
    """The tag that says which process a run lives in."""
    return f"boot:{boot_id}"


def installation_tag(installation: str) -> str:
    """The tag that says whose processes may end a run: several installations can share a Prefect server."""
    return f"installation:{installation}"


class RunKeeper:
    """What one process does about its own runs in Prefect and those that dead processes left there."""

    def __init__(
        self, boot_id: str, installation: str, store: Store, open_runs: OpenRuns, link: PrefectLink, relay: EventRelay
    ) -> None:
        self._boot_id = boot_id
        self._ours = [HELD, installation_tag(installation)]
        self._tracking = Tracking(store)
        self._processes = Processes(store)
        self._open_runs = open_runs
        self._link = link
        self._relay = relay
        self._dead: dict[str, datetime] = {}
        """Id of a turn or a tool call -> when it was found dead."""
        self._dropped: dict[str, int] = {}
        """Task run id -> how often its turn was looked for in vain."""
        self._after = 0
        self._told_all: float | None = None
        """Since when Prefect has been up and told everything."""
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to look."""
        self._link.presence.on_up.append(self._end_dead_runs)
        for pause, work in ((CONFIRM, self._confirm), (SWEEP, self._end_dead_runs)):
            self._loops.append(asyncio.create_task(every(pause, work), name=f"{work.__name__} loop"))

    def crash(self, ids: list[str]) -> None:
        """End what runs of these turns and calls Prefect still believes to be running, as soon as it is up."""
        self._dead |= dict.fromkeys(ids, datetime.now(UTC))

    async def stop(self) -> None:
        """End the loops."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def _confirm(self) -> None:
        await self._settle_dropped()
        if not self._link.presence.up or len(self._relay):
            self._told_all = None
        elif self._told_all is None:
            self._told_all = monotonic()
        if not self._link.presence.up:
            return
        waiting = await self._tracking.untracked(BATCH, LATE, self._after)
        self._after = waiting[-1]["seq"] if len(waiting) == BATCH else 0
        if not waiting:
            return
        found = await self._found([UUID(row["task_run_id"]) for row in waiting])
        await self._tracking.settle([run for run, ended in found.items() if ended], tracked=True)
        # A server that was away has much to record: what it does not know yet may be told already.
        if self._told_all is not None and monotonic() - self._told_all > LATE:
            lost = [row["task_run_id"] for row in waiting if row["late"] and not found.get(row["task_run_id"])]
            await self._tracking.settle(lost, tracked=False)
            with in_our_words():
                for run in lost:
                    if run in found:
                        await self._link.client.set_task_run_state(UUID(run), _crashed(), force=True)

    async def _settle_dropped(self) -> None:
        while len(self._dropped) < BATCH and self._relay.dropped_runs:
            self._dropped.setdefault(self._relay.dropped_runs.popleft(), 0)
        if self._dropped:
            settled = await self._tracking.settle(list(self._dropped), tracked=False)
            # An event may be dropped before its run is noted with the turn.
            self._dropped = {
                run: tries + 1 for run, tries in self._dropped.items() if run not in settled and tries < DROPPED_TRIES
            }

    async def _found(self, runs: list[UUID]) -> dict[str, bool]:
        """Those of ``runs`` that Prefect knows, and whether they ended there."""
        with in_our_words():
            of_turns = TaskRunFilter(id=TaskRunFilterId(any_=runs))
            found = await self._link.client.read_task_runs(task_run_filter=of_turns, sort=TASKS_SORT, limit=BATCH)
        return {str(run.id): run.state is not None and run.state.is_final() for run in found}

    async def _end_dead_runs(self) -> None:
        if not self._link.presence.up:
            return
        with in_our_words():
            client = self._link.client
            state = FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED))
            of_ours = FlowRunFilter(tags=FlowRunFilterTags(all_=self._ours), state=state)
            flow_runs = await client.read_flow_runs(
                flow_run_filter=of_ours, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=BATCH
            )
            # Asked after them, so that a process which started in between is not taken for a dead one.
            alive = {boot_tag(boot_id) for boot_id in await self._processes.alive()}
            for flow_run in flow_runs:
                mine = boot_tag(self._boot_id) in flow_run.tags
                forgotten = mine and str(flow_run.id) not in self._open_runs.ids() and not self._open_runs.opening()
                if forgotten or not alive.intersection(flow_run.tags):
                    await client.set_flow_run_state(flow_run.id, _crashed(), force=True)
            await self._end_runs_of(list(self._dead)[:BATCH])

    async def _end_runs_of(self, ids: list[str]) -> None:
        """Task runs are named after their turns and calls. One that began later answers a turn anew."""
        if not ids:
            return
        state = TaskRunFilterState(type=TaskRunFilterStateType(any_=UNFINISHED))
        named = TaskRunFilter(name=TaskRunFilterName(any_=ids), state=state)
        for task_run in await self._link.client.read_task_runs(task_run_filter=named, sort=TASKS_SORT, limit=BATCH):
            if task_run.expected_start_time is None or task_run.expected_start_time < self._dead[task_run.name]:
                await self._link.client.set_task_run_state(task_run.id, _crashed(), force=True)
        for dead in ids:
            # Looked for some times, because Prefect may record late what the dead process told it.
            if datetime.now(UTC) - self._dead[dead] > RECORDED_WITHIN:
                del self._dead[dead]


def _crashed() -> State[None]:
    return Crashed(message="The process that held this run ended.")
