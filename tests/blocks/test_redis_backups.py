"""Valkey, real servers: a snapshot taken, everything destroyed, put back, compared; and what can go wrong on the way."""

import asyncio
import io
import random
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from blocks import redis_replication
from blocks.pipe import store_part
from blocks.pipe_reading import reading_part
from blocks.redis_backups import RedisServer
from blocks.redis_snapshot import Snapshot
from blocks.storage_folder import ObjectFolder
from core.backups.errors import BackupDamaged, DumpFailed, PlaceRefused, PlaceUnavailable, RestoreFailed, TargetNotEmpty
from core.backups.manifest import PartRecord
from core.backups.place import Fingerprint
from tests.valkey import ValkeyServer
from tests.waiting import eventually

FOLDER = "cache/2026/01/31/020000Z-abc/"
PASSWORD = "an-own-password"
Start = Callable[..., ValkeyServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers with a password, which end with the test."""
    servers: list[ValkeyServer] = []

    def starting(**options: str) -> ValkeyServer:
        folder = tmp_path / f"server{len(servers)}"
        folder.mkdir()
        servers.append(ValkeyServer(folder, **{"requirepass": PASSWORD, **options}).start())
        return servers[-1]

    yield starting
    for server in servers:
        server.kill()


@pytest.fixture
def store(tmp_path: Path) -> ObjectFolder:
    return ObjectFolder(folder=tmp_path / "store")


def url_of(server: ValkeyServer, password: str = PASSWORD) -> str:
    return f"redis://:{password}@127.0.0.1:{server.port}/0"


def place(server: ValkeyServer, password: str = PASSWORD) -> RedisServer:
    return RedisServer(name="sources.test", url=SecretStr(url_of(server, password)))


def client_of(server: ValkeyServer, database: int = 0) -> "redis.Redis":
    return redis.Redis(port=server.port, password=PASSWORD, db=database, protocol=2)


def fill(server: ValkeyServer) -> None:
    draw = random.Random(1)
    with client_of(server) as client:
        client.set("text", "words " * 1000)
        client.set(b"\x00\xff binary", draw.randbytes(300_000))
        for number, key in ((7, "tiny"), (70_000, "number"), (2**40, "long")):
            client.set(key, number)
        client.set("session", "soon gone", ex=3600)
        for size in (3, 3000):
            client.rpush(f"list{size}", *(f"{each}" * 9 for each in range(size)))
            client.sadd(f"numbers{size}", *range(size))
            client.sadd(f"set{size}", *(f"word{each}" for each in range(size)))
            client.zadd(f"zset{size}", {f"m{each}": each / 7 for each in range(size)})
            client.hset(f"hash{size}", mapping={f"f{each}": "v" * (each % 90) for each in range(size)})
            for each in range(size):
                client.xadd(f"stream{size}", {"n": each}, id=f"{each + 1}-0")
        client.zadd("ends", {"low": float("-inf"), "high": float("inf")})
        client.xgroup_create("stream3000", "group", id="0")
        client.xreadgroup("group", "consumer", {"stream3000": ">"}, count=50)
        redis_replication.run(client, "HEXPIRE", "hash3", "3600", "FIELDS", "1", "f1")
        client.function_load("#!lua name=ours\nserver.register_function('twice', function(k, a) return a[1] * 2 end)")
    with client_of(server, 5) as client:
        pipe = client.pipeline()
        for each in range(20_000):
            pipe.set(f"key:{each}", f"value {each}")
        pipe.execute()


def seen(server: ValkeyServer) -> dict[str, object]:
    """Everything in a server, as a client reads it."""
    found: dict[str, object] = {}
    readers: dict[bytes, Callable[[redis.Redis, bytes], Any]] = {
        b"string": lambda client, key: client.get(key),
        b"list": lambda client, key: client.lrange(key, 0, -1),
        b"set": lambda client, key: sorted(client.smembers(key)),
        b"zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
        b"hash": lambda client, key: (
            sorted(client.hgetall(key).items()),
            redis_replication.run(client, "HEXPIRETIME", key, "FIELDS", "1", "f1"),
        ),
        b"stream": lambda client, key: (client.xrange(key), client.xinfo_groups(key)),
    }
    for database in (0, 5):
        with client_of(server, database) as client:
            for key in client.scan_iter(count=1000):
                found[f"{database} {key!r}"] = (readers[client.type(key)](client, key), client.expiretime(key))
            found["functions"] = redis_replication.run(client, "FUNCTION", "LIST")
    return found


async def saved(source: RedisServer, store: ObjectFolder) -> tuple[Sequence[PartRecord], Fingerprint]:
    async with source.dumping(await source.inspect()) as dump:
        return [await store_part(part, store, FOLDER) for part in dump.parts], dump.fingerprint


async def put_back(target: RedisServer, records: Sequence[PartRecord], store: ObjectFolder) -> None:
    for record in records:
        async with reading_part(record, store) as stream:
            await target.restore(record.name, record.format, stream)


@pytest.mark.parametrize("diskless", ["yes", "no"])
async def test_what_is_destroyed_comes_back(start: Start, store: ObjectFolder, diskless: str) -> None:
    server = start(**{"repl-diskless-sync": diskless, "repl-diskless-sync-delay": "0"})
    fill(server)
    before = seen(server)
    source = place(server)
    found = await source.inspect()
    assert (found.server.partition(" ")[0], found.empty, found.tool) == ("Valkey", False, None)
    records, fingerprint = await saved(source, store)
    assert fingerprint.counts == {
        "db0/string": 5,
        "db0/list": 2,
        "db0/set": 4,
        "db0/zset": 3,
        "db0/hash": 2,
        "db0/stream": 2,
        "db5/string": 20_000,
    }
    await source.clear()
    redis_replication.run(client_of(server), "FUNCTION", "FLUSH")
    assert (await source.inspect()).empty
    await put_back(source, records, store)
    assert seen(server) == before
    assert await source.fingerprint(fingerprint) == fingerprint
    told: dict[str, Any] = client_of(server).info("replication")
    assert (told["role"], told["connected_slaves"]) == ("master", 0)
    assert client_of(server).config_get("masterauth") == {"masterauth": ""}


async def test_it_goes_into_another_server_as_well(start: Start, store: ObjectFolder) -> None:
    source, target = start(), start(masterauth="kept", masteruser="someone", appendonly="yes")
    fill(source)
    records, fingerprint = await saved(place(source), store)
    await put_back(place(target), records, store)
    assert seen(target) == seen(source)
    assert await place(target).fingerprint(fingerprint) == fingerprint
    assert client_of(target).config_get("master*") == {"masterauth": "kept", "masteruser": "someone"}
    client_of(target).delete("list3")
    client_of(target, 5).expire("key:7", 1000)
    found = (await place(target).fingerprint(fingerprint)).counts
    assert {key: (count, found[key]) for key, count in fingerprint.counts.items() if found[key] != count} == {
        "db0/list": (2, 1),
        "db5/string": (20_000, 19_999),
    }


async def test_a_server_that_writes_on_is_saved_as_of_one_moment(start: Start, store: ObjectFolder) -> None:
    source, target = start(), start()
    fill(source)
    done = threading.Event()

    def write() -> None:
        with client_of(source) as client:
            while not done.is_set():
                client.set(secrets.token_hex(8), "new")

    writing = asyncio.create_task(asyncio.to_thread(write))
    try:
        records, fingerprint = await saved(place(source), store)
    finally:
        done.set()
        await writing
    assert fingerprint.counts["db0/string"] > 5
    await put_back(place(target), records, store)
    assert await place(target).fingerprint(fingerprint) == fingerprint


async def test_a_target_that_holds_something_is_left_alone(start: Start, store: ObjectFolder) -> None:
    server = start()
    fill(server)
    records, fingerprint = await saved(place(server), store)
    with pytest.raises(TargetNotEmpty):
        await put_back(place(server), records, store)
    assert await place(server).fingerprint(fingerprint) == fingerprint


async def test_harmed_bytes_leave_the_target_empty_and_its_own_master(start: Start, store: ObjectFolder) -> None:
    source, target = start(), start()
    fill(source)
    records, _ = await saved(place(source), store)
    path = store.folder / records[0].key
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BackupDamaged):
        await put_back(place(target), records, store)
    assert (await place(target).inspect()).empty
    told: dict[str, Any] = client_of(target).info("replication")
    assert told["role"] == "master"


async def test_what_the_target_cannot_load_is_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_replication, "SETTLES", 2.0)
    target = place(start())
    with pytest.raises(RestoreFailed, match="did not load"):
        await target.restore("dump.rdb", "rdb", io.BytesIO(b"REDIS9999" + bytes(100)))
    assert (await target.inspect()).empty


async def test_wrong_credentials_and_rights_are_told(start: Start, store: ObjectFolder) -> None:
    server = start()
    client_of(server).set("a", "b")
    with pytest.raises(PlaceRefused, match="user and password") as raised:
        await place(server, "not-it").inspect()
    assert "not-it" not in raised.value.message
    redis_replication.run(
        client_of(server), "ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+info", "+client", "+select"
    )
    limited = RedisServer(name="sources.test", url=SecretStr(f"redis://reader:pw@127.0.0.1:{server.port}"))
    with pytest.raises(PlaceRefused, match="rights"):
        await saved(limited, store)
    redis_replication.run(client_of(server), "ACL", "SETUSER", "reader", "+sync", "+replconf")
    records, _ = await saved(limited, store)
    assert len(records) == 1


async def test_a_server_that_dies_leaves_no_backup(start: Start, store: ObjectFolder) -> None:
    server = start(**{"repl-diskless-sync-delay": "0", "rdb-key-save-delay": "2000"})
    fill(server)
    saving = asyncio.create_task(saved(place(server), store))
    await eventually(lambda: bool(client_of(server).info("persistence")["rdb_bgsave_in_progress"]))
    server.kill()
    with pytest.raises((PlaceUnavailable, DumpFailed)):
        await saving
    assert [file for file in store.folder.rglob("*") if file.is_file()] == []
    with pytest.raises(PlaceUnavailable):
        await place(server).inspect()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_snapshot_is_counted_in_whatever_chunks_it_comes(size: int) -> None:
    """Written by hand from the format: an expiring key, a number, a list, a set, a set of numbers with scores, and a module's."""
    body = (
        b"REDIS0011" + b"\xfa\x03ver\x057.2.4" + b"\xfe\x00" + b"\xfb\x04\x01" + b"\xfc" + bytes(8) + b"\x00\x01a\x01b"
        b"\x00\x01n\xc1\x00\x01" + b"\x01\x01l\x02\x01x\x40\x02yy" + b"\xfe\x03" + b"\xf8\x05\x03\x01z\x02\x01m\x031.5\x01k\xfe"
        b"\x02\x01s\x01\xc3\x03\x08abc"
        + b"\x07\x01j\x81\x00\x00\x00\x00\x00\x00\x00\x09\x02\x05\x04"
        + bytes(8)
        + b"\x05\x01q\x00"
    )
    whole = body + b"\xff" + b"checksum"
    snapshot = Snapshot()
    for start in range(0, len(whole), size):
        assert not snapshot.ends_well()
        snapshot.feed(whole[start : start + size])
    assert snapshot.ends_well()
    assert (snapshot.keys, snapshot.counts) == (
        6,
        {"db0/string": 1, "db0/list": 1, "db3/zset": 1, "db3/set": 1, "db3/other": 1},
    )
    snapshot.feed(b"more")
    assert not snapshot.ends_well()


def test_what_is_no_snapshot_and_what_is_unknown_are_noticed() -> None:
    wrong, newer = Snapshot(), Snapshot()
    wrong.feed(b"not an RDB at all")
    assert not wrong.ends_well()
    newer.feed(b"REDIS0099\xfe\x00\x00\x01a\x01b\x63\x01c\x01d")
    newer.feed(b"\xff" + bytes(8))
    assert (newer.ends_well(), newer.known, newer.counts) == (True, False, {})
