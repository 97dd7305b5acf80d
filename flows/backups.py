"""Backups by schedule or by name, and the end of those that no rule keeps."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from prefect import flow, get_run_logger
from prefect.artifacts import acreate_markdown_artifact
from prefect.context import FlowRunContext

from blocks.backup_store import BackupStore
from core.backups.errors import BackupsFailed, DumpRunning
from core.backups.retention import Rules, Verdict
from core.backups.sources import UNSEALED, Unit, left_out, unit_named, units_of
from core.config import Settings, load_settings
from core.errors import NotFound, PilothouseError
from core.store.audit import Audit
from core.store.backup_scans import BackupScans
from core.store.backups import Backups
from core.store.base import Store
from core.store.runs import Runs
from flows.backing_up import Outcome, Parts, back_up_unit, clear_up
from flows.run_audit import told
from tasks.dumps import remove_backup, tidy_store
from tasks.retrying import NOWHERE
from tasks.runs import keep_result, report_progress

LONGEST = 24 * 3600
RUNS_BACK = 20
"""Runs of a set that are looked at for the last whole one."""


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Parts]:
    """The parts, until the block ends."""
    store = Store.from_settings(settings.database, application="pilothouse flows")
    try:
        yield Parts(settings, BackupStore.from_settings(settings), Backups(store), BackupScans(store), Runs(store), Audit(store))
    finally:
        await store.aclose()


@flow(name="backup", persist_result=False, result_storage=NOWHERE, timeout_seconds=LONGEST)
async def backup(name: str | None = None, fast: bool = False) -> dict[str, Any]:
    """Saves databases, folders and buckets in the store for backups, then deletes the backups that no rule keeps any more.

    One source that fails stops no other; the run fails at the end and names it. The result tells the id and size of each.

    Args:
        name: A source or a set of the configuration. Without one, all whose schedule has come since their last good backup.
        fast: Take all cores at normal priority, this once.
    """
    settings = load_settings()
    if fast:
        settings = settings.model_copy(update={"backups": settings.backups.model_copy(update={"fast": True})})
    async with opened(settings) as parts:
        await _tidied(parts)
        units = [unit_named(name, parts.settings)] if name is not None else await due_units(parts.backups, parts.settings, _now())
        outcomes: list[Outcome] = []
        for unit in units:
            outcomes += await back_up_unit(parts, unit)
        gone = await _pruned_after(parts, outcomes)
        result = {
            "backups": [each.shown() for each in outcomes],
            "pruned": gone,
            "notes": [UNSEALED] if left_out(parts.settings) else [],
        }
        await keep_result(parts.runs, result)
        await acreate_markdown_artifact(_report(outcomes, result), key="backup", description="What the last backup saved.")
    wrong = [each for each in outcomes if not _elsewhere(each, name)]
    failed = [f"{each.source} ({each.error['code']})" for each in wrong if each.error is not None]
    if failed:
        raise BackupsFailed(f"{len(failed)} of {len(outcomes)} backups failed: {', '.join(failed)}. The run's log says why.")
    return result


@flow(name="prune", persist_result=False, result_storage=NOWHERE, timeout_seconds=LONGEST)
async def prune(dry_run: bool = True) -> dict[str, Any]:
    """Deletes the backups that no rule keeps any more, of each source by its own rules, and never the last good one.

    Every backup is a row of the result and of the run's artifact, with the reason why it stays or goes.

    Args:
        dry_run: Only say what would be deleted.
    """
    async with opened(load_settings()) as parts:
        await clear_up(parts)
        verdicts = await parts.backups.due_for_pruning(Rules.of(parts.settings), datetime.now(UTC), _zone(parts.settings))
        over = [each for each in verdicts if not each.kept]
        gone = [] if dry_run else await _removed(parts, over)
        result = {
            "deleted": [each.backup.id for each in (over if dry_run else gone)],
            "kept": len(verdicts) - len(over),
            "dryRun": dry_run,
        }
        await keep_result(parts.runs, result)
        await acreate_markdown_artifact(_told(verdicts), key="prune", description="Which backups stay, which go, and why.")
    return result


def _elsewhere(outcome: Outcome, name: str | None) -> bool:
    """Whether another run is saving it, and nobody has asked this one by name to do so: two schedules may come at once."""
    return name is None and outcome.error is not None and outcome.error["code"] == DumpRunning.code


async def _tidied(parts: Parts) -> None:
    """No leftovers, if the store lets us; when it does not, each source's row shall tell so."""
    try:
        await clear_up(parts)
        await tidy_store(parts.store)
    except PilothouseError as error:
        get_run_logger().warning("What earlier runs have left in the store stays there for now: %s", error.message)


