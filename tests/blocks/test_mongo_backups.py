"""MongoDB's wire protocol, on a stand-in that keeps documents in SQLite: saved, dropped, put back, compared.

The stand-in ignores options of collections and indexes; what is sent of them is looked at in the stream.
"""

import datetime
import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import bson
import pymongo
import pytest
from pydantic import SecretStr

from blocks.mongo_backups import OWN, MongoServer
from blocks.pipe import store_part
from blocks.pipe_reading import reading_part
from blocks.restoring import as_target
from blocks.storage_folder import ObjectFolder
from core.backups.errors import BackupDamaged, PlaceUnavailable, RestoreFailed, TargetNotEmpty
from core.backups.manifest import Manifest, PartRecord
from core.backups.place import Fingerprint
from tests.mongo_server import MongoStandIn, fill, indexes, seen
from tests.waiting import eventually

NOW = datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)
FOLDER = "mongo/2026/01/31/020000Z-abc/"


@pytest.fixture
async def mongo(tmp_path: Path) -> AsyncIterator[MongoStandIn]:
    server = MongoStandIn(tmp_path)
    await eventually(server.answers)
    yield server
    server.kill()


@pytest.fixture
def store(tmp_path: Path) -> ObjectFolder:
    return ObjectFolder(folder=tmp_path / "store")


def place(server: MongoStandIn) -> MongoServer:
    return MongoServer(name="sources.test", url=SecretStr(server.url))


async def saved(source: MongoServer, store: ObjectFolder) -> tuple[Sequence[PartRecord], Fingerprint]:
    async with source.dumping(await source.inspect()) as dump:
        return [await store_part(part, store, FOLDER) for part in dump.parts], dump.fingerprint


async def put_back(target: MongoServer, records: Sequence[PartRecord], store: ObjectFolder, only: str | None = None) -> None:
    for record in records:
        async with reading_part(record, store) as stream:
            await target.restore(record.name, record.format, stream, only)


async def test_what_is_destroyed_comes_back(mongo: MongoStandIn, store: ObjectFolder) -> None:
    fill(mongo)
    before, keys = seen(mongo), indexes(mongo)
    source = place(mongo)
    assert not (await source.inspect()).empty
    records, fingerprint = await saved(source, store)
    assert fingerprint.counts == {"people": 5000, "notes": 30}
    assert fingerprint.checksums.keys() == {"people", "notes"}
    with pytest.raises(TargetNotEmpty):
        await put_back(source, records, store)
    await source.clear()
    assert (await source.inspect()).empty
    await put_back(source, records, store)
    assert (seen(mongo), indexes(mongo)) == (before, keys)
    assert await source.fingerprint(fingerprint) == fingerprint
    with pymongo.MongoClient[Any](mongo.url) as client:
        client["shop"]["people"].update_one({"_id": 7}, {"$set": {"name": "other"}})
        client["shop"]["notes"].drop()
    found = await source.fingerprint(fingerprint)
    assert found.counts == {"people": 5000}
    assert found.checksums["people"] != fingerprint.checksums["people"]
    await put_back(source, records, store, only="notes")
    assert seen(mongo)["notes"] == before["notes"]
    with pytest.raises(RestoreFailed, match="no such collection"):
        await put_back(source, records, store, only="nothing")


@pytest.mark.parametrize("whole_server", [False, True])
async def test_a_drill_beside_the_source_touches_nothing_else(
    mongo: MongoStandIn, store: ObjectFolder, whole_server: bool
) -> None:
    fill(mongo)
    with pymongo.MongoClient[Any](mongo.url) as client:
        client["other"]["things"].insert_one({"a": 1})
        source = place(mongo).model_copy(update={"all_databases": whole_server})
        records, fingerprint = await saved(source, store)
        shape: dict[str, Any] = {
            "id": "i",
            "source": "s",
            "engine": "mongo",
            "started_at": NOW,
            "finished_at": NOW,
            "server": "x",
        }
        databases = ("other", "shop") if whole_server else ("shop",)
        manifest = Manifest(**shape, parts=(), counts=dict(fingerprint.counts), databases=databases)
        before = seen(mongo)
        async with source.beside("pilothouse_drill_x_") as beside:
            scratch = as_target(beside, manifest)
            assert isinstance(scratch, MongoServer)
            await put_back(scratch, records, store)
            assert await scratch.fingerprint(fingerprint) == fingerprint
            assert seen(mongo) == before
            made = {name for name in client.list_database_names() if name.startswith("pilothouse_drill_x_")}
            assert made == {f"pilothouse_drill_x_{name}" for name in (*databases, "probe")}
            assert (await saved(source, store))[1].counts == fingerprint.counts, "a drill is not backed up"
        assert sorted(name for name in client.list_database_names() if name not in OWN) == ["other", "shop"]
        assert seen(mongo) == before


async def test_a_stream_that_is_cut_off_is_noticed(mongo: MongoStandIn) -> None:
    whole = bson.encode({"database": "", "collection": "a", "options": {}, "indexes": []}) + bson.encode({"end": True})
    for cut in (whole[:-3], whole[: -len(bson.encode({"end": True}))], b"\xff\xff\xff\xff"):
        with pytest.raises(BackupDamaged):
            await place(mongo).restore("dump.bson", "bson", io.BytesIO(cut))
        await place(mongo).clear()


async def test_a_server_that_dies_leaves_no_backup(mongo: MongoStandIn, store: ObjectFolder) -> None:
    fill(mongo)
    source = MongoServer(name="sources.test", url=SecretStr(f"{mongo.url}&serverSelectionTimeoutMS=1000"))
    inspection = await source.inspect()
    async with source.dumping(inspection) as dump:
        mongo.kill()
        with pytest.raises(PlaceUnavailable):
            await store_part(dump.parts[0], store, FOLDER)
    assert [file for file in store.folder.rglob("*") if file.is_file()] == []
