"""Reading a real PostgreSQL: what an answer looks like, what is refused, and that nothing a statement does outlives it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from blocks.postgres import PostgresDatabase
from core.databases import CELL
from core.errors import ConfigurationInvalid, DatabaseUnavailable, InputInvalid, PilothouseError, ToolFailed, ToolTimedOut
from core.settings_databases import ReadableSettings
from deployments.postgres import EmbeddedPostgres
from tests.blocks.attacks import NO_STATEMENTS, SEVERAL_STATEMENTS
from tests.databases import statement
from tests.waiting import eventually
from tests.wire import wire

PASSWORD = "s3cret-Word"
ROLES = ("reader", "writer", "spy", "deputy")
SHOP = (
    "GRANT ALL ON SCHEMA public TO writer",
    "CREATE TABLE orders (id int, region text, amount numeric(12, 2))",
    "INSERT INTO orders VALUES (1, '北京', 10.50), (2, 'south', 7)",
    "CREATE SEQUENCE numbers",
    "CREATE FUNCTION sneak() RETURNS int LANGUAGE sql AS 'DELETE FROM orders; SELECT 1'",
    """CREATE FUNCTION open_up() RETURNS int LANGUAGE plpgsql AS
    'BEGIN EXECUTE ''SET transaction_read_only = off''; DELETE FROM orders; RETURN 1; END'""",
    "CREATE PROCEDURE wipe() LANGUAGE sql AS 'DELETE FROM orders'",
    "ALTER TABLE orders OWNER TO writer",
    "ALTER SEQUENCE numbers OWNER TO writer",
    "GRANT SELECT ON orders TO reader, spy, deputy",
)
WRITES = (
    "INSERT INTO orders VALUES (3, 'x', 1)",
    "INSERT INTO orders VALUES (3, 'x', 1) RETURNING id",
    "UPDATE orders SET amount = 0",
    "DELETE FROM orders RETURNING *",
    "MERGE INTO orders USING (SELECT 1 AS id) AS other ON orders.id = other.id WHEN MATCHED THEN DELETE",
    "TRUNCATE orders",
    "DROP TABLE orders",
    "ALTER TABLE orders ADD COLUMN extra int",
    "CREATE TABLE taken AS SELECT 1",
    "CREATE TEMP TABLE taken (i int)",
    "SELECT * INTO taken FROM orders",
    "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone",
    "SELECT * FROM orders FOR UPDATE",
    "SELECT * FROM orders FOR KEY SHARE",
    "SELECT nextval('numbers')",
    "SELECT setval('numbers', 4711)",
    "SELECT sneak()",
    "SELECT open_up()",
    "SELECT lo_create(4711)",
    "SELECT lo_from_bytea(4711, 'x')",
    "SELECT query_to_xml('DELETE FROM orders RETURNING id', true, true, '')",
    "SELECT set_config('transaction_read_only', 'off', true), sneak()",
    "EXPLAIN ANALYZE DELETE FROM orders",
    "CALL wipe()",
    "DO $$ BEGIN DELETE FROM orders; END $$",
)
COMMANDS = (
    "COPY orders TO STDOUT",
    "COPY orders TO PROGRAM 'cat > /tmp/taken'",
    "COPY orders FROM '/etc/passwd'",
    "GRANT ALL ON orders TO PUBLIC",
    "LOCK TABLE orders",
    "VACUUM",
    "LISTEN channel",
    "NOTIFY channel",
    "SET statement_timeout = 0",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "SELECT set_config('role', 'postgres', false)",
    "SELECT set_config('session_authorization', 'postgres', false)",
    "RESET ALL",
    "DISCARD ALL",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT here",
    "PREPARE later AS DELETE FROM orders",
    "EXECUTE later",
    "DECLARE mine CURSOR FOR SELECT 1",
    "FETCH ALL FROM asked",
    "LOAD 'auto_explain'",
    "SHOW ALL",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT * FROM pg_authid",
    "SELECT $1",
)
OUT_OF_THE_BRACKETS = (
    "SELECT 1) AS answer; DELETE FROM orders; --",
    "SELECT 1) AS answer(c0) LIMIT 1; DELETE FROM orders; SELECT * FROM (SELECT 1",
    "SELECT 1) AS answer(c0) UNION ALL SELECT repeat('x', 100000000) FROM (SELECT 'x'",
    "SELECT 1) AS answer /*",
)
LONG = (
    "SELECT pg_sleep(60)",
    "SELECT set_config('statement_timeout', '0', false), pg_sleep(60)",
    "SELECT count(*) FROM generate_series(1, 1000000000)",
    "SELECT 1 WHERE (SELECT count(*) FROM pg_class a, pg_class b, pg_class c) > 0",
)


@pytest.fixture(scope="module")
def shop(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The superuser's address of a small database, of which ``writer`` owns everything."""
    statement(postgres, "CREATE DATABASE shop")
    for role in ROLES:
        statement(postgres, f"CREATE ROLE {role} LOGIN NOINHERIT PASSWORD '{PASSWORD}'")
    statement(postgres, "GRANT pg_read_server_files TO spy")
    statement(postgres, "GRANT postgres TO deputy")
    with psycopg.connect(postgres.url("shop"), autocommit=True) as connection:
        for text in SHOP:
            connection.execute(text.encode())
    yield postgres.url("shop")
    statement(postgres, "DROP DATABASE shop WITH (FORCE)")
    for role in ROLES:
        statement(postgres, f"DROP ROLE {role}")


