"""PostgreSQL: logins that work and do not, what a server tells of itself, and servers that take no sessions."""

import asyncio
import ssl
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from core.errors import ConfigurationInvalid
from deployments.postgres import EmbeddedPostgres
from tests.blocks.probes.looking import seen
from tests.certificates import Authority
from tests.databases import statement
from tests.waiting import eventually
from tests.wire import wire

SCHEME = "postgresql://"


def without_login(server: EmbeddedPostgres, database: str = "postgres") -> str:
    return f"{SCHEME}/{database}?host={quote(str(server.socket_dir))}&port=5432"


@pytest.fixture(scope="module")
def poor(postgres: EmbeddedPostgres) -> Iterator[tuple[str, str]]:
    """Name and password of a role without any rights."""
    statement(postgres, "CREATE ROLE poor LOGIN PASSWORD 'p@ss/word' CONNECTION LIMIT 3")
    yield "poor", "p@ss/word"
    statement(postgres, "DROP ROLE poor")


@contextmanager
def sessions(url: str, count: int, **more: Any) -> Iterator[list[psycopg.Connection[Any]]]:
    opened = [psycopg.connect(url, **more) for _ in range(count)]
    try:
        yield opened
    finally:
        for each in opened:
            each.close()


async def test_a_login_and_what_the_server_tells(postgres: EmbeddedPostgres) -> None:
    found = await seen("postgres", postgres.url())
    assert (found.state, found.code, found.message) == ("up", "ok", "")
    assert found.seconds is not None
    assert 0 < found.seconds < 5
    facts = dict(found.facts)
    assert str(facts.pop("version")).startswith("18.")
    assert (facts["role"], facts["connections_limit"]) == ("primary", 147)
    assert 1 <= int(facts["connections"]) <= 60
    assert "longest_query_seconds" in facts


async def test_a_login_beside_the_address(postgres: EmbeddedPostgres, poor: tuple[str, str]) -> None:
    user, password = poor
    found = await seen("postgres", without_login(postgres), username=user, password=password, longest_query=60)
    assert (found.state, found.code) == ("up", "ok")
    assert found.message == "Queries of others were not checked. Grant pg_monitor to the login to have its statistics checked."
    assert "connections_percent" in found.facts
    assert "longest_query_seconds" not in found.facts
    wrong = await seen("postgres", without_login(postgres), username=user, password="wr0ng")
    assert (wrong.state, wrong.code) == ("down", "login")
    assert wrong.message.endswith("refused the login: correct username and password.")


@pytest.mark.parametrize("user", ["", "postgres@"])
async def test_without_a_password_the_login_is_not_checked(postgres: EmbeddedPostgres, user: str) -> None:
    found = await seen("postgres", without_login(postgres).replace("///", f"//{user}/"))
    assert (found.state, found.code) == ("up", "ok")
    assert found.message == "The login was not checked: set username and password."
    assert found.facts == {"login": "not checked"}


async def test_a_database_that_is_not_there(postgres: EmbeddedPostgres) -> None:
    found = await seen("postgres", postgres.url("nowhere"))
    assert (found.state, found.code) == ("down", "database")
    assert "nowhere" not in found.message


async def test_an_encryption_that_the_server_has_not(postgres: EmbeddedPostgres) -> None:
    async with wire(postgres.socket_dir / ".s.PGSQL.5432") as (_, port):
        login = postgres.url().partition("@")[0]
        found = await seen("postgres", f"{login}@127.0.0.1:{port}/postgres?sslmode=require")
        assert (found.state, found.code) == ("down", "tls")
        plain = await seen("postgres", f"{login}@127.0.0.1:{port}/postgres")
        assert plain.state == "up"


@asynccontextmanager
async def encrypting(context: ssl.SSLContext) -> AsyncGenerator[int, None]:
    """A server that encrypts, unlike the embedded one, and then refuses the login; gives its port."""
    fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readexactly(8)
            writer.write(b"S")
            await writer.start_tls(context)
            await reader.read(1000)
            writer.write(b"E" + struct.pack("!I", len(fields) + 4) + fields)
            await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


async def test_certificates(authority: Authority) -> None:
    for name, login in (("localhost", "login"), ("elsewhere.example", "wrong_name")):
        async with encrypting(authority.serving(name)) as port:
            for query, ca_file, code in (
                ("", None, "login"),
                ("?sslmode=require", authority.file, "login"),  # encrypted is all that it asks for
                ("?sslmode=verify-full", None, "untrusted"),
                ("?sslmode=verify-ca", authority.file, "login"),
                ("?sslmode=verify-full", authority.file, login),
            ):
                found = await seen("postgres", f"{SCHEME}u:p@localhost:{port}/x{query}", ca_file=ca_file)
                assert (found.state, found.code) == ("down", code)


