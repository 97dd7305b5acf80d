"""Nightly upkeep: what nobody has used for long is deleted, in batches, and counted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from prefect import flow, get_client, get_run_logger
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import PrefectClient

from core.config import Settings, load_settings
from core.store.audit import Audit
from core.store.base import Store
from core.store.rates import Rates
from core.store.runs import Runs
from core.store.samples import Samples
from core.store.services import Sweeps
from core.store.upkeep import Purged, Upkeep
from core.store.usage import Usage
from flows.run_audit import told
from tasks.retrying import NOWHERE
from tasks.runs import keep_result, report_progress
from tasks.upkeep import count_idle, drop_lone_task_runs, fold_usage, forget_runs, purge_batch, purge_tool_runs, thin_samples

TASK_RUNS_A_NIGHT = 5_000
"""Prefect deletes a task run in about 40 ms: some minutes."""


@dataclass(frozen=True)
class Parts:
    """What the flow works with."""

    settings: Settings
    store: Store
    upkeep: Upkeep
    runs: Runs
    samples: Samples
    sweeps: Sweeps
    prefect: PrefectClient
    audit: Audit


@asynccontextmanager
async def opened() -> AsyncIterator[Parts]:
    """The parts, from this process's settings."""
    settings = load_settings()
    store = Store.from_settings(settings.database, application="pilothouse flows")
    try:
        async with get_client() as client:
            yield Parts(settings, store, Upkeep(store), Runs(store), Samples(store), Sweeps(store), client, Audit(store))
    finally:
        await store.aclose()


@flow(name="purge_history", persist_result=False, result_storage=NOWHERE, timeout_seconds=3 * 3600)
async def purge_history(dry_run: bool = True) -> dict[str, Any]:
    """Deletes conversations that nobody has used for the configured time (30 days unless set otherwise).

    With them go turns without a conversation of the same age, what is remembered of old runs, calls of tools and sweeps, and old
    task runs in Prefect that belong to no flow run, which Prefect's own vacuum leaves. The numbers are returned, and shown as
    the run's artifact.

    Args:
        dry_run: Only count what would be deleted. The nightly run turns it off and deletes.
    """
    async with opened() as parts:
        idle = await count_idle(parts.upkeep, parts.settings.chat.idle_days)
        purged = idle if dry_run else await _purge(parts, idle)
        retention = float(parts.settings.prefect.retention_days)
        task_runs = await drop_lone_task_runs(parts.prefect, retention, TASK_RUNS_A_NIGHT, dry_run)
        if not dry_run:
            await forget_runs(parts.upkeep, retention)
            await fold_usage(Usage(parts.store, parts.settings.timezone), Rates(parts.store), parts.settings.timezone)
            while await purge_tool_runs(parts.upkeep, retention):
                pass
            while await thin_samples(parts.samples, parts.sweeps, parts.settings.sweeps):
                pass
        result = {
            "sessions": purged.sessions,
            "turns": purged.turns,
            "messages": purged.messages,
            "taskRuns": task_runs,
            "dryRun": dry_run,
        }
        if not dry_run and any((purged.sessions, purged.turns, task_runs)):
            await told(parts.audit, "history.purged", "success", "conversations", **result)
        await keep_result(parts.runs, result)
        await acreate_markdown_artifact(_report(result), key="purge-history", description="What the last upkeep deleted.")
    return result


async def _purge(parts: Parts, idle: Purged) -> Purged:
    purged = Purged()
    while batch := await purge_batch(parts.upkeep, parts.settings.chat.idle_days):
        purged += batch
        report_progress(purged.turns, max(idle.turns, purged.turns), "turns")
        get_run_logger().info("Deleted %d conversations, %d turns so far", purged.sessions, purged.turns)
    return purged


def _report(result: dict[str, Any]) -> str:
    verb = "would be deleted" if result["dryRun"] else "deleted"
    names = {"sessions": "conversations", "turns": "turns", "messages": "messages", "taskRuns": "task runs in Prefect"}
    rows = "\n".join(f"| {name} | {result[key]} |" for key, name in names.items())
    return f"| what | {verb} |\n|---|---:|\n{rows}\n"