def database(shop: str, role: str = "reader", **settings: Any) -> PostgresDatabase:
    url = SecretStr(f"postgresql://{role}:{PASSWORD}@{shop.split('@')[1]}")
    return PostgresDatabase.from_settings("shop", ReadableSettings(url=url, **settings))


def asked(shop: str, text: str) -> list[tuple[Any, ...]]:
    """What the superuser sees."""
    with psycopg.connect(shop, autocommit=True) as connection:
        return connection.execute(text.encode()).fetchall()


State = list[tuple[Any, ...]]


def state(shop: str) -> State:
    """Everything that a statement could have changed."""
    parts = (
        "(SELECT array_agg(orders::text ORDER BY id) FROM orders)",
        "(SELECT array_agg(relname || coalesce(relacl::text, '') ORDER BY oid) FROM pg_class)",
        "(SELECT (last_value, is_called)::text FROM numbers)",
        "(SELECT count(*) FROM pg_largeobject_metadata)",
        "(SELECT count(*) FROM pg_attribute)",
    )
    return asked(shop, f"SELECT {', '.join(parts)}")


@pytest.fixture(scope="module")
def untouched(shop: str) -> State:
    return state(shop)


def of_ours(shop: str) -> int:
    """Connections that queries of ours hold."""
    return int(asked(shop, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pilothouse query'")[0][0])


def socket_in(shop: str) -> Path:
    return Path(str(conninfo_to_dict(shop)["host"])) / ".s.PGSQL.5432"


def by_way_of(folder: Path, shop: str) -> str:
    return f"{shop.split('?', maxsplit=1)[0]}?host={folder}&port=5432"


async def test_an_answer_is_json(shop: str) -> None:
    values = {
        "1": 1,
        "9007199254740993": "9007199254740993",
        "1.50": 1.5,
        "100.00": 100,
        "12345678901234567890.12": "12345678901234567890.12",
        "'NaN'::float8": None,
        "'-Infinity'::numeric": None,
        "0.1::float4": 0.1,
        "true": True,
        "NULL": None,
        "'北京'": "北京",
        "'x'::char(3)": "x",
        r"'\x00ff'::bytea": "AP8=",
        "ARRAY[1, 2]": [1, 2],
        "ROW(1, 'x')": {"f1": 1, "f2": "x"},
        """'{"a": [1, 2.5, null]}'::jsonb""": {"a": [1, 2.5, None]},
        r"""'{"a": "\u0000"}'::json""": {"a": "\ufffd"},
        "'2024-02-29'::date": "2024-02-29",
        "'2024-02-29 12:00+08'::timestamptz": "2024-02-29T04:00:00+00:00",
        "'2024-02-29 12:00:00.5'::timestamp": "2024-02-29T12:00:00.5",
        "'12:30'::time": "12:30:00",
        "'1 day 2 hours'::interval": "P1DT2H",
        "'infinity'::date": "infinity",
        "int4range(1, 4)": "[1,4)",
        "'10.0.0.1'::inet": "10.0.0.1",
    }
    found = await database(shop).query(f"SELECT {', '.join(values)}, 'x' AS a, 'y' AS a")
    assert found.rows == [[*values.values(), "x", "y"]]
    assert list(found.columns[-2:]) == ["a", "a"]
    assert found.truncated is False


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM orders ORDER BY id",
        "  SELECT id FROM orders ORDER BY id ; ;\n",
        "-- which there are\nSELECT id FROM orders /* all; */ ORDER BY id -- in order",
        "(SELECT id FROM orders ORDER BY id)",
        "WITH them AS (SELECT id FROM orders) SELECT id FROM them ORDER BY id",
        "VALUES (1), (2)",
        "SELECT id FROM orders WHERE $$; DELETE FROM orders$$ <> '; -- %s' AND 100 % 7 = 2 ORDER BY id",
    ],
)
async def test_a_query_may_be_written_in_many_ways(shop: str, sql: str) -> None:
    assert (await database(shop).query(sql)).rows == [[1], [2]]


