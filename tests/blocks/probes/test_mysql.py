"""MySQL and MariaDB, on a real MariaDB: logins, connections in use, long queries, a replica, a server that falls silent."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from urllib.parse import quote

import pymysql
import pytest
from pymysql.connections import Connection

from core.errors import ConfigurationInvalid
from tests.blocks.probes.looking import seen
from tests.blocks.probes.mongo_stand_in import threads_ended
from tests.mariadb import PASSWORD, MariaDBServer
from tests.waiting import eventually
from tests.wire import wire


def url_of(server: MariaDBServer, user: str = "root", password: str = PASSWORD, port: int = 0) -> str:
    return f"mysql://{user}:{quote(password, safe='')}@127.0.0.1:{port or server.port}"


@pytest.fixture(scope="module")
def poor(mariadb: MariaDBServer) -> Iterator[str]:
    """A user without any rights, who may have two connections."""
    mariadb.run(f"CREATE USER poor@'%' IDENTIFIED BY '{PASSWORD}' WITH MAX_USER_CONNECTIONS 2")
    yield "poor"
    mariadb.run("DROP USER poor@'%'")


@contextmanager
def sessions(server: MariaDBServer, user: str, count: int) -> "Iterator[list[Connection[pymysql.cursors.Cursor]]]":
    opened = [
        pymysql.connect(host="127.0.0.1", port=server.port, user=user, password=PASSWORD, ssl_disabled=True) for _ in range(count)
    ]
    try:
        yield opened
    finally:
        for each in opened:
            each.close()


@pytest.mark.parametrize("scheme", ["mysql://", "mariadb://", "mysql+pymysql://"])
async def test_a_login_and_what_the_server_tells(mariadb: MariaDBServer, scheme: str) -> None:
    found = await seen("mysql", url_of(mariadb).replace("mysql://", scheme) + "/?charset=utf8mb4")
    assert (found.state, found.code, found.message) == ("up", "ok", "")
    assert found.seconds is not None
    assert (found.facts["role"], found.facts["connections_limit"]) == ("source", 151)
    assert "MariaDB" in str(found.facts["version"])
    assert "longest_query_seconds" in found.facts


async def test_logins_that_are_wrong_or_missing(mariadb: MariaDBServer, poor: str) -> None:
    address = f"mysql://127.0.0.1:{mariadb.port}"
    for user in (None, poor):
        none = await seen("mysql", address, username=user)
        assert (none.state, none.facts) == ("up", {"login": "not checked"})
        assert none.message == "The login was not checked: set username and password."
    wrong = await seen("mysql", address, username=poor, password="wr0ng")
    assert (wrong.state, wrong.code) == ("down", "login")
    right = await seen("mysql", address, username=poor, password=PASSWORD, longest_query=1)
    assert (right.state, right.message) == ("up", "Queries of others were not checked: grant PROCESS to the login.")
    assert right.facts["connections_limit"] == 151
    for database in ("/nowhere", "/mysql"):
        denied = await seen("mysql", url_of(mariadb, poor) + database)
        assert (denied.state, denied.code) == ("down", "database")


@pytest.mark.parametrize("mode", ["REQUIRED", "verify-ca"])
async def test_an_encryption_that_the_server_has_not(mariadb: MariaDBServer, mode: str) -> None:
    found = await seen("mysql", f"{url_of(mariadb)}/?ssl-mode={mode}")
    assert (found.state, found.code) == ("down", "tls")


async def test_connections_in_use_and_none_left(mariadb: MariaDBServer, poor: str) -> None:
    few = await seen("mysql", url_of(mariadb), warn=0.1)
    assert (few.state, few.code) == ("degraded", "connections")
    with sessions(mariadb, poor, 2):
        full = await seen("mysql", url_of(mariadb, poor))
    assert (full.state, full.code) == ("down", "connections")
    await eventually(lambda: mariadb.run("SHOW STATUS LIKE 'Threads_connected'")[0][1] == "1", what="earlier sessions are gone")
    mariadb.run(f"ALTER USER {poor}@'%' WITH MAX_USER_CONNECTIONS 0")
    with sessions(mariadb, "root", 1) as (held,):  # what resets the limit needs no connection of its own
        held.query("SET GLOBAL max_connections = 10")
        try:
            with sessions(mariadb, poor, 9):
                none = await seen("mysql", url_of(mariadb, poor))
                assert (none.state, none.code) == ("down", "connections")
                assert "SHOW PROCESSLIST" in none.message
                root = await seen("mysql", url_of(mariadb))  # there is one more for root
                assert (root.state, root.code) == ("down", "connections")
                assert "11 of 10 connections are in use" in root.message
        finally:
            held.query("SET GLOBAL max_connections = 151")


async def test_a_query_that_runs_for_too_long(mariadb: MariaDBServer) -> None:
    with sessions(mariadb, "root", 1) as (sleeping,):

        def sleep() -> None:
            with suppress(pymysql.err.OperationalError):  # interrupted, at the end
                sleeping.query("SELECT SLEEP(60)")

        thread = Thread(target=sleep, daemon=True)
        thread.start()

        async def is_told() -> bool:
            found = await seen("mysql", url_of(mariadb), longest_query=0.5)
            return (found.state, found.code) == ("degraded", "query") and "more than 0.5 s" in found.message

        await eventually(is_told, what="the long query is told of")
        assert (await seen("mysql", url_of(mariadb), longest_query=3600)).state == "up"
        mariadb.run(f"KILL QUERY {sleeping.thread_id()}")  # type: ignore[no-untyped-call]
        thread.join(10)


async def test_a_replica_that_does_not_reach_its_source(mariadb: MariaDBServer) -> None:
    mariadb.run("CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1, MASTER_USER = 'x'", "START SLAVE")
    try:
        found = await seen("mysql", url_of(mariadb), lag=5)
        assert (found.state, found.code, found.facts["role"]) == ("degraded", "replication", "replica")
        assert found.message.startswith("The replica's IO thread stands still")
        mariadb.run("STOP SLAVE")
        assert "IO and SQL thread" in (await seen("mysql", url_of(mariadb))).message
    finally:
        mariadb.run("STOP SLAVE", "RESET SLAVE ALL")


async def test_a_server_that_falls_silent(mariadb: MariaDBServer) -> None:
    async with wire(mariadb.port) as (carried, port):
        assert (await seen("mysql", url_of(mariadb, port=port))).state == "up"
        carried.silent = True
        found = await seen("mysql", url_of(mariadb, port=port), timeout=0.4)
        await threads_ended()
    assert (found.state, found.code) == ("down", "timeout")


@pytest.mark.parametrize("url", ["mysql://", "mysql://host:port/x", "mysql://host/x?ssl-mode=SOMETIMES"])
async def test_an_address_that_cannot_be_used_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"services\.it\.url: expected an address such as mysql://"):
        await seen("mysql", url)
