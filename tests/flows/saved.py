"""Sources that were backed up, for tests of what becomes of backups: the configuration, the store, the catalogue."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from blocks.backup_store import BackupStore
from blocks.pipe import store_part
from blocks.places import place_of
from core.backups.manifest import Manifest
from core.backups.sources import recipients_of, sources_of
from core.config import Settings, load_settings
from core.ids import new_id
from core.store.backup_scans import BackupScans
from core.store.base import Store


@dataclass
class Stage:
    """A configuration with its catalogue in ``database_url`` and everything else in ``folder``."""

    folder: Path
    database_url: str
    toml: str = ""

    @property
    def file(self) -> Path:
        return self.folder / "pilothouse.toml"

    @property
    def environ(self) -> dict[str, str]:
        """For a process that shall load these settings."""
        return {
            "PILOTHOUSE_CONFIG": str(self.file),
            "PILOTHOUSE_DATA_DIR": str(self.folder / "data"),
            "DATABASE_URL": self.database_url,
            "HOME": str(self.folder),
        }

    def configure(self, toml: str) -> Settings:
        self.file.write_text(toml, encoding="utf-8")
        return self.settings

    @property
    def settings(self) -> Settings:
        return load_settings(environ=self.environ)

    async def save(self, source: str, **changed: object) -> Manifest:
        """Back it up now; ``changed`` is what the manifest shall say instead of the truth."""
        return await saved(self.settings, source, changed)


async def saved(settings: Settings, source: str, changed: Mapping[str, object] | None = None) -> Manifest:
    """A good backup of a source, in the store and in the catalogue."""
    chosen = sources_of(settings)[source]
    place = place_of(f"sources.{source}", chosen, settings)
    store, began = BackupStore.from_settings(settings), datetime.now(UTC)
    seed = Manifest(id=new_id(), source=source, engine=chosen.kind, started_at=began, finished_at=began, server="", parts=())
    found = await place.inspect()
    async with place.dumping(found) as dump:
        to = recipients_of(chosen, settings)
        parts = tuple([await store_part(part, store.objects, seed.folder, recipients=to) for part in dump.parts])
        known = {"counts": dict(dump.fingerprint.counts), "checksums": dict(dump.fingerprint.checksums)}
    more = {"server": found.server, "databases": tuple(found.databases), "extensions": tuple(found.extensions), "parts": parts}
    manifest = seed.model_copy(update={**known, **more, "finished_at": datetime.now(UTC), **(changed or {})})
    await store.keep(manifest)
    if settings.database.url is not None:
        database = Store.from_settings(settings.database)
        try:
            await BackupScans(database).adopt(manifest)
        finally:
            await database.aclose()
    return manifest


def flip(store: Path, key: str, at: float = 0.5) -> None:
    """Change one byte of a stored object."""
    path = store / key
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 1
    path.write_bytes(content)
