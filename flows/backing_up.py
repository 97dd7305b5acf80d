"""One source's backup: its hooks, its dump, its manifest and its row, and what becomes of it when a step fails."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from prefect import get_run_logger
from prefect.context import FlowRunContext

from blocks.backup_room import require_room
from blocks.backup_store import BackupStore
from blocks.hooks import Moment
from blocks.pipe import Effort
from blocks.places import place_of
from core.backups.errors import BackupDamaged, DumpFailed, DumpRunning
from core.backups.guards import check_output
from core.backups.manifest import Manifest, folder_of
from core.backups.sources import OURS, UNSEALED, Unit, found_source, left_out, recipients_of
from core.config import Settings
from core.errors import NotFound, PilothouseError, told
from core.ids import new_id
from core.settings_backups import SourceSettings
from core.store.audit import Audit
from core.store.backup_scans import BackupScans
from core.store.backups import LEASE_SECONDS, Backups, NewBackup
from core.store.runs import Runs
from flows.increments import increment_of
from tasks.dumps import (
    Meter,
    call_bad,
    call_good,
    call_hook,
    call_switch,
    dump_source,
    inspect_source,
    keep_manifest,
    point_latest,
    ready_store,
    remove_backup,
)

LOOK = 2.0
"""Seconds between two tries to begin, while a process that may be dead still holds the source."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the flows work with. ``owner`` stands for this run, whose rows nobody else ends."""

    settings: Settings
    store: BackupStore
    backups: Backups
    scans: BackupScans
    runs: Runs
    audit: Audit
    owner: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a source's backup ended. Sizes in bytes; ``error`` as ``told`` tells it."""

    source: str
    id: str
    set_name: str | None = None
    seconds: float = 0.0
    size: int = 0
    plain_size: int = 0
    tables: int = 0
    notes: tuple[str, ...] = ()
    error: Mapping[str, Any] | None = None

    @property
    def good(self) -> bool:
        return self.error is None

    def shown(self) -> dict[str, Any]:
        """As JSON values."""
        shown: dict[str, Any] = {"id": self.id, "source": self.source, "set": self.set_name, "good": self.good}
        shown |= {"size": self.size, "plainSize": self.plain_size, "tables": self.tables, "seconds": round(self.seconds, 2)}
        return shown | {"notes": list(self.notes), "error": dict(self.error) if self.error else None}


async def clear_up(parts: Parts) -> None:
    """What processes that died have left: a whole backup is listed as good, of anything else nothing stays in the store."""
    for dead in await parts.backups.end_orphans():
        try:
            await parts.scans.adopt(await parts.store.manifest(dead.folder))
        except (NotFound, BackupDamaged):
            await remove_backup(parts.store, dead.folder)
        get_run_logger().warning("The process that made the backup %s of %s was stopped", dead.id, dead.source)


async def back_up_unit(parts: Parts, unit: Unit) -> list[Outcome]:
    """Save a source, or all of a set: they begin together, so that they are of about one moment, and go to the store in turn."""
    turn = asyncio.Semaphore(1)
    set_id = new_id() if unit.is_set else None
    return await asyncio.gather(*(_back_up(parts, unit, name, set_id, turn) for name in unit.sources))


async def _back_up(parts: Parts, unit: Unit, name: str, set_id: str | None, turn: asyncio.Semaphore) -> Outcome:
    """Whatever goes wrong is in the outcome, so that it stops no other source."""
    began, log = monotonic(), get_run_logger()
    backup_id, set_name = new_id(), unit.name if unit.is_set else None
    try:
        source = found_source(name, parts.settings)
        run = FlowRunContext.get()
        new = NewBackup(
            id=backup_id,
            source=name,
            engine=source.kind,
            workspace=source.workspace,
            owner=parts.owner,
            started_at=datetime.now(UTC),
            set_name=set_name,
            set_id=set_id,
            set_sources=unit.sources if unit.is_set else (),
            flow_run_id=str(run.flow_run.id) if run is not None and run.flow_run is not None else None,
        )
        await _begin(parts, new)
        manifest = await _kept(parts, source, new, turn)
        notes = manifest.notes + await _afterwards(parts, source, new, manifest)
    except PilothouseError as error:
        log.error("%s was not backed up (%s): %s", name, error.code, error.message)
        return Outcome(name, backup_id, set_name, monotonic() - began, error=told(error))
    log.info("%s is backed up: %d bytes, %d stored, %.1f s", name, manifest.plain_size, manifest.size, monotonic() - began)
    for note in notes:
        log.warning("%s: %s", name, note)
    return Outcome(
        name, backup_id, set_name, monotonic() - began, manifest.size, manifest.plain_size, len(manifest.counts), notes
    )


async def _begin(parts: Parts, new: NewBackup) -> None:
    """Raises ``DumpRunning`` when the source is being backed up by a process that lives: one that goes on renewing its lease."""
    deadline, held = monotonic() + LEASE_SECONDS + LOOK, None
    while True:
        try:
            await parts.backups.start(new)
        except DumpRunning as running:
            if monotonic() > deadline or (held is not None and running.held_until != held):
                raise
            held = running.held_until
        else:
            return
        await asyncio.sleep(LOOK)
        await clear_up(parts)


