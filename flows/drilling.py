"""``drill``: the newest good backup of each source restored into a throwaway place, compared, timed and dropped again."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.states import Completed, Failed

from blocks.places import place_of
from blocks.restoring import as_target
from blocks.scratch import Scratch, scratch_for
from core.audit.entry import Outcome
from core.backups.comparing import HARMLESS, Comparison, Result, result_of, worst
from core.backups.errors import NothingToDrill, TargetNotEmpty
from core.backups.manifest import Manifest
from core.backups.place import Place
from core.backups.sources import source_named, sources_of
from core.config import load_settings
from core.errors import PilothouseError
from core.ids import new_id
from core.settings_backups import SourceSettings
from core.store.backups import BackupRecord
from core.store.drills import NewDrill
from flows.restoring import LONGEST, Parts, Restored, opened, opened_with, put_back, restored_from
from flows.run_audit import told as tell
from tasks.restores import clear_target, inspect_target, keep_drill
from tasks.retrying import NOWHERE
from tasks.runs import keep_result


@flow(name="drill", persist_result=False, result_storage=NOWHERE, timeout_seconds=LONGEST)
async def drill(name: str | None = None) -> dict[str, Any] | State[dict[str, Any]]:
    """Restores the newest good backup of each source into a throwaway place, and compares it with what was saved.

    The time that takes is the measured recovery time. What was restored is dropped again. The run fails when a result is anything
    but good; a source without a good backup, or with nowhere to restore it to, is no failure, and says so.

    Args:
        name: One source alone; all without it.
    """
    settings = load_settings()
    async with opened(settings) as parts:
        chosen = sources_of(settings) if name is None else {name: source_named(name, settings)}
        drills = [await _drilled(parts, source, chosen[source]) for source in sorted(chosen)]
        result = told(drills[0]) if name is not None else {"result": _overall(drills), "drills": [told(each) for each in drills]}
        await keep_result(parts.runs, result)
        await acreate_markdown_artifact(_report(drills), key="drill", description="What the last drill has shown.")
    return ended(drills, result)


def told(drill: NewDrill) -> dict[str, Any]:
    """What is said of one."""
    return {
        "source": drill.source,
        "result": drill.result,
        "rows": drill.rows,
        "tables": drill.details.get("tables"),
        "seconds": None if drill.seconds is None else round(drill.seconds, 2),
        "backupId": drill.backup_id,
        "message": drill.details.get("message"),
        "differences": drill.details.get("differences", []),
    }


def ended(drills: Sequence[NewDrill], result: dict[str, Any]) -> State[dict[str, Any]] | dict[str, Any]:
    """The run's last state."""
    bad = [f"{each.source}: {each.result}" for each in drills if each.result not in HARMLESS]
    if bad:
        return Failed(message=", ".join(bad))
    if not any(each.result == "good" for each in drills):
        said = "; ".join(f"{each.source}: {each.result}" for each in drills) or "there is no source"
        return Completed(name="NothingToDrill", message=f"Nothing was drilled: {said}.", data=result)
    return result


def _overall(drills: Sequence[NewDrill]) -> Result:
    results: list[Result] = [each.result for each in drills]  # type: ignore[misc]
    return worst(results)


async def _drilled(parts: Parts, source: str, settings: SourceSettings) -> NewDrill:
    """One source's drill, kept. Nothing that goes wrong with one stops the others."""
    record = await parts.backups.newest_good(source)
    run = FlowRunContext.get()
    run_id = str(run.flow_run.id) if run is not None and run.flow_run is not None else None
    drill = replace(await _tried(parts, source, settings, record, run_id), workspace=settings.workspace)
    await keep_drill(parts.drills, drill)
    used = opened_with(record.manifest) if record is not None and record.manifest is not None else {}
    outcome: Outcome = "success" if drill.result == "good" else "unknown" if drill.result in HARMLESS else "failure"
    await tell(parts.audit, "drill", outcome, source, backupId=drill.backup_id, result=drill.result, **used)
    say = get_run_logger().info if drill.result == "good" else get_run_logger().warning
    say("Drill of %s: %s %s", source, drill.result, drill.details.get("message") or "")
    return drill


async def _tried(
    parts: Parts, source: str, settings: SourceSettings, record: BackupRecord | None, run_id: str | None
) -> NewDrill:
    began = monotonic()
    drill_id, target = new_id(), ""
    try:
        if record is None:
            raise NothingToDrill(f"{source} has no good backup yet: there is nothing to drill.")
        manifest = await restored_from(parts, record)
        async with _throwaway(parts, source, settings, manifest) as scratch:
            target = (await inspect_target(scratch.place)).server
            restored = await put_back(parts, manifest, scratch.place, "the drill's target", roles=scratch.own_server)
    except PilothouseError as error:
        result = result_of(error, record.manifest.server if record and record.manifest else "", target)
        details = {"message": error.message, "code": error.code, "target": target}
        seconds = None if record is None else monotonic() - began
        return NewDrill(drill_id, source, result, record.id if record else None, None, seconds, run_id, details)
    details = _details(restored, target)
    return NewDrill(
        drill_id, source, restored.comparison.result, record.id, restored.comparison.rows, restored.seconds, run_id, details
    )


@asynccontextmanager
async def _throwaway(parts: Parts, source: str, settings: SourceSettings, manifest: Manifest) -> AsyncIterator[Scratch]:
    """Where to restore: the configured target, emptied before and after; else something made for it."""
    place = place_of(f"sources.{source}", settings, parts.settings)
    if settings.drill_target is None:
        async with scratch_for(place, parts.settings) as scratch:
            yield Scratch(as_target(scratch.place, manifest), scratch.own_server)
        return
    chosen = parts.settings.targets[settings.drill_target]
    target: Place = as_target(place_of(f"targets.{settings.drill_target}", chosen, parts.settings), manifest)
    if not (await inspect_target(target)).empty:
        raise TargetNotEmpty(f"The drill's target {settings.drill_target} is not empty: a drill deletes nothing but its own.")
    try:
        yield Scratch(target)
    finally:
        await clear_target(target)


def _details(restored: Restored, target: str) -> dict[str, Any]:
    compared: Comparison = restored.comparison
    return {
        "tables": compared.tables,
        "summed": compared.summed,
        "compareSeconds": round(restored.compare_seconds, 2),
        "differences": [str(each) for each in compared.differences[:20]],
        "message": f"{len(compared.differences)} differ" if compared.differences else None,
        "target": target,
    }


def _report(drills: Sequence[NewDrill]) -> str:
    lines = ["| source | result | rows | tables | restored in | backup |", "|---|---|---:|---:|---:|---|"]
    for each in drills:
        seconds = "-" if each.seconds is None else f"{each.seconds:.1f} s"
        rows, tables = (value if value is not None else "-" for value in (each.rows, each.details.get("tables")))
        lines.append(f"| {each.source} | {each.result} | {rows} | {tables} | {seconds} | {each.backup_id or '-'} |")
    notes = [f"\n**{each.source}**: {each.details['message']}" for each in drills if each.details.get("message")]
    differences = [f"- {each.source}: {one}" for each in drills for one in each.details.get("differences", [])]
    return "\n".join([*lines, *notes, "", *differences])
