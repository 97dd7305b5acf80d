"""The way back on an empty machine: a data directory made again from a store of backups, with nothing running.

The key and configuration files come first where they were saved, then the embedded server is started alone, our database and
Prefect's go into it, and it is stopped again. What fails leaves no directory by halves.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from pydantic import SecretStr

from blocks.backup_store import BackupStore
from blocks.folder_backups import SavedFolder
from blocks.postgres_backups import PostgresServer
from blocks.restoring import restore_part
from core.backups.choosing import parts_for
from core.backups.comparing import compare, saved_in
from core.backups.manifest import Manifest
from core.backups.place import Place
from core.backups.sources import CONFIGURATION, OURS, PREFECTS
from core.config import FILE, Settings, load_settings
from core.errors import ConfigurationInvalid, NotFound, PartMissing
from core.store.audit import Audit
from core.store.backup_scans import BackupScans
from core.store.base import Store
from core.store.schema import migrate
from deployments.api_parts import admin_token_file
from deployments.own_database import whoever
from deployments.part_files import DirectoryLock
from deployments.postgres import EmbeddedPostgres

LOCK = "lock"
MAY_BE_THERE = {LOCK, "backups"}
"""What no restore writes over: our lock, and backups that were copied there."""

Say = Callable[[str], None]


async def restore_data_dir(settings: Settings, say: Say) -> None:
    """Everything back into ``settings.data_dir`` from the store of ``settings.backups``.

    Raises ``PartMissing`` for a directory that is in use or not empty, ``NotFound`` where the store holds no good backup of our
    database, ``RestoreDiffers`` when what came back is not what was saved, and what reading backups raises.
    """
    store = BackupStore.from_settings(settings)
    with _emptied_on_failure(settings.data_dir):
        newest = await _newest(store)
        for name in (OURS, PREFECTS, CONFIGURATION):
            say(f"{name}: backup of {newest[name].started_at:%Y-%m-%d %H:%M:%S} UTC" if name in newest else f"{name}: no backup")
        identity = settings.backups.identity
        if CONFIGURATION in newest:
            keys = SavedFolder(name=CONFIGURATION, path=settings.data_dir)
            await _put_back(keys, newest[CONFIGURATION], store, identity, say)
        server = EmbeddedPostgres(settings.data_dir, settings.database.programs)
        try:
            server.start()
            for name in (OURS, PREFECTS):
                if name in newest:
                    place = PostgresServer(
                        name=name, url=SecretStr(server.url(name)), programs=settings.database.programs, fast=True
                    )
                    await _put_back(place, newest[name], store, identity, say)
            await _know_again(server.url(OURS), settings, store)
        finally:
            server.stop()
    _tell_what_is_next(settings.data_dir, newest, say)


async def _newest(store: BackupStore) -> Mapping[str, Manifest]:
    """The newest good backup of each of our own sources. Raises ``NotFound``."""
    scan = await store.scan()
    good = sorted((found.manifest for found in scan.found if found.fault is None), key=lambda manifest: manifest.started_at)
    newest = {manifest.source: manifest for manifest in good if manifest.source in (OURS, PREFECTS, CONFIGURATION)}
    if OURS not in newest:
        there = ", ".join(sorted({manifest.source for manifest in good})) or "nothing"
        raise NotFound(f"The store has no good backup of {OURS}, Pilothouse's own database; it has backups of: {there}.")
    return newest


async def _put_back(place: Place, manifest: Manifest, store: BackupStore, identity: SecretStr | None, say: Say) -> None:
    began = monotonic()
    for part, _ in parts_for(manifest, roles=False):
        await restore_part(place, part, store.objects, identity, None, lambda _: None)
    saved = saved_in(manifest)
    if isinstance(place, SavedFolder):  # it lies among other things now
        tops = {name for name in saved.counts if name != "."}
        place = place.model_copy(update={"include": (*tops, FILE, "admin-token")})
    comparison = compare(saved, await place.fingerprint(saved))
    comparison.require_good(manifest.source)
    say(f"{manifest.source}: restored, {comparison.rows} rows or files compared ({monotonic() - began:.1f} s)")


async def _know_again(url: str, settings: Settings, store: BackupStore) -> None:
    """The catalogue that came back is of the moment before its own backup: what the store holds is told to it."""
    await migrate(url)
    database = Store.from_settings(settings.database.model_copy(update={"url": SecretStr(url)}))
    try:
        catalogue = BackupScans(database)
        for found in (await store.scan()).found:
            await catalogue.adopt(found.manifest, found.fault)
        await Audit(database).note(whoever().entry("restore", "success", str(settings.data_dir), source=OURS, dataDir=True))
    finally:
        await database.aclose()


@contextmanager
def _emptied_on_failure(data_dir: Path) -> Iterator[None]:
    """Held by us alone. Raises ``PartMissing`` where something lies in it already; what fails leaves it as it was."""
    # As root other users may pass through, so that PostgreSQL's user can; what lies in it is closed.
    data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    with DirectoryLock(data_dir):
        there = sorted(path.name for path in data_dir.iterdir() if path.name not in MAY_BE_THERE)
        if there:
            raise PartMissing(f"{data_dir} is not empty ({', '.join(there[:5])}): name a directory that is, or move these away.")
        try:
            yield
        except BaseException:
            for path in data_dir.iterdir():
                if path.name not in MAY_BE_THERE:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            raise


def _tell_what_is_next(data_dir: Path, newest: Mapping[str, Manifest], say: Say) -> None:
    token = admin_token_file(data_dir)
    say(
        f"admin token: restored, in {token}"
        if token.is_file()
        else f"admin token: was not saved; the next `pilothouse up` makes a new one, in {token} (other tokens stay valid)"
    )
    if PREFECTS not in newest:
        say("prefect: starts empty, since the store has no backup of its database")
    try:
        settings = load_settings(overrides={"data_dir": data_dir})
    except ConfigurationInvalid as error:  # such as a secret's file that was not saved
        say(f"to be set right before it starts: {error.message}")
    else:
        if settings.database.url is not None:
            said_by = settings.origins.get("database.url", "the settings")
            say(f"{said_by} names a database: `pilothouse up` uses that database, not the one restored here")
    say(f"start it with: pilothouse up --data-dir {data_dir}")
