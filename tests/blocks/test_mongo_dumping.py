"""Backups by ``mongodump`` and ``mongorestore``: stand-ins that check what they are told, a server that is one too."""

import asyncio
import io
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import bson
import psutil
import pymongo
import pytest
from pydantic import SecretStr

from blocks.dump_process import feed
from blocks.mongo_archive import Tally
from blocks.mongo_backups import OWN, MongoServer
from blocks.mongo_dumping import ARCHIVE, END, MAGIC, OPLOG, Dumping, Seen, changed_by, opened_dump
from blocks.mongo_restoring import WHOLE, apart, arguments, database_of, part_of
from blocks.mongo_tools import Login, installed, restoring_program, wrong_with_restore
from blocks.pipe import store_part
from blocks.pipe_reading import reading_part
from blocks.restoring import as_target, require_programs
from blocks.storage_folder import ObjectFolder
from core.backups.errors import DumpFailed, PlaceRefused, RestoreFailed, TargetNotEmpty, ToolTooOld
from core.backups.manifest import Manifest, PartRecord
from core.backups.place import Fingerprint, Inspection, Part
from tests.blocks.probes.mongo_stand_in import mongo_stand_in
from tests.blocks.test_mongo_backups import NOW
from tests.mongo_programs import PASSWORD, MongoPrograms
from tests.mongo_server import MongoStandIn, fill, indexes, seen
from tests.waiting import eventually

FOLDER = "mongo/2026/01/31/020000Z-abc/"
PEOPLE = 1500
"""More than a batch of them."""
LOGIN = "backup:p%40ss%2Fw%3Ard@"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoStandIn]:
    server = MongoStandIn(tmp_path_factory.mktemp("mongo"))
    with pymongo.MongoClient[Any](server.url, serverSelectionTimeoutMS=20_000) as client:
        client.server_info()
    yield server
    server.kill()


@pytest.fixture
def mongo(server: MongoStandIn) -> MongoStandIn:
    with pymongo.MongoClient[Any](server.url) as client:
        for name in set(client.list_database_names()) - set(OWN):
            client.drop_database(name)
    fill(server, PEOPLE)
    return server


