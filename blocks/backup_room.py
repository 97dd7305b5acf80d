"""Whether a backup will fit where it goes, as far as that can be known."""

import asyncio
import shutil
from pathlib import Path

from blocks.storage_folder import ObjectFolder
from core.backups.errors import NoRoom
from core.files import ObjectStore

SPARE = 64 * 1024 * 1024
"""Bytes that stay free whatever happens."""


async def require_room(store: ObjectStore, size: int) -> None:
    """Raises ``NoRoom`` where a folder's disk has not ``size`` bytes to spare; a bucket says nothing of its room."""
    if isinstance(store, ObjectFolder):
        free = await asyncio.to_thread(_free, store.folder)
        if free < size + SPARE:
            raise NoRoom(
                f"{store.folder} has {free // 1_000_000} MB left on its disk, and the backup needs about {size // 1_000_000} MB: "
                "make room there, or let backups.store name another place."
            )


def _free(folder: Path) -> int:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free