async def due_units(backups: Backups, settings: Settings, now: datetime) -> list[Unit]:
    """Those whose schedule has come since their last good backup; a set's counts when all of its sources are in it."""
    due = []
    for unit in units_of(settings):
        if unit.is_due(await _last_good(backups, unit), settings.timezone, now):
            due.append(unit)
    return due


async def _last_good(backups: Backups, unit: Unit) -> datetime | None:
    if not unit.is_set:
        newest = await backups.newest_good(unit.name)
        return newest.started_at if newest is not None else None
    for each in await backups.page(RUNS_BACK, source=unit.sources[0]):
        if each.set_name == unit.name and each.set_id is not None and each.status == "good":
            whole = {one.source for one in await backups.of_set(each.set_id) if one.status == "good"}
            if whole >= set(unit.sources):
                return each.started_at
    return None


async def _pruned_after(parts: Parts, outcomes: Sequence[Outcome]) -> int:
    """Delete what is over of the sources that have a new good backup; how many. What fails is left for the next time."""
    bad_sets = {each.set_name for each in outcomes if not each.good}
    renewed = {each.source for each in outcomes if each.good and (each.set_name is None or each.set_name not in bad_sets)}
    if not renewed:
        return 0
    try:
        verdicts = await parts.backups.due_for_pruning(Rules.of(parts.settings), datetime.now(UTC), _zone(parts.settings))
        return len(await _removed(parts, [each for each in verdicts if not each.kept and each.backup.source in renewed]))
    except PilothouseError as error:
        get_run_logger().error("Old backups could not be deleted: %s", error.message)
        return 0


async def _removed(parts: Parts, over: Collection[Verdict]) -> list[Verdict]:
    """The objects first, then the row: what fails in between is found again."""
    gone: list[Verdict] = []
    for verdict in over:
        try:
            record = await parts.backups.get(verdict.backup.id)
        except NotFound:  # another run was faster
            continue
        if await parts.backups.is_base(record.id):  # an increment that was to go before it is still there
            continue
        await remove_backup(parts.store, record.folder)
        await parts.backups.forget([record.id])
        await told(parts.audit, "backup.deleted", "success", record.id, source=record.source, reason=verdict.reason)
        gone.append(verdict)
        report_progress(len(gone), len(over), "backups")
        get_run_logger().info("Deleted the backup %s of %s: %s", record.id, record.source, verdict.reason)
    return gone


def _now() -> datetime:
    """The time that counts for what is due: a run that a schedule made is not early because clocks differ."""
    run = FlowRunContext.get()
    expected = run.flow_run.expected_start_time if run is not None and run.flow_run is not None else None
    return max(datetime.now(UTC), expected) if expected is not None else datetime.now(UTC)


def _zone(settings: Settings) -> ZoneInfo:
    return ZoneInfo(settings.timezone)


def _report(outcomes: Sequence[Outcome], result: dict[str, Any]) -> str:
    rows = "".join(
        f"| {each.source} | {each.set_name or ''} | {'good' if each.good else each.error['code'] if each.error else ''} "
        f"| {each.plain_size:,} | {each.size:,} | {each.tables} | {each.seconds:.1f} s | {each.id} |\n"
        for each in outcomes
    )
    table = f"| source | set | result | bytes | stored | tables | took | id |\n|---|---|---|---:|---:|---:|---:|---|\n{rows}"
    said = [f"- {each.source}: {note}" for each in outcomes for note in each.notes]
    said += [f"- {each.source}: {each.error['message']}" for each in outcomes if each.error is not None]
    lines = "\n".join([*said, *(f"- {note}" for note in result["notes"] if not any(note in line for line in said))])
    return f"{table if outcomes else 'Nothing was due.'}\n{lines}\n\nOld backups deleted: {result['pruned']}.\n"


def _told(verdicts: Sequence[Verdict]) -> str:
    rows = "".join(
        f"| {each.backup.source} | {each.backup.started_at:%Y-%m-%d %H:%M} | {each.backup.status} "
        f"| {'stays' if each.kept else 'goes'} | {each.reason} | {each.backup.id} |\n"
        for each in verdicts
    )
    return f"| source | begun (UTC) | status | | why | id |\n|---|---|---|---|---|---|\n{rows}"