@pytest.fixture
def store(tmp_path: Path) -> ObjectFolder:
    return ObjectFolder(folder=tmp_path / "store")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MongoPrograms:
    found = MongoPrograms(tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{found.folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return found


def place(server: MongoStandIn, database: str = "shop", **more: Any) -> MongoServer:
    return MongoServer(name="sources.test", url=SecretStr(server.url.replace("/shop", f"/{database}")), **more)


async def saved(source: MongoServer, store: ObjectFolder) -> tuple[Sequence[PartRecord], Fingerprint]:
    async with source.dumping(await source.inspect()) as dump:
        return [await store_part(part, store, FOLDER) for part in dump.parts], dump.fingerprint


async def put_back(target: MongoServer, records: Sequence[PartRecord], store: ObjectFolder, only: str | None = None) -> None:
    for record in records:
        async with reading_part(record, store) as stream:
            await target.restore(record.name, record.format, stream, only)


def logins(folder: Path) -> Sequence[Path]:
    return list(folder.glob("pilothouse-backup-*"))


def manifest_of(records: Sequence[PartRecord], fingerprint: Fingerprint, *databases: str) -> Manifest:
    shape: dict[str, Any] = {"id": "i", "source": "s", "engine": "mongo", "started_at": NOW, "finished_at": NOW, "server": "x"}
    return Manifest(**shape, parts=tuple(records), counts=dict(fingerprint.counts), databases=databases)


async def test_what_mongodump_saved_comes_back(mongo: MongoStandIn, store: ObjectFolder, programs: MongoPrograms) -> None:
    before, keys = seen(mongo), indexes(mongo)
    source = place(mongo)
    assert (await source.inspect()).tool == "mongodump 100.9.4"
    records, fingerprint = await saved(source, store)
    assert [(each.name, each.format) for each in records] == [("shop.archive", "mongodump")]
    assert fingerprint == await source.fingerprint(fingerprint)
    assert fingerprint.counts == {"people": PEOPLE, "notes": 30}
    with pytest.raises(TargetNotEmpty):
        await put_back(source, records, store)
    await source.clear()
    await put_back(source, records, store)
    assert (seen(mongo), indexes(mongo)) == (before, keys)
    with pymongo.MongoClient[Any](mongo.url) as client:
        client["shop"]["notes"].drop()
    await put_back(source, records, store, only="notes")
    assert seen(mongo) == before
    with pytest.raises(RestoreFailed, match="no such collection"):
        await put_back(source, records, store, only="nothing")
    other = place(mongo, "other")
    await put_back(other, records, store)
    assert await other.fingerprint(fingerprint) == fingerprint
    dump, restore = programs.told()[0]["arguments"], programs.told()[-1]["arguments"]
    assert dump[1:] == ["--archive", "--db=shop"]
    assert restore[1:] == ["--archive", "--stopOnError", "--nsInclude=shop.*", "--nsFrom=shop.*", "--nsTo=other.*"]
    assert not Path(dump[0].removeprefix("--config=")).parent.exists()


async def test_a_drill_of_several_databases_touches_nothing_else(
    mongo: MongoStandIn, store: ObjectFolder, programs: MongoPrograms
) -> None:
    with pymongo.MongoClient[Any](mongo.url) as client:
        client["other"]["things"].insert_one({"a": 1})
        source = place(mongo, all_databases=True)
        records, fingerprint = await saved(source, store)
        assert sorted(each.name for each in records) == ["other.archive", "shop.archive"], "no member of a replica set"
        assert fingerprint.counts == {"other/things": 1, "shop/people": PEOPLE, "shop/notes": 30}
        before = seen(mongo)
        async with source.beside("pilothouse_drill_x_") as beside:
            scratch = as_target(beside, manifest_of(records, fingerprint, "other", "shop"))
            assert isinstance(scratch, MongoServer)
            await put_back(scratch, records, store)
            assert await scratch.fingerprint(fingerprint) == fingerprint
            assert (seen(mongo), client["other"]["things"].count_documents({})) == (before, 1)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"fails_after": 5, "error": f"mongodb://{LOGIN}h {{ name: 'Ada' }}"}, "ended with 1"),
        ({"stops_after": 5}, "cut off|end of what it wrote is missing"),
    ],
)
async def test_a_dump_that_breaks_off_is_no_backup(
    mongo: MongoStandIn, store: ObjectFolder, programs: MongoPrograms, how: dict[str, Any], said: str
) -> None:
    programs.behave(**how)
    login = Login(mongo.url.replace("//", f"//{LOGIN}"))
    program = installed("mongodump")
    assert program is not None
    dumping = Dumping("sources.test", login, program, {"shop": ""}, "shop")
    tally = Tally()
    with pytest.raises(DumpFailed, match=said) as failed:
        await store_part(Part("shop.archive", ARCHIVE, partial(opened_dump, dumping, tally)), store, FOLDER)
    assert not any(word in failed.value.message for word in (PASSWORD, LOGIN, "p%40ss", "Ada")), failed.value.message
    assert [file for file in store.folder.rglob("*") if file.is_file()] == []
    assert tally.counts == {}


async def test_a_dump_that_is_broken_off_leaves_nothing_and_showed_no_secret(
    mongo: MongoStandIn, store: ObjectFolder, programs: MongoPrograms, tmp_path: Path
) -> None:
    programs.behave(fails_after=5, hangs=True)
    program = installed("mongodump")
    assert program is not None
    dumping = Dumping("x", Login(mongo.url.replace("//", f"//{LOGIN}")), program, {"shop": ""}, "shop")
    part = Part("shop.archive", ARCHIVE, partial(opened_dump, dumping, Tally()))
    saving = asyncio.create_task(store_part(part, store, FOLDER))
    await eventually((programs.folder / "told.jsonl").exists)
    (told,) = programs.told()
    running = psutil.Process(told["pid"])
    shown = " ".join([*running.cmdline(), *running.environ().values()])
    assert "--db=shop" in shown
    assert not any(word in shown for word in ("p@ss", "p%40ss", "mongodb://"))
    assert LOGIN in told["uri"], "it knew the password all the same"
    assert logins(tmp_path)
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert not running.is_running()
    assert not logins(tmp_path)
    assert [file for file in store.folder.rglob("*") if file.is_file()] == []


