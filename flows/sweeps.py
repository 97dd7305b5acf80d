"""``health_sweep``: every service of every topology looked at, on schedule or by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from prefect import flow, get_client, get_run_logger
from prefect.artifacts import acreate_table_artifact
from prefect.context import FlowRunContext, TagsContext
from prefect.settings import PREFECT_API_URL

from core.config import Settings, load_settings
from core.configured import configured
from core.store.base import Store
from core.store.runs import Runs
from core.store.services import SweepRecord, Sweeps
from core.sweeps.board import Board
from core.sweeps.pace import due, ends, several
from core.sweeps.service import ServiceState
from flows.own_probes import Probes
from flows.sweeping import Parts, Watched, swept, watched
from tasks.probes import look_at
from tasks.retrying import NOWHERE
from tasks.runs import keep_result, report_progress

SHOWN = 500
"""Services in the artifact's table, and TOLD in the result, the worst first."""
TOLD = 100
WORST = ("down", "degraded", "unreachable", "unknown", "up")
BUSY = 1.0
"""Seconds until another try, while another process sweeps."""
BY_ITSELF = frozenset({"auto-scheduled", "made-up"})
"""Tags of runs that nobody asked for."""


@flow(name="health_sweep", persist_result=False, result_storage=NOWHERE, timeout_seconds=6 * 3600)
async def health_sweep(topology: str | None = None) -> dict[str, Any]:
    """Looks at every service, again at those that seem to change until that is sure, and raises or ends their alerts.

    What is down because something that it needs is down hangs under that one's alert. With an interval shorter than the
    schedule's one run sweeps until the next one begins.

    Args:
        topology: One topology alone; all without it.
    """
    settings = load_settings()
    seen = watched(settings)
    if topology is not None:
        configured("topology", topology, {each.name: each for each in seen.topologies})
    # A task run with tags asks the server for a concurrency slot of each: it would wait for a server that is away.
    with TagsContext(current_tags=set()):
        return await _swept(settings, seen, topology)


async def _swept(settings: Settings, seen: Watched, topology: str | None) -> dict[str, Any]:
    async with opened(settings) as (parts, runs):
        if topology is None and _by_schedule():
            board, sweeps = await _on_schedule(parts, seen)
        else:
            board, sweeps = await _by_hand(parts, seen, topology), 1
        result = _result(board, sweeps, topology)
        await keep_result(runs, result)
        if board is not None:
            table = _table(_worst_first(board, topology)[:SHOWN])
            await acreate_table_artifact(table, key="health-sweep", description="How the last sweep found the services.")
    return result


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[Parts, Runs]]:
    """The parts, until the block ends."""
    store = Store.from_settings(settings.database, application="pilothouse flows")
    run = FlowRunContext.get()
    run_id = str(run.flow_run.id) if run is not None and run.flow_run is not None else None
    page = f"{str(PREFECT_API_URL.value()).rstrip('/').removesuffix('/api')}/runs/flow-run/{run_id}" if run_id else None
    try:
        async with get_client() as client:
            yield Parts(settings, store, Probes(settings, store, client), "flow", run_id, page), Runs(store)
    finally:
        await store.aclose()


def _by_schedule() -> bool:
    run = FlowRunContext.get()
    return run is not None and run.flow_run is not None and bool(BY_ITSELF.intersection(run.flow_run.tags))


async def _by_hand(parts: Parts, seen: Watched, topology: str | None) -> Board:
    """At once, or as soon as no other process sweeps."""
    while True:
        board = await swept(parts, seen, look_at, _told, topology)
        if board is not None:
            return board
        await asyncio.sleep(BUSY)


async def _on_schedule(parts: Parts, seen: Watched) -> tuple[Board | None, int]:
    """Whatever is due until the next run begins; None where that is nothing."""
    settings = parts.settings
    until = ends(settings, datetime.now(UTC))
    board, sweeps = None, 0
    while sweeps == 0 or several(settings):
        last: SweepRecord | None = await Sweeps(parts.store).last()
        now = datetime.now(UTC)
        at = due(settings, last.started_at if last is not None else None, now)
        if at >= until:
            break
        await asyncio.sleep((at - now).total_seconds())
        done = await swept(parts, seen, look_at, _told)
        if done is None:
            await asyncio.sleep(BUSY)
        else:
            board, sweeps = done, sweeps + 1
    if board is None:
        get_run_logger().info("No sweep is due before the next run.")
    return board, sweeps


def _told(done: int, total: int) -> None:
    report_progress(done, total, "services")


def _worst_first(board: Board, topology: str | None) -> list[ServiceState]:
    chosen = [each for each in board.states.values() if topology in (None, each.topology)]
    return sorted(chosen, key=lambda each: (WORST.index(each.state), each.topology, each.position))


def _result(board: Board | None, sweeps: int, topology: str | None) -> dict[str, Any]:
    """Counts and names: no more than the API shall keep of a run."""
    if board is None:
        return {"topology": topology, "sweeps": 0, "counts": {}, "services": []}
    found = _worst_first(board, topology)
    named = [
        {"topology": each.topology, "name": each.name, "state": each.state, "pending": each.pending, "root": each.root}
        for each in found
        if each.state != "up" or each.pending is not None
    ]
    return {"topology": topology, "sweeps": sweeps, "counts": board.counts(topology), "services": named[:TOLD]}


def _table(services: list[ServiceState]) -> list[dict[str, Any]]:
    return [
        {
            "service": str(each.key),
            "state": each.state if each.pending is None else f"{each.state} ({each.pending}?)",
            "since": f"{each.since:%Y-%m-%d %H:%M:%S} UTC",
            "under": each.root or "",
            "message": each.message,
        }
        for each in services
    ]
