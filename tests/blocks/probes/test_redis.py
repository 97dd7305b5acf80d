"""Redis and Valkey, on a real Valkey: logins, memory, saving, replication, connections, loading."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from core.errors import ConfigurationInvalid
from tests.blocks.probes.looking import seen
from tests.valkey import ValkeyServer
from tests.waiting import eventually
from tests.wire import wire

PASSWORD = "p@ss/word"
LOGIN = "redis://:p%40ss%2Fword@127.0.0.1"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A server with a password and 10 MB; a user who may PING alone, and one who may not even do that."""
    server = ValkeyServer(Path(tmp_path_factory.mktemp("valkey")), requirepass=PASSWORD, maxmemory="10mb").start()
    with redis.Redis(port=server.port, password=PASSWORD) as client:
        for user, right in (("poor", "+ping"), ("poorer", "+get")):
            client.execute_command("ACL", "SETUSER", user, "on", f">{PASSWORD}", right)
    yield server
    server.kill()


def client_of(server: ValkeyServer) -> redis.Redis:
    return redis.Redis(port=server.port, password=PASSWORD)


def url_of(server: ValkeyServer) -> str:
    return f"{LOGIN}:{server.port}"


async def test_a_server_without_a_password(valkey_url: str) -> None:
    found = await seen("redis", valkey_url.replace("redis:", "valkey:"))
    assert (found.state, found.code, found.message) == ("up", "ok", "")
    assert found.seconds is not None
    assert found.facts["role"] == "master"
    assert str(found.facts["version"]).startswith("valkey ")
    assert "memory_percent" not in found.facts  # there is no limit
    given = await seen("redis", valkey_url, password=PASSWORD)
    assert (given.state, given.code) == ("down", "login")
    assert "has no password, but one is configured" in given.message
    assert (await seen("redis", valkey_url.replace("/0", "/99"))).code == "database"


async def test_logins(locked: ValkeyServer) -> None:
    address = locked.url
    assert (await seen("redis", url_of(locked))).state == "up"
    assert (await seen("redis", address, password=PASSWORD)).state == "up"
    none = await seen("redis", address)
    assert (none.state, none.facts) == ("up", {"login": "not checked"})
    assert none.message == "The login was not checked: set username and password."
    for user in ("poor", "nobody"):
        wrong = await seen("redis", address, username=user, password="wr0ng")
        assert (wrong.state, wrong.code) == ("down", "login")
    poor = await seen("redis", address, username="poor", password=PASSWORD)
    assert (poor.state, poor.message) == ("up", "It does not tell how it is: grant +info to the login (ACL SETUSER).")
    poorer = await seen("redis", address, username="poorer", password=PASSWORD)
    assert (poorer.state, poorer.code) == ("down", "login")
    assert "+ping" in poorer.message


async def test_memory_counts_unless_the_server_evicts_any_key(locked: ValkeyServer) -> None:
    with client_of(locked) as client:
        used = int(client.info("memory")["used_memory"])
        try:
            client.config_set("maxmemory", int(used / 0.87))
            full = await seen("redis", url_of(locked))
            assert (full.state, full.code) == ("degraded", "memory")
            assert "the policy is noeviction" in full.message
            client.config_set("maxmemory", used // 2)
            fuller = await seen("redis", url_of(locked))
            assert (fuller.state, fuller.code) == ("down", "memory")
            client.config_set("maxmemory-policy", "allkeys-lru")
            assert (await seen("redis", url_of(locked))).state == "up"
            assert (await seen("redis", url_of(locked), warn=50)).code == "memory"  # unless it is asked for
        finally:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "10mb")


async def test_a_replica_without_its_master(locked: ValkeyServer) -> None:
    with client_of(locked) as client:
        client.replicaof("127.0.0.1", "1")
        try:
            found = await seen("redis", url_of(locked))
            assert (found.state, found.code, found.facts["role"]) == ("degraded", "replication", "slave")
            client.config_set("replica-serve-stale-data", "no")
            assert (await seen("redis", url_of(locked))).code == "replication"
        finally:
            client.config_set("replica-serve-stale-data", "yes")
            client.replicaof("NO", "ONE")


async def test_a_snapshot_that_failed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    server = ValkeyServer(folder, **{"enable-debug-command": "local"}).start()
    try:
        folder.rename(tmp_path / "moved")
        (tmp_path / "moved" / "dump.rdb").mkdir()  # where no file can be put
        with redis.Redis(port=server.port) as client:
            client.set("key", "value")
            client.bgsave()

            async def is_told() -> bool:
                found = await seen("redis", server.url)
                return (found.state, found.code) == ("degraded", "save")

            await eventually(is_told, what="the failed snapshot is told of")
    finally:
        server.kill()


async def test_no_connection_left(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path, maxclients="10").start()
    try:
        with redis.Redis(port=server.port) as client:
            opened = [client.connection_pool.make_connection() for _ in range(10)]
            for each in opened[:8]:
                each.connect()
            few = await seen("redis", server.url)
            assert (few.state, few.code) == ("degraded", "connections")
            for each in opened[8:]:
                each.connect()
            none = await seen("redis", server.url)
            assert (none.state, none.code) == ("down", "connections")
            assert "maxclients" in none.message
            for each in opened:
                each.disconnect()
    finally:
        server.kill()


async def test_a_server_that_loads_its_data(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path, **{"enable-debug-command": "local"}).start()
    try:
        with redis.Redis(port=server.port) as client:
            client.execute_command("DEBUG", "POPULATE", "20000")
            client.save()
            client.config_set("key-load-delay", "1000")
            client.config_set("loading-process-events-interval-bytes", "1024")
            loading = client.connection_pool.make_connection()
            loading.connect()
            loading.send_command("DEBUG", "RELOAD", "NOSAVE")

            async def is_told() -> bool:
                return (await seen("redis", server.url)).code == "starting"

            await eventually(is_told, what="a server that loads is told apart")
            loading.disconnect()
    finally:
        server.kill()


async def test_a_server_that_falls_silent_or_is_gone(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path).start()
    try:
        async with wire(server.port) as (carried, port):
            address = f"redis://127.0.0.1:{port}"
            assert (await seen("redis", address)).state == "up"
            carried.silent = True
            silent = await seen("redis", address, timeout=0.4)
            assert (silent.state, silent.code) == ("down", "timeout")
    finally:
        server.kill()
    assert (await seen("redis", server.url)).code == "refused"


@pytest.mark.parametrize("url", ["redis://", "redis://host:port"])
async def test_an_address_that_cannot_be_used_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"services\.it\.url: expected an address such as redis://"):
        await seen("redis", url)
