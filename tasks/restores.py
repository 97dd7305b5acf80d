"""Restoring, one effect at a time. Only what has touched nothing is tried again: half a restore does not mend by repeating it."""

import asyncio
from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import SecretStr

from blocks import restoring
from blocks.postgres_backups import PostgresServer
from core.backups.comparing import Comparison, compare
from core.backups.manifest import PartRecord
from core.backups.place import Fingerprint, Inspection, Place
from core.files import ObjectStore
from core.store.drills import Drills, NewDrill
from tasks.retrying import DAY, NOWHERE, retried, tried
from tasks.runs import report_progress

EVERY = 1.0
"""Seconds between two words on how far it is."""

long = task(cache_policy=NO_CACHE, persist_result=False, result_storage=NOWHERE, timeout_seconds=DAY)
harmless = tried(DAY, (2, 15))
"""For what only reads, however long."""


class Bytes:
    """How much of a restore's plain bytes has been read, by any of its parts."""

    def __init__(self, total: int) -> None:
        self.done = 0
        self.total = total

    def seen(self, count: int) -> None:
        self.done += count

    def tell(self) -> None:
        report_progress(min(self.done, self.total), self.total, "bytes")

    async def tell_on(self) -> None:
        """Every second, until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            self.tell()


@retried
async def inspect_target(place: Place) -> Inspection:
    """What the target is and holds."""
    return await place.inspect()


@retried
async def require_extensions(place: Place, needed: Sequence[str]) -> None:
    """Returns when the place can load what a backup needs, before anything is replaced by it. Raises ``ExtensionMissing``."""
    if isinstance(place, PostgresServer):
        await place.require_extensions(needed)


@harmless
async def check_part(record: PartRecord, store: ObjectStore, identity: SecretStr | None) -> None:
    """Read all of a part to its end, before anything is replaced by it."""
    await restoring.check_part(record, store, identity)


@long
async def clear_target(place: Place) -> None:
    """Make it empty."""
    await place.clear()


@long
async def restore_part(
    place: Place, record: PartRecord, store: ObjectStore, identity: SecretStr | None, only: str | None, progress: Bytes
) -> None:
    """Put one part back, and say each second how far all of them are."""
    telling = asyncio.create_task(progress.tell_on())
    try:
        await restoring.restore_part(place, record, store, identity, only, progress.seen)
    finally:
        telling.cancel()
        await asyncio.wait({telling})
        progress.tell()


@harmless
async def compare_target(place: Place, saved: Fingerprint) -> Comparison:
    """What it holds now, beside what was saved."""
    return compare(saved, await place.fingerprint(saved))


@retried
async def keep_drill(drills: Drills, drill: NewDrill) -> None:
    """Keep how a drill ended."""
    await drills.add(drill)
