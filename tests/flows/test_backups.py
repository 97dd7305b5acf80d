"""backup and prune: real databases and folders go into a real store; what fails is told, and leaves nothing behind."""

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from prefect import get_client
from prefect.client.schemas.sorting import ArtifactSort

from blocks.backup_store import BackupStore
from blocks.pipe_reading import reading_part
from blocks.places import place_of
from core.backups.manifest import NAME
from core.backups.place import Fingerprint
from core.config import Settings
from core.store.backups import BackupRecord, Backups
from core.store.base import Store
from flows.backups import backup
from tests.flows.saved import Stage
from tests.prefect_server import RunningServer

PEOPLE = "CREATE TABLE people AS SELECT n AS id, 'name ' || n AS name FROM generate_series(1, 2000) n"
RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


@pytest.fixture
def stage(prefect_client: RunningServer, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage(tmp_path, database_url)
    (tmp_path / "files" / "deep").mkdir(parents=True)
    (tmp_path / "files" / "a.txt").write_text("a")
    (tmp_path / "files" / "deep" / "b.bin").write_bytes(bytes(range(256)) * 5000)
    for name, value in made.environ.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
async def backups(database_url: str) -> AsyncIterator[Backups]:
    store = Store.from_settings(Settings.model_validate({"data_dir": "/", "database": {"url": database_url}}).database)
    yield Backups(store)
    await store.aclose()


async def by_source(backups: Backups) -> dict[str, BackupRecord]:
    return {each.source: each for each in reversed(await backups.page(100))}


async def objects(settings: Settings) -> set[str]:
    return {one.key async for page in BackupStore.from_settings(settings).objects.list() for one in page}


async def artifact() -> str:
    async with get_client() as client:
        (found,) = await client.read_artifacts(sort=ArtifactSort.CREATED_DESC, limit=1)
    return str(found.data)


async def test_everything_due_is_saved_once_and_comes_back_the_same(
    stage: Stage, backups: Backups, empty_database_url: str
) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(PEOPLE)
    settings = stage.configure(
        f"[sources.people]\nurl = '{empty_database_url}'\n[sources.files]\npath = '{stage.folder}/files'\n"
    )
    result = await backup()
    saved = await by_source(backups)
    assert {name: each.status for name, each in saved.items()} == dict.fromkeys(("pilothouse", "people", "files"), "good")
    assert {one["id"] for one in result["backups"]} == {each.id for each in saved.values()}
    people = saved["people"].manifest
    assert people is not None
    assert people.counts == {"public.people": 2000}
    assert saved["people"].size == people.size > 0
    assert {f"{each.folder}{NAME}" for each in saved.values()} < await objects(settings)
    shown = await artifact()
    assert "| people |  | good |" in shown
    target = place_of("targets.x", settings.sources["files"].model_copy(update={"path": stage.folder / "back"}), settings)
    files = saved["files"].manifest
    assert files is not None
    async with reading_part(files.parts[0], BackupStore.from_settings(settings).objects) as stream:
        await target.restore(files.parts[0].name, files.parts[0].format, stream)
    kept = Fingerprint(files.counts, files.checksums)
    assert await target.fingerprint(kept) == kept
    assert files.counts == {".": 1, "deep": 1}
    assert (await backup())["backups"] == []  # nothing is due before the schedule comes again
    assert "Nothing was due." in await artifact()
