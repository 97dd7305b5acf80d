"""Backing up, one effect at a time: what only reads is tried again, and a part too, whose upload is given up each time."""

import asyncio
import errno
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import SecretStr

from blocks.backup_store import BackupStore
from blocks.hooks import Moment, ping, run_hook
from blocks.pipe import Effort, store_part
from core.backups.errors import NoRoom
from core.backups.manifest import Manifest, PartRecord
from core.backups.place import Inspection, Part, Place
from core.errors import StoreRefused
from core.settings_backups import HookSettings
from core.store.backups import Backups
from tasks.retrying import DAY, NOWHERE, patient, retried, tried
from tasks.runs import report_progress

EVERY = 1.0
"""Seconds between two words on how far it is."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Meter:
    """How many of a source's bytes have come, of about ``total``, and how fast."""

    def __init__(self, total: int, tables: int) -> None:
        self._total = total
        self._tables = tables
        self._before = 0
        self._of_part = 0
        self._begun = monotonic()

    def take(self, plain: int, _stored: int) -> None:
        """From a thread: so much of the current part has come."""
        self._of_part = plain

    def next_part(self, plain: int) -> None:
        """The current one is whole."""
        self._before += plain
        self._of_part = 0

    def tell(self) -> None:
        done = self._before + self._of_part
        rate = done / max(monotonic() - self._begun, 0.001)
        report_progress(done, max(done, self._total), "bytes", rate=round(rate), tables=self._tables)

    async def tell_on(self) -> None:
        """Every second, until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            self.tell()


@patient
async def ready_store(store: BackupStore, source: str) -> None:
    """Returns when the store answers, takes our credentials, and holds nothing unfinished of the source."""
    await store.check()
    await store.tidy_source(source)


@patient
async def inspect_source(place: Place) -> Inspection:
    """What there is to save; wrong credentials show here, before anything starts."""
    return await place.inspect()


@tried(DAY, (2, 10, 60), run_name="{part.name}")
async def dump_source(
    part: Part, store: BackupStore, folder: str, recipients: Sequence[str], effort: Effort, meter: Meter
) -> PartRecord:
    """Keep one part of a source's dump, whole or not at all. Raises ``NoRoom`` too."""
    telling = asyncio.create_task(meter.tell_on())
    try:
        record = await store_part(part, store.objects, folder, recipients=recipients, effort=effort, progress=meter.take)
    except StoreRefused as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in FULL:
            raise NoRoom(error.message) from error
        raise
    finally:
        telling.cancel()
        await asyncio.wait({telling})
    meter.next_part(record.plain_size)
    meter.tell()
    return record


@retried
async def keep_manifest(store: BackupStore, manifest: Manifest) -> None:
    """With its manifest the backup exists."""
    await store.keep(manifest)


@retried
async def point_latest(store: BackupStore, manifest: Manifest) -> None:
    """Call it the newest of its source."""
    await store.point_latest(manifest)


@retried
async def call_good(backups: Backups, manifest: Manifest, owner: str) -> bool:
    """List it as good; False when others took its process for dead meanwhile."""
    return await backups.finish(manifest, owner)


@retried
async def call_bad(backups: Backups, backup_id: str, owner: str, error: Mapping[str, Any]) -> bool:
    """List it as failed."""
    return await backups.fail(backup_id, owner, error)


@patient
async def remove_backup(store: BackupStore, folder: str) -> None:
    """Remove a backup, or what is left of one: its manifest first."""
    await store.remove(folder)


@task(cache_policy=NO_CACHE, persist_result=False, result_storage=NOWHERE, timeout_seconds=DAY)
async def call_hook(name: str, hook: HookSettings, facts: Mapping[str, str]) -> None:
    """Run a command of the operator's."""
    await run_hook(name, hook, facts)


@task(cache_policy=NO_CACHE, persist_result=False, result_storage=NOWHERE, timeout_seconds=60)
async def call_switch(url: SecretStr, moment: Moment, ca_file: Path | None) -> bool:
    """Tell a dead man's switch; whether it took it."""
    return await ping(url, moment, ca_file)


@patient
async def tidy_store(store: BackupStore) -> int:
    """Remove uploads that were begun two days ago and never finished, whoever began them; how many."""
    return await store.tidy(2 * 24.0)
