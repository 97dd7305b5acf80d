"""Where backups lie: ``[backups.store]``, a folder or a bucket, each backup in a folder of its own with its manifest.

The manifest is written last and removed first, so that a backup without one does not exist. The catalogue in our database can be
rebuilt from the manifests; nothing in the store depends on it.
"""

import asyncio
import contextlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Self

from pydantic import ValidationError

from blocks.storage import Storage, all_ours
from blocks.storage_bucket import ObjectBucket
from blocks.storage_folder import ObjectFolder
from core.backups.errors import BackupDamaged
from core.backups.manifest import NAME, VERSION, Manifest
from core.config import Settings
from core.errors import NotFound
from core.files import ListedObject, ObjectStore
from core.store.backup_scans import BackupScans

FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}/\d{4}/\d\d/\d\d/\d{6}Z-[0-9a-f]{12}/")
LATEST = "latest.json"
"""Beside a source's backups: the manifest of the newest one."""
LARGEST_MANIFEST = 64 * 1024 * 1024
PART_BYTES = 16 * 1024 * 1024
"""S3 takes 10,000 of them for one object, and about three are in memory."""
READ_AT_ONCE = 8
ALL_UNFINISHED = -24.0
"""Hours: also what the store's clock dates a little ahead of ours."""


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest in the store; ``fault`` where its objects are not all there."""

    manifest: Manifest
    fault: BackupDamaged | None = None


@dataclass(frozen=True, slots=True)
class Scan:
    """What lies in the store. ``problems`` by key: manifests that are not ours or cannot be read, and why."""

    found: Sequence[Found]
    problems: Mapping[str, str]
    leftovers: Sequence[str]
    """Folders without a manifest: backups being made, and what broken ones left."""


@dataclass
class Rescanned:
    """What a rescan has brought into the catalogue."""

    found: int = 0
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


class BackupStore:
    """Backups by folder (``Manifest.folder``). Errors: ``StoreUnavailable``, ``StoreRefused``."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Touches nothing yet."""
        store = settings.backups.store
        if store.bucket is None:
            return cls(ObjectFolder(folder=store.folder or settings.data_dir / "backups"))
        taken = store.model_dump(exclude={"folder"})
        return cls(ObjectBucket(**taken, ca_file=settings.ca_file, part_bytes=PART_BYTES, timeout=120.0))

    @property
    def objects(self) -> ObjectStore:
        """For the parts, under their keys."""
        return self._storage

    async def check(self) -> None:
        """Returns when the store answers and takes our credentials."""
        await self._storage.check()

    async def tidy(self, hours: float) -> int:
        """See ``Tidied.tidy``. Does nothing in a bucket that others may share."""
        return await self._storage.tidy(hours) if all_ours(self._storage) else 0

    async def tidy_source(self, source: str) -> int:
        """Remove all unfinished uploads of a source; only for whom it is that backs it up now. How many."""
        return await self._within(f"{source}/").tidy(ALL_UNFINISHED)

    async def keep(self, manifest: Manifest) -> None:
        """Write the manifest, with which the backup exists."""
        await self._storage.put(manifest.folder + NAME, _written(manifest), "application/json", NAME)

    async def point_latest(self, manifest: Manifest) -> None:
        """Call it the newest of its source, for whoever looks into the store without Pilothouse."""
        await self._storage.put(f"{manifest.source}/{LATEST}", _written(manifest), "application/json", LATEST)

    async def manifest(self, folder: str) -> Manifest:
        """Raises ``NotFound`` where there is none, ``BackupDamaged`` for one that is not ours or cannot be read."""
        content = bytearray()
        async with aclosing(self._storage.read(folder + NAME, 0, LARGEST_MANIFEST)) as chunks:
            async for chunk in chunks:
                content += chunk
        return read_manifest(bytes(content), folder)

    async def remove(self, folder: str) -> None:
        """Remove a backup, or what a broken one left: first the manifest, then all else, unfinished uploads too."""
        if not FOLDER.fullmatch(folder):
            raise NotFound(f"{folder} is no folder of a backup.")
        within = self._within(folder)
        await within.remove([NAME])
        async with aclosing(within.list()) as pages:
            async for page in pages:
                await within.remove([one.key for one in page])
        await within.tidy(ALL_UNFINISHED)
        if isinstance(within, ObjectFolder):
            with contextlib.suppress(OSError):  # something is in it that is not ours, or it was never made
                await asyncio.to_thread(within.folder.rmdir)

    async def scan(self) -> Scan:
        """Everything that lies in the store, told from its manifests."""
        sizes: dict[str, dict[str, int]] = defaultdict(dict)
        async with aclosing(self._storage.list()) as pages:
            async for page in pages:
                for folder, one in _in_folders(page):
                    sizes[folder][one.key] = one.size
        whole = [folder for folder, there in sizes.items() if folder + NAME in there]
        read: list[Found | BackupDamaged | None] = []
        for start in range(0, len(whole), READ_AT_ONCE):
            read += await asyncio.gather(*(self._read(each, sizes[each]) for each in whole[start : start + READ_AT_ONCE]))
        found = _with_bases([one for one in read if isinstance(one, Found)])
        problems = {folder + NAME: one.message for folder, one in zip(whole, read, strict=True) if isinstance(one, BackupDamaged)}
        return Scan(found, problems, sorted(sizes.keys() - set(whole)))

    async def _read(self, folder: str, sizes: Mapping[str, int]) -> Found | BackupDamaged | None:
        try:
            manifest = await self.manifest(folder)
        except NotFound:  # deleted since
            return None
        except BackupDamaged as error:
            return error
        return Found(manifest, _fault(manifest, folder, sizes))

    def _within(self, folder: str) -> Storage:
        if isinstance(self._storage, ObjectFolder):
            return ObjectFolder(folder=self._storage.folder / folder)
        return self._storage.model_copy(update={"prefix": self._storage.prefix + folder})


