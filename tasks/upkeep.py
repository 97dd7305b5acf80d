"""Upkeep, one batch at a time: idle conversations of ours, and what Prefect's own vacuum leaves behind."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterEndTime, TaskRunFilterFlowRunId
from prefect.client.schemas.sorting import TaskRunSort
from prefect.exceptions import ObjectNotFound

from core.quotas.limits import clock, span
from core.settings_services import SweepSettings
from core.store.rates import Rates
from core.store.samples import Samples
from core.store.services import Sweeps
from core.store.upkeep import Purged, Upkeep
from core.store.usage import Usage
from tasks.retrying import retried

AT_ONCE = 4
PAGE = 200
OURS = ("answer_turn", "run_tool", "keep_file")
"""Tasks of ours that also run outside a flow run."""


@retried
async def count_idle(upkeep: Upkeep, days: float) -> Purged:
    """How much is idle for ``days``."""
    return await upkeep.idle(days)


@retried
async def purge_batch(upkeep: Upkeep, days: float) -> Purged:
    """Delete one batch of it; empty when nothing is left."""
    return await upkeep.purge(days)


@retried
async def purge_tool_runs(upkeep: Upkeep, days: float) -> int:
    """Delete one batch of tool runs older than ``days``; 0 when nothing is left."""
    return await upkeep.purge_tool_runs(days)


@retried
async def forget_runs(upkeep: Upkeep, days: float) -> int:
    """Delete trigger keys and results of runs older than ``days``."""
    return await upkeep.forget_runs(days)


@retried
async def fold_usage(usage: Usage, rates: Rates, zone: str) -> int:
    """Add up the ledger's lines of all days before yesterday, and forget old windows of rates."""
    await rates.forget()
    return await usage.fold(span("day", clock(zone) - timedelta(days=1))[0])


@retried
async def thin_samples(samples: Samples, sweeps: Sweeps, keep: SweepSettings) -> int:
    """Delete one batch of what is older than sweeps are to be known; 0 when nothing is left."""
    await sweeps.forget_before(keep.keep_samples)
    return await samples.thin(keep.keep_samples, keep.keep_hours)


@retried
async def drop_lone_task_runs(client: PrefectClient, days: float, limit: int, dry_run: bool) -> int:
    """Delete task runs of ours, older than ``days``, that belong to no flow run; how many (at most ``limit``).

    Prefect's vacuum deletes task runs with their flow run only. Others' task runs on a shared server are left alone.
    """
    old = TaskRunFilter(
        flow_run_id=TaskRunFilterFlowRunId(is_null_=True),
        end_time=TaskRunFilterEndTime.model_validate({"before_": datetime.now(UTC) - timedelta(days=days)}),
    )
    gone = passed = 0
    while gone < limit:
        page = await client.read_task_runs(task_run_filter=old, sort=TaskRunSort.END_TIME_DESC, limit=PAGE, offset=passed)
        ours = [run.id for run in page if run.task_key.rsplit("-", 1)[0] in OURS][: limit - gone]
        if not dry_run:
            for start in range(0, len(ours), AT_ONCE):
                await asyncio.gather(*(_delete(client, run) for run in ours[start : start + AT_ONCE]))
        gone += len(ours)
        passed += len(page) if dry_run else len(page) - len(ours)
        if len(page) < PAGE:
            break
    return gone


async def _delete(client: PrefectClient, run_id: UUID) -> None:
    with suppress(ObjectNotFound):
        await client.delete_task_run(run_id)
