"""What has to be known before an increment is made. Both only read."""

from blocks.backup_store import BackupStore
from blocks.bucket_increments import BucketIncrement
from blocks.own_thread import in_own_thread
from blocks.pipe_reading import reading_part
from core.backups.bucket_index import Index
from core.backups.errors import BackupDamaged
from core.backups.manifest import Manifest, PartRecord
from tasks.retrying import patient


@patient
async def read_index(store: BackupStore, whole: Manifest, index: PartRecord) -> Index:
    """The index of a whole backup, of which all parts are in the store. Raises ``BackupDamaged`` and ``NotFound``."""
    for part in whole.parts:
        if (there := (await store.objects.head(part.key)).size) != part.size:
            raise BackupDamaged(f"{part.key} has {there} bytes in place of {part.size}.")
    await store.manifest(whole.folder)
    async with reading_part(index, store.objects) as stream:
        return await in_own_thread(lambda: Index.read(stream), "bucket-index")


@patient
async def weigh(increment: BucketIncrement) -> tuple[int, int]:
    """Bytes that are new, and bytes in all."""
    return await increment.weighed()