async def rescan(store: BackupStore, catalogue: BackupScans) -> Rescanned:
    """Rebuild the catalogue from the store; done again it changes nothing. What the store does not have any more is marked.

    Raises ``StoreUnavailable``, ``StoreRefused``, ``DatabaseUnavailable``; nothing is marked as missing then.
    """
    good = await catalogue.good()  # before the scan: what is made during it is not missed
    scan = await store.scan()
    done = Rescanned(found=len(scan.found), problems=dict(scan.problems))
    for one in scan.found:
        added = await catalogue.adopt(one.manifest, one.fault)
        if added is not None:
            (done.added if added else done.changed).append(one.manifest.id)
        if one.fault is not None:
            done.damaged[one.manifest.id] = one.fault.message
    there = {one.manifest.id for one in scan.found}
    done.missing = await catalogue.miss([each for each in good if each not in there])
    return done


def read_manifest(content: bytes, folder: str) -> Manifest:
    """The manifest that lies in ``folder``. Raises ``BackupDamaged``."""
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BackupDamaged(f"{folder}{NAME} is no manifest of a backup ({where}: {first['msg']}).") from None
    if manifest.version > VERSION:
        raise BackupDamaged(f"{folder}{NAME} was written by a later release (version {manifest.version}); upgrade to read it.")
    if manifest.folder != folder:
        raise BackupDamaged(f"{folder}{NAME} belongs into {manifest.folder}; it was copied or renamed.")
    return manifest


def _written(manifest: Manifest) -> bytes:
    return manifest.model_dump_json(indent=2).encode()


def _in_folders(page: Sequence[ListedObject]) -> list[tuple[str, ListedObject]]:
    """Some S3 servers list folders too, as keys that end with a slash."""
    matched = [(FOLDER.match(one.key), one) for one in page if not one.key.endswith("/")]
    return [(match[0], one) for match, one in matched if match is not None]


def _with_bases(found: Sequence[Found]) -> list[Found]:
    """The same; an increment without its base, or with one that is not whole, is at fault too."""
    whole = {one.manifest.id for one in found if one.fault is None and one.manifest.base is None}
    return [
        replace(one, fault=BackupDamaged(f"{one.manifest.folder}: its base {base.folder} is not in the store, or is damaged."))
        if one.fault is None and (base := one.manifest.base) is not None and base.id not in whole
        else one
        for one in found
    ]


def _fault(manifest: Manifest, folder: str, sizes: Mapping[str, int]) -> BackupDamaged | None:
    """Parts of the folder that are gone or of another size; what is in them only reading shows."""
    for part in manifest.parts:
        if part.key.startswith(folder) and sizes.get(part.key) != part.size:
            there = "is not in the store" if part.key not in sizes else f"has {sizes[part.key]} bytes in place of {part.size}"
            return BackupDamaged(f"{part.key} {there}.")
    return None