async def _kept(parts: Parts, source: SourceSettings, new: NewBackup, turn: asyncio.Semaphore) -> Manifest:
    """The backup's manifest once it is listed as good; else it is listed as bad, and nothing of it stays in the store."""
    await _tell_switch(parts, source, "start")
    try:
        async with parts.backups.held(new.id, new.owner):
            await _hooks(parts, "before", source.before, new)
            manifest = await _saved(parts, source, new, turn)
            await keep_manifest(parts.store, manifest)
            if not await call_good(parts.backups, manifest, new.owner):
                raise DumpFailed(f"{new.source}: this process was out of touch for so long that others took it for dead.")
    except PilothouseError as error:
        await _give_up(parts, source, new, error)
        raise
    except Exception as error:  # an engine's bug stops no other source
        get_run_logger().error("The backup of %s broke", new.source, exc_info=error)
        said = DumpFailed(f"{new.source}: an unexpected {type(error).__name__}; the run's log has more.")
        await _give_up(parts, source, new, said)
        raise said from error
    except BaseException:  # cancelled
        await asyncio.shield(_give_up(parts, source, new, DumpFailed(f"{new.source}: the run was stopped.")))
        raise
    return manifest


async def _saved(parts: Parts, source: SourceSettings, new: NewBackup, turn: asyncio.Semaphore) -> Manifest:
    """All parts in the store, and what they are."""
    settings, recipients = parts.settings, recipients_of(source, parts.settings)
    place = place_of(f"sources.{new.source}", source, settings)
    await ready_store(parts.store, new.source)
    inspection = await inspect_source(place)
    newest = await parts.backups.newest_good(new.source)
    last = newest.manifest if newest is not None else None
    await require_room(parts.store.objects, last.size if last is not None else 0)
    folder, effort = folder_of(new.source, new.started_at, new.id), Effort.of(fast=settings.backups.fast)
    whole = await parts.backups.newest_whole(new.source)
    found = await increment_of(place, source, whole, parts.store, recipients, new.started_at)
    increment, size = found if found is not None else (None, inspection.size or 0)
    async with (increment or place).dumping(inspection) as dump, turn:
        meter = Meter(size, len(dump.fingerprint.counts))
        records = [await dump_source(part, parts.store, folder, recipients, effort, meter) for part in dump.parts]
    manifest = Manifest(
        id=new.id,
        source=new.source,
        engine=new.engine,
        workspace=new.workspace,
        set_name=new.set_name,
        set_id=new.set_id,
        set_sources=new.set_sources,
        started_at=new.started_at,
        finished_at=datetime.now(UTC),
        server=inspection.server,
        tool=inspection.tool,
        databases=tuple(inspection.databases),
        extensions=tuple(inspection.extensions),
        recipients=recipients,
        parts=tuple(records),
        counts=dict(dump.fingerprint.counts),
        checksums=dict(dump.fingerprint.checksums),
        base=increment.base if increment is not None else None,
    )
    smallest = settings.backups.smallest if source.smallest is None else source.smallest
    notes = [warned.message for warned in check_output(manifest, last, smallest)]
    if inspection.empty:
        notes.append("The source holds nothing.")
    if new.source == OURS and left_out(settings):
        notes.append(UNSEALED)
    return manifest.model_copy(update={"notes": tuple(notes)})


async def _give_up(parts: Parts, source: SourceSettings, new: NewBackup, error: PilothouseError) -> None:
    """Nothing of it stays in the store; what cannot be removed now goes when its row does."""
    with suppress(PilothouseError):
        await remove_backup(parts.store, folder_of(new.source, new.started_at, new.id))
    with suppress(PilothouseError):
        await call_bad(parts.backups, new.id, new.owner, told(error))
    for name in source.failed:
        try:
            await _hooks(parts, "failed", (name,), new, error.code)
        except PilothouseError as wrong:
            get_run_logger().error("%s", wrong.message)
    await _tell_switch(parts, source, "fail")


async def _afterwards(parts: Parts, source: SourceSettings, new: NewBackup, manifest: Manifest) -> tuple[str, ...]:
    """What comes once it is good, and changes that no more; what went wrong with it."""
    wrong = []
    try:
        await point_latest(parts.store, manifest)
        await _hooks(parts, "after", source.after, new)
    except PilothouseError as error:
        wrong.append(f"The backup is good, but: {error.message}")
    await _tell_switch(parts, source, "success")
    return tuple(wrong)


async def _hooks(parts: Parts, stage: str, names: tuple[str, ...], new: NewBackup, code: str = "") -> None:
    """Raises ``HookFailed`` at the first that fails."""
    facts = {"BACKUP_STAGE": stage, "BACKUP_SOURCE": new.source, "BACKUP_ID": new.id, "BACKUP_SET": new.set_name or ""}
    for name in names:
        get_run_logger().info("Running the hook %s (%s %s)", name, stage, new.source)
        await call_hook(name, parts.settings.hooks[name], facts | {"BACKUP_ERROR": code})


async def _tell_switch(parts: Parts, source: SourceSettings, moment: Moment) -> None:
    if source.ping is not None and not await call_switch(source.ping, moment, parts.settings.ca_file):
        get_run_logger().warning("The dead man's switch did not take the word %s", moment)
