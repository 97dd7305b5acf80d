"""``restore``: a backup put back into a target of the configuration, checked before, while and after."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import acreate_markdown_artifact

from blocks.backup_store import BackupStore
from blocks.places import place_of
from blocks.restoring import as_target, require_programs
from core.backups.choosing import completed, parts_for, place_for, require_consent, restorable
from core.backups.comparing import Comparison, incomplete, saved_in
from core.backups.errors import TargetNotEmpty
from core.backups.manifest import Manifest
from core.backups.place import Fingerprint, Inspection, Place
from core.config import Settings, load_settings
from core.errors import NotFound, PilothouseError
from core.files import ObjectStore
from core.store.audit import Audit
from core.store.backups import BackupRecord, Backups
from core.store.base import Store
from core.store.drills import Drills
from core.store.runs import Runs
from flows.run_audit import audited
from tasks.restores import Bytes, check_part, clear_target, compare_target, inspect_target, require_extensions, restore_part
from tasks.retrying import NOWHERE
from tasks.runs import keep_result

LONGEST = 24 * 3600


@dataclass(frozen=True, slots=True)
class Parts:
    """What restores and drills work with."""

    settings: Settings
    objects: ObjectStore
    backups: Backups
    drills: Drills
    runs: Runs
    audit: Audit


@dataclass(frozen=True, slots=True)
class Restored:
    """A restore that went well. ``seconds`` from its first byte to its last index; comparing is not in it."""

    seconds: float
    comparison: Comparison
    compare_seconds: float


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Parts]:
    """The parts, until the block ends."""
    store = Store.from_settings(settings.database, application="pilothouse flows")
    try:
        yield Parts(
            settings, BackupStore.from_settings(settings).objects, Backups(store), Drills(store), Runs(store), Audit(store)
        )
    finally:
        await store.aclose()


@flow(name="restore", persist_result=False, result_storage=NOWHERE, timeout_seconds=LONGEST)
async def restore(
    backup_id: str, target: str, only: str | None = None, replace: bool = False, confirm: str | None = None
) -> dict[str, Any]:
    """Puts a backup back into a target of the configuration, and compares what came back with what was saved.

    A target that is not empty is left alone unless it may be replaced; then the whole backup is read and checked first, and what
    the target holds goes after that. The result tells how long it took and how much came back.

    Args:
        backup_id: As GET /backups lists it.
        target: Name of a section [targets.NAME], or of the source itself.
        only: One table (schema.table) or one file of it; the target may hold others.
        replace: Delete what the target holds.
        confirm: The source's name, where the target is the source itself.
    """
    settings = load_settings()
    async with opened(settings) as parts:
        record = await parts.backups.get(backup_id)
        manifest = await restored_from(parts, record)
        chosen = place_for(settings, target)
        require_consent(settings, target, replace=replace, confirm=confirm)
        place = as_target(place_of(f"targets.{target}", chosen, settings), manifest)
        said = {"source": record.source, "target": target, "only": only, "replace": replace, **opened_with(manifest)}
        async with audited(parts.audit, "restore", record.id, **said) as ended:
            await _made_room(parts, manifest, place, target, only, replace)
            restored = await put_back(parts, manifest, place, target, only)
            result = _told(record, target, only, restored)
            ended["result"] = result["result"]
            await keep_result(parts.runs, result)
            await acreate_markdown_artifact(_report(result), key="restore", description="The last restore.")
            restored.comparison.require_good(target)
    return result


def opened_with(manifest: Manifest) -> dict[str, bool]:
    """Whether the secret key of backups is used to read it, for the audit log."""
    return {"identityUsed": any(part.encryption != "none" for part in manifest.parts)}


async def restored_from(parts: Parts, record: BackupRecord) -> Manifest:
    """Its manifest, an increment's with the parts of its base. Raises ``Conflict`` where it is not good, or its base is not."""
    manifest, base = restorable(record), None
    if manifest.base is not None:
        with suppress(NotFound):
            base = await parts.backups.get(manifest.base.id)
    return completed(manifest, base)


async def put_back(
    parts: Parts, manifest: Manifest, place: Place, target: str, only: str | None = None, *, roles: bool = True
) -> Restored:
    """Restore into an empty place and compare. Raises as ``Place.restore``; the message says when the target is incomplete."""
    chosen = parts_for(manifest, only, roles=roles)
    progress = Bytes(sum(part.plain_size for part, _ in chosen))
    log = get_run_logger()
    began = monotonic()
    for part, wanted in chosen:
        log.info("Restoring %s (%d bytes) into %s", part.name, part.plain_size, target)
        try:
            await restore_part(place, part, parts.objects, parts.settings.backups.identity, wanted, progress)
        except PilothouseError as error:
            if progress.done == 0 or error.code in UNTOUCHED:
                raise
            raise incomplete(error, target) from error
    seconds = monotonic() - began
    compared = await compare_target(place, _narrowed(saved_in(manifest), only))
    return Restored(seconds, compared, monotonic() - began - seconds)


UNTOUCHED = ("extension_missing", "target_not_empty", "no_room", "tool_too_old")
"""Found out before anything is written."""


async def _made_room(parts: Parts, manifest: Manifest, place: Place, target: str, only: str | None, replace: bool) -> None:
    """The target is empty after this. Raises ``TargetNotEmpty``; with ``only`` the engine itself refuses what is there."""
    found: Inspection = await inspect_target(place)
    if found.empty or only is not None:
        return
    if not replace:
        raise TargetNotEmpty(
            f"{target} is not empty: restore into another target, or say --replace, and what it holds is deleted."
        )
    await require_programs(manifest)
    await require_extensions(place, manifest.extensions)
    for part in manifest.parts:
        await check_part(part, parts.objects, parts.settings.backups.identity)
    get_run_logger().warning("Deleting what %s holds", target)
    await clear_target(place)


def _narrowed(saved: Fingerprint, only: str | None) -> Fingerprint:
    """What was saved of one table or file alone."""
    if only is None:
        return saved
    wanted = only if only in saved.counts or "." in only else f"public.{only}"
    return replace(
        saved,
        counts={name: count for name, count in saved.counts.items() if name == wanted},
        checksums={name: word for name, word in saved.checksums.items() if name == wanted},
    )


def _told(record: BackupRecord, target: str, only: str | None, restored: Restored) -> dict[str, Any]:
    compared = restored.comparison
    return {
        "backupId": record.id,
        "source": record.source,
        "target": target,
        "only": only,
        "result": compared.result,
        "rows": compared.rows,
        "tables": compared.tables,
        "seconds": round(restored.seconds, 2),
        "compareSeconds": round(restored.compare_seconds, 2),
        "differences": [str(each) for each in compared.differences[:20]],
    }


def _report(result: dict[str, Any]) -> str:
    shown = ("backupId", "source", "target", "only", "result", "rows", "tables", "seconds")
    rows = "\n".join(f"| {name} | {result[name] if result[name] is not None else '-'} |" for name in shown)
    differences = "".join(f"\n- {each}" for each in result["differences"])
    return f"| what | |\n|---|---|\n{rows}\n{differences}"