async def test_an_archive_needs_mongorestore_and_our_own_form_does_not(
    mongo: MongoStandIn, store: ObjectFolder, programs: MongoPrograms
) -> None:
    source = place(mongo)
    records, _ = await saved(source, store)
    before = seen(mongo)
    programs.behave(version="99.0.0")
    for name in ("mongodump", "mongorestore"):
        (programs.folder / name).touch()
    os.utime(programs.folder / "mongodump", (1, 1))
    os.utime(programs.folder / "mongorestore", (1, 1))
    assert (await source.inspect()).tool is None, "too old to take a password from a file"
    raw, _ = await saved(source, store)
    assert [each.format for each in raw] == ["bson"]
    (programs.folder / "mongorestore").unlink()
    await source.clear()
    with pytest.raises(ToolTooOld, match=r"no mongorestore here.*install the MongoDB Database Tools"):
        await put_back(source, records, store)
    with pytest.raises(ToolTooOld):
        await require_programs(manifest_of(records, Fingerprint({}), "shop"))
    await require_programs(manifest_of(raw, Fingerprint({}), "shop"))
    assert seen(mongo) == {}
    await put_back(source, raw, store)
    assert seen(mongo) == before


async def test_a_restore_that_loses_documents_has_failed(
    mongo: MongoStandIn, store: ObjectFolder, programs: MongoPrograms
) -> None:
    source = place(mongo)
    records, _ = await saved(source, store)
    await source.clear()
    programs.behave(loses=3, says="error: E11000 duplicate key error collection: shop.people dup key: { name: 'Ada' }")
    with pytest.raises(RestoreFailed, match="3 document") as failed:
        await put_back(source, records, store)
    assert "E11000" in failed.value.message
    assert "Ada" not in failed.value.message
    await source.clear()
    programs.behave(says="Failed: error connecting to db server: server returned error on SASL: Authentication failed.", loses=1)
    with pytest.raises(PlaceRefused):
        await put_back(source, records, store)


async def test_a_whole_member_of_a_replica_set_is_of_one_moment(programs: MongoPrograms) -> None:
    async with mongo_stand_in() as state:
        state.hello |= {"setName": "rs0", "hosts": [f"127.0.0.1:{state.port}"], "me": f"127.0.0.1:{state.port}"}
        state.answers["listDatabases"] = {"databases": [{"name": "shop"}, {"name": "admin"}]}
        url = SecretStr(f"{state.url}/?directConnection=true")
        found = Inspection("MongoDB 7", "mongodump 100.9.4", ("shop",), None, False)
        async with MongoServer(name="x", url=url).dumping(found) as dump:
            assert [(each.name, each.format) for each in dump.parts] == [(WHOLE, OPLOG)]
        async with MongoServer(name="x", url=url, databases=("shop",)).dumping(found) as dump:
            assert [(each.name, each.format) for each in dump.parts] == [("shop.archive", ARCHIVE)]


async def test_what_was_written_meanwhile_is_played_back(
    mongo: MongoStandIn, store: ObjectFolder, programs: MongoPrograms
) -> None:
    programs.behave(oplog=[{"op": "i", "ns": "shop.notes", "o": {"_id": 1, "text": "late"}}, {"op": "n", "ns": "", "o": {}}])
    program = installed("mongodump")
    assert program is not None
    dumping = Dumping("x", Login(mongo.url), program, {"shop": "shop"})
    tally = Tally()
    records = [await store_part(Part(WHOLE, OPLOG, partial(opened_dump, dumping, tally)), store, FOLDER)]
    assert tally.counts == {"shop/people": PEOPLE}, "what was written to is not compared"
    whole = place(mongo, "", all_databases=True)
    with pytest.raises(TargetNotEmpty):
        await put_back(whole, records, store)
    await whole.clear()
    programs.behave(oplog=[])
    with pytest.raises(RestoreFailed, match="url names one database"):
        await put_back(place(mongo), records, store)
    async with whole.beside("pilothouse_drill_x_") as beside:
        manifest = manifest_of(records, Fingerprint({}), "shop")
        scratch = as_target(beside, manifest)
        assert isinstance(scratch, MongoServer)
        await put_back(scratch, records, store)
        assert seen(mongo) == {}
        like = Fingerprint(tally.counts | {"shop/notes": 0}, tally.checksums)
        assert (await scratch.fingerprint(like)).counts == {"shop/people": PEOPLE, "shop/notes": 30}
    await put_back(whole, records, store, only="shop/notes")
    assert {name: len(each) for name, each in seen(mongo).items()} == {"notes": 30}
    await whole.clear()
    await put_back(whole, records, store)
    assert {name: len(each) for name, each in seen(mongo).items()} == {"people": PEOPLE, "notes": 31}
    assert programs.told()[-1]["arguments"][1:] == ["--archive", "--stopOnError", "--oplogReplay"]


