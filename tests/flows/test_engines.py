"""MariaDB, Valkey and a bucket through the flows: filled, backed up, drilled, destroyed, restored, and the same again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
from prefect.client.schemas.objects import State

from blocks import throwaway_servers
from flows.backups import backup
from flows.drilling import drill
from flows.restoring import restore
from tests.children import children
from tests.flows.saved import Stage
from tests.mariadb import PASSWORD, MariaDBServer
from tests.s3 import S3Server
from tests.valkey import ValkeyServer

WORD = "said-to-nobody"
SHOP = (
    "DROP DATABASE IF EXISTS engine_shop",
    "CREATE DATABASE engine_shop CHARACTER SET utf8mb4",
    "CREATE TABLE engine_shop.orders (id int PRIMARY KEY, name varchar(90), raw varbinary(90))",
    "INSERT INTO engine_shop.orders SELECT seq, concat('订单 ', seq), unhex(md5(seq)) FROM engine_shop.seq_1_to_3000",
    "CREATE VIEW engine_shop.few AS SELECT * FROM engine_shop.orders WHERE id < 10",
)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """With a password, and without the five seconds that it waits for further replicas."""
    server = ValkeyServer(tmp_path, **{"repl-diskless-sync-delay": "0"}).start()
    with redis.Redis(port=server.port) as client:
        client.config_set("requirepass", WORD)
    yield server
    server.kill()


async def drilled(name: str) -> tuple[str, dict[str, Any]]:
    """The run's last state, and its result where it did not fail."""
    state: State[Any] = await drill(name, return_state=True)
    return state.name or "", {} if state.is_failed() else await state.aresult()


async def test_a_mariadb_comes_back(stage: Stage, mariadb: MariaDBServer) -> None:
    mariadb.run(*SHOP)
    url = f"mysql://root:{quote(PASSWORD, safe='')}@127.0.0.1:{mariadb.port}/engine_shop"
    stage.configure(f"[sources.shop]\nurl = '{url}'\n")
    everything = "SELECT id, name, raw FROM engine_shop.orders ORDER BY id"
    before, view = mariadb.run(everything), mariadb.run("SELECT count(*) FROM engine_shop.few")
    (made,) = (await backup("shop"))["backups"]
    mariadb.run("DROP TABLE engine_shop.orders", "CREATE TABLE engine_shop.later (id int)")
    result = await restore(made["id"], "shop", replace=True, confirm="shop")
    assert (result["result"], result["rows"]) == ("good", 3000)
    assert (mariadb.run(everything), mariadb.run("SELECT count(*) FROM engine_shop.few")) == (before, view)
    assert mariadb.run("SHOW TABLES FROM engine_shop LIKE 'later'") == []
    assert (await drilled("shop"))[1]["result"] == "good"
    mariadb.run("DROP DATABASE engine_shop")


def held(client: "redis.Redis") -> dict[str, Any]:
    """Every key of both databases, as the server dumps it, and when it ends."""
    found = {}
    for database in (0, 3):
        client.execute_command("SELECT", database)  # type: ignore[no-untyped-call]
        for key in client.keys("*"):
            found[f"{database}/{key!r}"] = (client.dump(key), client.execute_command("PEXPIRETIME", key))  # type: ignore[no-untyped-call]
    return found


async def test_a_valkey_comes_back_and_is_drilled_on_a_server_of_its_own(stage: Stage, valkey: ValkeyServer) -> None:
    with redis.Redis(port=valkey.port, password=WORD, single_connection_client=True) as client:
        client.mset({f"k{number}": "v" * number for number in range(500)})
        client.rpush("list", *range(50))
        client.hset("hash", mapping={"a": "1", "b": "二"})
        client.set("ends", "1", ex=10_000)
        client.execute_command("SELECT", 3)
        client.zadd("ranks", {"x": 1.5, "y": 2})
        before = held(client)
        assert len(before) == 504
        stage.configure(f"[sources.cache]\nurl = 'redis://:{WORD}@127.0.0.1:{valkey.port}'\n")
        (made,) = (await backup("cache"))["backups"]
        client.flushall()
        client.set("later", "1")
        state, told = await drilled("cache")
        assert (state, told["result"], told["rows"]) == ("Completed", "good", 503), told
        assert client.keys("*") == [b"later"], "a drill leaves the source alone"
        result = await restore(made["id"], "cache", replace=True, confirm="cache")
        assert (result["result"], held(client)) == ("good", before)
    assert not list((stage.folder / "data" / "drills").iterdir())
    assert children(throwaway_servers.VALKEY) == []


async def test_a_bucket_comes_back_and_is_drilled_under_another_prefix(stage: Stage, s3: S3Server) -> None:
    bucket, client = s3.bucket(), s3.client()
    objects = {f"files/{number}.bin": bytes([number]) * number * 100 for number in range(1, 60)} | {"图/a b+c.txt": "茶".encode()}
    for key, body in objects.items():
        client.put_object(Bucket=bucket, Key=key, Body=body, ContentType="text/x-test", Metadata={"of": "test"})
    keys = f"endpoint = '{s3.url}'\naccess_key = '{s3.user}'\nsecret_key = '{s3.password}'\n"
    stage.configure(f"[sources.objects]\nbucket = '{bucket}'\n{keys}")

    def there() -> dict[str, tuple[bytes, str, str]]:
        found = {}
        for one in client.list_objects_v2(Bucket=bucket).get("Contents", []):
            if one["Key"].endswith("/"):  # this server keeps folders that have become empty
                continue
            answer = client.get_object(Bucket=bucket, Key=one["Key"])
            found[one["Key"]] = (answer["Body"].read(), answer["ContentType"], answer["Metadata"].get("of", ""))
        return found

    before = await asyncio.to_thread(there)
    assert {key: found[0] for key, found in before.items()} == objects
    (made,) = (await backup("objects"))["backups"]
    state, told = await drilled("objects")
    assert (state, told["result"], told["rows"]) == ("Completed", "good", 60), told
    assert await asyncio.to_thread(there) == before, "nothing of the drill stays"
    client.delete_object(Bucket=bucket, Key="图/a b+c.txt")
    client.put_object(Bucket=bucket, Key="files/1.bin", Body=b"other")
    client.put_object(Bucket=bucket, Key="later", Body=b"x")
    result = await restore(made["id"], "objects", replace=True, confirm="objects")
    assert (result["result"], await asyncio.to_thread(there)) == ("good", before)


async def test_where_nothing_can_be_made_for_a_while_the_result_says_so(
    stage: Stage, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.configure(f"[sources.cache]\nurl = 'redis://:{WORD}@127.0.0.1:{valkey.port}'\n")
    await backup("cache")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(throwaway_servers, "find_spec", lambda _name: None)
    state, told = await drilled("cache")
    assert (state, told["result"]) == ("NothingToDrill", "no_target")
    assert "name a target as the source's drill_target" in told["message"]