async def test_no_connection_left_for_a_role_and_on_the_server(postgres: EmbeddedPostgres, poor: tuple[str, str]) -> None:
    user, password = poor
    with sessions(without_login(postgres), 3, user=user, password=password):
        found = await seen("postgres", without_login(postgres), username=user, password=password)
    assert (found.state, found.code) == ("down", "connections")
    assert "pg_stat_activity" in found.message
    few = await seen("postgres", postgres.url(), warn=0.1)
    assert (few.state, few.code) == ("degraded", "connections")
    many = await seen("postgres", postgres.url(), warn=0.1, critical=0.2)
    assert (many.state, many.code) == ("down", "connections")
    assert "of 147 connections are in use" in many.message


async def test_a_query_that_runs_for_too_long(postgres: EmbeddedPostgres) -> None:
    async with await psycopg.AsyncConnection.connect(postgres.url(), autocommit=True) as connection:
        sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))

        async def is_told() -> bool:
            found = await seen("postgres", postgres.url(), longest_query=0.2)
            return (found.state, found.code) == ("degraded", "query") and "more than 0.2 s" in found.message

        await eventually(is_told, what="the long query is told of")
        assert (await seen("postgres", postgres.url(), longest_query=3600)).state == "up"
        await connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await sleeping


async def test_a_server_that_cannot_tell_how_it_is(postgres: EmbeddedPostgres) -> None:
    """The trivial query is answered, the others wait for a lock."""
    with sessions(postgres.url(), 1) as (locking,):
        locking.execute("LOCK TABLE pg_catalog.pg_stat_wal_receiver IN ACCESS EXCLUSIVE MODE")
        found = await seen("postgres", postgres.url(), timeout=1.5)
    assert (found.state, found.code) == ("degraded", "slow")
    assert found.seconds is not None


async def test_a_server_that_falls_silent(postgres: EmbeddedPostgres) -> None:
    async with wire(postgres.socket_dir / ".s.PGSQL.5432") as (carried, port):
        carried.silent = True
        login = postgres.url().partition("@")[0]
        for url in (f"{login}@127.0.0.1:{port}/postgres", f"{SCHEME}127.0.0.1:{port}"):
            found = await seen("postgres", url, timeout=0.4)
            assert (found.state, found.code) == ("down", "timeout")


@pytest.mark.parametrize("url", ["postgresql://host/x?no_such_parameter=1", "postgresql://host:port/x"])
async def test_an_address_that_cannot_be_used_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"services\.it\.url: expected an address such as postgresql://"):
        await seen("postgres", url)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[EmbeddedPostgres, EmbeddedPostgres, int]]:
    """A primary, its copy made a standby that does not run yet, and the port by which it finds the primary."""
    primary = EmbeddedPostgres(tmp_path / "primary").start()
    primary.stop()
    copying = await asyncio.create_subprocess_exec("cp", "-a", tmp_path / "primary", tmp_path / "standby")
    assert await copying.wait() == 0
    standby = EmbeddedPostgres(tmp_path / "standby")
    (standby.folder / "socket-dir").unlink(missing_ok=True)
    primary.start()
    async with wire(primary.socket_dir / ".s.PGSQL.5432") as (_, port):
        try:
            yield primary, standby, port
        finally:
            await asyncio.to_thread(standby.stop)
            await asyncio.to_thread(primary.stop)


async def test_a_standby_from_its_start_to_the_loss_of_its_primary(pair: tuple[EmbeddedPostgres, EmbeddedPostgres, int]) -> None:
    primary, standby, port = pair
    standby.prepare()
    password = primary.url().partition("@")[0].rpartition(":")[2]
    settings = standby.data / "postgresql.auto.conf"
    source = f"host=127.0.0.1 port={port} user=postgres password={password}"
    settings.write_text(f"primary_conninfo = '{source}'\nhot_standby = off\nwal_retrieve_retry_interval = 100\n")

    (standby.data / "standby.signal").touch()
    standby.spawn()

    async def is_starting() -> bool:
        return (await seen("postgres", standby.url())).code == "starting"

    await eventually(is_starting, what="a server that takes no sessions yet is told apart")
    assert (await seen("postgres", without_login(standby))).code == "starting"
    standby.stop()
    settings.write_text(settings.read_text().replace("off", "on"))
    standby.prepare()
    standby.spawn()

    async def follows() -> bool:
        statement(primary, "CREATE TABLE IF NOT EXISTS t ()")
        found = await seen("postgres", standby.url(), lag=30)
        return found.state == "up" and found.facts["role"] == "standby" and "lag_seconds" in found.facts

    await eventually(follows, 20, what="the standby follows")
    assert (await seen("postgres", primary.url())).facts["standbys"] == 1
    statement(standby, "SELECT pg_wal_replay_pause()")

    async def lags() -> bool:
        statement(primary, "CREATE TABLE IF NOT EXISTS u ()")
        found = await seen("postgres", standby.url(), lag=0.01)
        return (found.state, found.code) == ("degraded", "lag")

    await eventually(lags, what="the standby's lag is told of")
    statement(standby, "SELECT pg_wal_replay_resume()")
    await asyncio.to_thread(primary.stop)  # its last words go through the wire

    async def is_alone() -> bool:
        found = await seen("postgres", standby.url())
        return (found.state, found.code) == ("degraded", "replication")

    await eventually(is_alone, what="the loss of the primary is told of")
    assert (await seen("postgres", primary.url())).code == "refused"