async def test_mongorestore_that_reads_half_an_archive_has_failed(mongo: MongoStandIn, programs: MongoPrograms) -> None:
    head = MAGIC + bson.encode({"version": "0.1"}) + END + bson.encode({"db": "a", "collection": "b", "EOF": False})
    with Login(mongo.url).tool(restoring_program(), "--archive") as tool:
        done = await asyncio.to_thread(feed, tool, io.BytesIO(head), Event())
    assert isinstance(wrong_with_restore("x", done), RestoreFailed)


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("mongodb://h", "mongodb://h/"),
        ("mongodb://h/shop?tls=true", "mongodb://h/?tls=true"),
        ("mongodb://u:p@h1:1,h2:2/shop", "mongodb://u:p@h1:1,h2:2/?authSource=shop"),
        ("mongodb://u:p@h/?w=1", "mongodb://u:p@h/?w=1&authSource=admin"),
        ("mongodb://u:p@h/shop?authSource=admin&x=1", "mongodb://u:p@h/?authSource=admin&x=1"),
        ("mongodb://u@h/?authMechanism=MONGODB-X509", "mongodb://u@h/?authMechanism=MONGODB-X509"),
        ("mongodb+srv://u:p@h/shop", "mongodb+srv://u:p@h/"),
    ],
)
def test_the_tools_get_the_address_with_all_its_options(url: str, uri: str) -> None:
    assert Login(url).uri == uri


def test_names_are_no_patterns_and_parts_are_safe_in_keys() -> None:
    assert arguments({"a*b": "c"}, None) == [r"--nsInclude=a\*b.*", r"--nsFrom=a\*b.*", "--nsTo=c.*"]
    assert arguments({"a": "a"}, "x.*") == [r"--nsInclude=a.x.\*"]
    assert [database_of(part_of(name)) for name in ("a/b", ".x", "订单 1")] == ["a/b", ".x", "订单 1"]
    assert apart("shop/a.b") == ("shop", "a.b") == apart("shop.a.b")
    with pytest.raises(RestoreFailed):
        apart("people")


def test_what_is_no_archive_is_noticed() -> None:
    for wrong in (b"Enter password:", MAGIC + b"\x01\x00\x00\x00"):
        with pytest.raises(DumpFailed, match="no archive"):
            Seen({}).feed(wrong)
    for cut in (MAGIC, MAGIC + bson.encode({}) + END + bson.encode({"db": "a", "collection": "b", "EOF": False}) + END):
        watched = Seen({})
        watched.feed(cut)
        with pytest.raises(DumpFailed, match="cut off"):
            watched.tell(Tally())


def test_transactions_and_renames_change_what_they_name() -> None:
    inner = [{"op": "u", "ns": "a.x", "o": {}}, {"op": "c", "ns": "b.$cmd", "o": {"renameCollection": "b.y", "to": "c.y"}}]
    entry = {"op": "c", "ns": "admin.$cmd", "o": {"applyOps": inner}}
    assert set(changed_by(entry)) == {("a", "x"), ("b", ""), ("c", "")}


def test_a_view_is_not_counted() -> None:
    listed = [{"db": "a", "collection": "v", "metadata": "{}", "type": "view"}, {"db": "a", "collection": "c", "metadata": "{}"}]
    ends = [{"db": "a", "collection": name, "EOF": True, "CRC": 0} for name in "vc"]
    watched, tally = Seen({"a": ""}), Tally()
    whole = MAGIC + b"".join(map(bson.encode, [{"version": "0.1"}, *listed])) + END
    for byte in whole + b"".join(bson.encode(end) + END for end in ends):
        watched.feed(bytes([byte]))
    watched.tell(tally)
    assert tally.counts == {"c": 0}