@pytest.mark.parametrize("sql", [*WRITES, *COMMANDS, *OUT_OF_THE_BRACKETS, *SEVERAL_STATEMENTS, *NO_STATEMENTS])
async def test_what_is_no_query_is_refused_and_changes_nothing(shop: str, untouched: State, sql: str) -> None:
    with pytest.raises((InputInvalid, ToolFailed)) as refused:
        await database(shop, "writer", seconds=2).query(sql)
    assert state(shop) == untouched
    assert PASSWORD not in refused.value.message
    assert await eventually(lambda: of_ours(shop) == 0, what="no connection left")


@pytest.mark.parametrize("sql", LONG)
async def test_a_long_query_is_ended_in_time(shop: str, sql: str) -> None:
    began = monotonic()
    with pytest.raises(ToolTimedOut, match=r"longer than 0\.5 s"):
        await database(shop, seconds=0.5).query(sql)
    assert monotonic() - began < 20
    assert await eventually(lambda: of_ours(shop) == 0, what="no connection left")


async def test_a_caller_who_leaves_ends_the_query(shop: str) -> None:
    task = asyncio.create_task(database(shop).query("SELECT pg_sleep(60)"))
    await eventually(lambda: of_ours(shop) == 1, what="a running query")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await eventually(lambda: of_ours(shop) == 0, what="no connection left")


@pytest.mark.parametrize(
    ("sql", "rows", "first"),
    [
        ("SELECT generate_series(1, 1000000000)", 500, 1),
        ("SELECT repeat('x', 50000000)", 1, "x" * CELL + "…"),
        ("SELECT repeat('x', 5000) FROM generate_series(1, 100000)", 199, "x" * 5000),
        ("SELECT array_agg(i) FROM generate_series(1, 1000000) AS i", 1, None),
        ("SELECT convert_to(repeat('x', 50000000), 'UTF8')", 1, None),
    ],
)
async def test_of_a_huge_answer_only_the_beginning_comes_over_the_wire(
    shop: str, tmp_path_factory: pytest.TempPathFactory, sql: str, rows: int, first: object
) -> None:
    folder = tmp_path_factory.mktemp("wire")
    async with wire(socket_in(shop), folder / ".s.PGSQL.5432") as (counted, _):
        found = await database(by_way_of(folder, shop)).query(sql)
    assert (len(found.rows), found.truncated) == (rows, True)
    assert first is None or found.rows[0][0] == first
    assert 0 < counted.received < 6_000_000


