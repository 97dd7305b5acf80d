"""MongoDB: logins, replica sets and connections on a stand-in that says what a test wants; and one that keeps documents."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from core.errors import ConfigurationInvalid
from tests.blocks.probes.looking import seen
from tests.blocks.probes.mongo_stand_in import PASSWORD, USER, mongo_stand_in, threads_ended
from tests.mongo_server import MongoStandIn
from tests.waiting import eventually
from tests.wire import wire

LOGIN: dict[str, Any] = {"username": USER, "password": PASSWORD}
SET = {"setName": "rs0", "hosts": ["mongo-1:27017"], "me": "mongo-1:27017"}


async def test_a_login_in_the_address_and_beside_it() -> None:
    async with mongo_stand_in() as state:
        named = f"mongodb://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{state.port}/shop?authSource=admin"
        for found in (await seen("mongo", named), await seen("mongo", f"{state.url}/shop", **LOGIN)):
            assert (found.state, found.code, found.message) == ("up", "ok", "")
            assert found.seconds is not None
            assert (found.facts["version"], found.facts["role"]) == ("7.0.14", "standalone")
        assert state.logins == 2
        none = await seen("mongo", state.url)
        assert (none.state, none.message) == ("up", "The login was not checked: set username and password.")
        assert state.logins == 2
        logins: list[dict[str, Any]] = [{"username": USER, "password": "wr0ng"}, {"username": "nobody", "password": PASSWORD}]
        for login in logins:
            wrong = await seen("mongo", state.url, **login)
            assert (wrong.state, wrong.code) == ("down", "login")
            assert "authSource" in wrong.message


async def test_connections_in_use() -> None:
    async with mongo_stand_in() as state:
        assert (await seen("mongo", state.url, **LOGIN)).facts["connections_percent"] == 5
        for current, expected in ((80, "degraded"), (95, "down")):
            state.connections = {"current": current, "available": 100 - current}
            found = await seen("mongo", state.url, **LOGIN)
            assert (found.state, found.code) == (expected, "connections")
        assert "95 of 100 connections are in use" in found.message
        state.refused = {"serverStatus": 13}
        assert (await seen("mongo", state.url, **LOGIN)).message == ""
        asked = await seen("mongo", state.url, warn=50, **LOGIN)
        assert (asked.state, asked.message) == ("up", "Connections were not checked: grant clusterMonitor to the login.")


async def test_members_of_a_replica_set() -> None:
    """The server is looked at where the address says, not where its members call themselves: they may be in another network."""
    async with mongo_stand_in() as state:
        state.hello = {"isWritablePrimary": True, "primary": "mongo-1:27017", **SET}
        primary = await seen("mongo", f"{state.url}/?replicaSet=rs0", **LOGIN)
        assert (primary.state, primary.facts["role"], primary.facts["replica_set"]) == ("up", "primary", "rs0")
        state.hello = {"secondary": True, "primary": "mongo-2:27017", **SET}
        assert (await seen("mongo", state.url, **LOGIN)).facts["role"] == "secondary"
        state.hello = {"secondary": True, **SET}
        lost = await seen("mongo", state.url, **LOGIN)
        assert (lost.state, lost.code) == ("degraded", "no_primary")
        state.hello = dict(SET)
        other = await seen("mongo", state.url, **LOGIN)
        assert (other.state, other.code) == ("degraded", "replica_set")
        state.hello = {"isreplicaset": True}
        never = await seen("mongo", state.url, **LOGIN)
        assert (never.state, never.code) == ("down", "replica_set")
        assert "rs.initiate()" in never.message
        wrong = await seen("mongo", f"{state.url}/?replicaSet=another", timeout=1.5, **LOGIN)
        assert (wrong.state, wrong.code) == ("down", "replica_set")


@pytest.mark.parametrize(("number", "code"), [(13, "login"), (11600, "starting"), (59, "refused")])
async def test_what_a_server_refuses(number: int, code: str) -> None:
    async with mongo_stand_in() as state:
        state.refused = {"ping": number}
        found = await seen("mongo", state.url, **LOGIN)
    assert (found.state, found.code) == ("down", code)


async def test_a_server_that_falls_silent_or_wants_another_protocol() -> None:
    async with mongo_stand_in() as state, wire(state.port) as (carried, port):
        encrypted = await seen("mongo", f"{state.url}/?tls=true", timeout=16)
        assert (encrypted.state, encrypted.code) == ("down", "tls")
        assert (await seen("mongo", f"mongodb://127.0.0.1:{port}")).state == "up"
        carried.silent = True
        found = await seen("mongo", f"mongodb://127.0.0.1:{port}", timeout=1)
        await threads_ended()
    assert (found.state, found.code) == ("down", "timeout")


async def test_a_server_that_keeps_documents(tmp_path: Path) -> None:
    server = MongoStandIn(tmp_path)
    await eventually(server.answers)
    try:
        assert (await seen("mongo", server.url)).state == "up"
    finally:
        server.kill()
    assert (await seen("mongo", server.url)).code == "refused"


@pytest.mark.parametrize("url", ["mongodb://", "mongodb://user:p@ss:word@host", "mongodb://host:port"])
async def test_an_address_that_cannot_be_used_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"services\.it\.url: expected an address such as mongodb://") as raised:
        await seen("mongo", url)
    assert "word" not in raised.value.message
