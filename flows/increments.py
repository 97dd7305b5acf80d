"""Whether a source is saved as a whole or as what is new since its last whole backup."""

from collections.abc import Sequence
from datetime import datetime

from prefect import get_run_logger

from blocks.backup_store import BackupStore
from blocks.bucket_backups import SavedBucket
from blocks.bucket_increments import BucketIncrement
from core.backups.errors import BackupDamaged
from core.backups.increments import index_of, too_much, why_whole
from core.backups.place import Place
from core.errors import NotFound
from core.settings_backups import SourceSettings
from core.store.backups import BackupRecord
from tasks.increments import read_index, weigh


async def increment_of(
    place: Place,
    source: SourceSettings,
    whole: BackupRecord | None,
    store: BackupStore,
    recipients: Sequence[str],
    now: datetime,
) -> tuple[BucketIncrement, int] | None:
    """An increment on ``whole``, the source's last whole backup, and its bytes; None where it has to be whole again, which the
    log explains."""
    if not isinstance(place, SavedBucket):
        return None
    manifest = whole.manifest if whole is not None else None
    why = why_whole(manifest, recipients, source.whole_every, now)
    if why is None and manifest is not None and (index := index_of(manifest)) is not None:
        try:
            found = BucketIncrement(place, manifest, await read_index(store, manifest, index))
        except (BackupDamaged, NotFound) as error:
            why = error.message
        else:
            new, total = await weigh(found)
            if not too_much(new, total):
                get_run_logger().info("%s: only what is new since %s (%d of %d bytes)", place.name, manifest.id, new, total)
                return found, new
            why = f"{new} of {total} bytes are new"
    get_run_logger().info("%s is saved as a whole: %s", place.name, why)
    return None