async def test_a_network_gone_silent_ends_the_query_all_the_same(shop: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, began = tmp_path_factory.mktemp("wire"), monotonic()
    async with wire(socket_in(shop), folder / ".s.PGSQL.5432") as (broken, _):
        through = database(by_way_of(folder, shop), seconds=1)
        task = asyncio.create_task(through.query("SELECT pg_sleep(0.5)"))
        await eventually(
            lambda: asked(shop, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), what="a running query"
        )
        broken.silent = True
        with pytest.raises(ToolTimedOut):
            await task
    assert monotonic() - began < 10


async def test_nothing_that_a_statement_sets_or_locks_outlives_it(shop: str) -> None:
    reading = database(shop)
    await reading.query("SELECT set_config('work_mem', '1MB', false), pg_advisory_lock(7), pg_notify('channel', 'x')")
    assert (await reading.query("SELECT current_setting('work_mem'), pg_try_advisory_lock(7)")).rows == [["4MB", True]]


async def test_several_ask_at_a_time(shop: str) -> None:
    reading = database(shop)
    found = await asyncio.gather(*(reading.query(f"SELECT {n}, pg_sleep(0.1)") for n in range(10)))
    assert [one.rows[0][0] for one in found] == list(range(10))


@pytest.mark.parametrize(("role", "power"), [("postgres", "postgres"), ("spy", "pg_read_server_files"), ("deputy", "postgres")])
async def test_a_login_with_power_over_the_server_is_refused(shop: str, role: str, power: str) -> None:
    reading = database(shop, role)
    if role == "postgres":
        reading = PostgresDatabase(name="shop", url=SecretStr(shop))
    with pytest.raises(ToolFailed, match=rf"rights of {power}.*CREATE ROLE reader"):
        await reading.query("SELECT 1")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT amout FROM orders", 'column "amout" does not exist. Perhaps you meant .*orders.amount'),
        ("SELECT * FROM order_lines", 'relation "order_lines" does not exist. The tables are: orders.'),
        ("SELECT * FROM orders WHER id = 1", 'syntax error at or near "id".*information_schema.columns'),
        ("SELECT 1 / 0", "division by zero"),
        ("SELECT FROM orders", "selects no column"),
    ],
)
async def test_a_wrong_statement_is_told_in_the_servers_words(shop: str, sql: str, said: str) -> None:
    with pytest.raises(InputInvalid, match=said) as refused:
        await database(shop).query(sql)
    assert refused.value.field == "sql"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ((PASSWORD, "wrong-Word"), ToolFailed),
        (("reader", "nobody"), ToolFailed),
        (("/shop?", "/other?"), ToolFailed),
        (("port=5432", "port=5433"), DatabaseUnavailable),
    ],
)
async def test_why_there_is_no_connection_is_told_without_the_address(
    shop: str, change: tuple[str, str], kind: type[PilothouseError]
) -> None:
    url = database(shop).url.get_secret_value()
    assert change[0] in url
    with pytest.raises(kind, match=r"databases\.shop\.url") as refused:
        await PostgresDatabase(name="shop", url=SecretStr(url.replace(*change))).query("SELECT 1")
    for hidden in (PASSWORD, "wrong-Word", "reader", "nobody", "pg_hba", "sock"):
        assert hidden not in refused.value.message
    assert refused.value.permanent is (kind is ToolFailed)


async def test_a_server_killed_in_the_middle_is_told_as_away(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("killed")).start()
    try:
        statement(server, f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
        reading = database(server.url())
        task = asyncio.create_task(reading.query("SELECT pg_sleep(60)"))
        await eventually(lambda: of_ours(server.url()) == 1, what="a running query")
        assert server.process is not None
        server.process.kill()
        with pytest.raises(DatabaseUnavailable, match="broke off"):
            await task
        with pytest.raises(DatabaseUnavailable, match="does not answer"):
            await reading.query("SELECT 1")
    finally:
        server.stop()


def test_a_parameter_that_libpq_does_not_know_is_refused_at_once() -> None:
    settings = ReadableSettings(url=SecretStr("postgresql://u:hidden@h/db?sslmod=require"))
    with pytest.raises(ConfigurationInvalid, match=r"databases\.shop\.url") as refused:
        PostgresDatabase.from_settings("shop", settings)
    assert "hidden" not in refused.value.message
