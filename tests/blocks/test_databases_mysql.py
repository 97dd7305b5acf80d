"""Reading a real MariaDB: what an answer looks like, what is refused, and that nothing a statement does outlives it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from blocks.mysql import MySQLDatabase
from blocks.mysql_session import Place
from core.databases import CELL
from core.errors import DatabaseUnavailable, InputInvalid, PilothouseError, ToolFailed, ToolTimedOut
from core.settings_databases import ReadableSettings
from tests.blocks.attacks import NO_STATEMENTS, SEVERAL_STATEMENTS
from tests.mariadb import PASSWORD, MariaDBServer
from tests.waiting import eventually
from tests.wire import wire

SHOP = (
    "CREATE DATABASE shop CHARACTER SET utf8mb4",
    "USE shop",
    "CREATE TABLE orders (id int, region varchar(20), amount decimal(12, 2))",
    "INSERT INTO orders VALUES (1, '北京', 10.50), (2, 'south', 7)",
    "CREATE TABLE notes (note text) ENGINE=MyISAM",
    "CREATE SEQUENCE numbers",
    "CREATE FUNCTION sneak() RETURNS int MODIFIES SQL DATA BEGIN DELETE FROM orders; RETURN 1; END",
    "CREATE PROCEDURE wipe() BEGIN COMMIT; DELETE FROM orders; COMMIT; END",
    "CREATE USER reader IDENTIFIED BY '{password}'",
    "CREATE USER writer IDENTIFIED BY '{password}'",
    "CREATE USER spy IDENTIFIED BY '{password}'",
    "CREATE USER master IDENTIFIED BY '{password}'",
    "GRANT SELECT ON shop.* TO reader",
    "GRANT ALL ON shop.* TO writer",
    "GRANT SELECT, FILE ON *.* TO spy",
    "GRANT ALL ON *.* TO master",
)
WRITES = (
    "INSERT INTO orders VALUES (3, 'x', 1)",
    "INSERT INTO orders VALUES (3, 'x', 1) RETURNING id",
    "INSERT INTO notes VALUES ('x')",
    "REPLACE INTO orders VALUES (3, 'x', 1)",
    "UPDATE orders SET amount = 0",
    "DELETE FROM orders",
    "WITH them AS (SELECT 1) DELETE FROM orders",
    "TRUNCATE orders",
    "DROP TABLE orders",
    "ALTER TABLE orders ADD COLUMN extra int",
    "CREATE TABLE taken AS SELECT 1",
    "CREATE TEMPORARY TABLE taken (i int)",
    "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE notes",
    "SELECT * FROM orders INTO OUTFILE '/tmp/pilothouse-taken'",
    "SELECT * INTO @taken FROM orders LIMIT 1",
    "SELECT 1) AS a UNION SELECT 2 INTO OUTFILE '/tmp/pilothouse-taken' FROM (SELECT 3",
    "SELECT sneak()",
    "SHOW TABLES WHERE sneak() = 1",
    "SELECT nextval(numbers)",
    "SELECT setval(numbers, 4711)",
    "CALL wipe()",
    "BEGIN NOT ATOMIC DELETE FROM orders; COMMIT; END",
    "EXECUTE IMMEDIATE 'DELETE FROM orders'",
    "SET STATEMENT max_statement_time = 0 FOR DELETE FROM orders",
    "EXPLAIN DELETE FROM orders",
    "ANALYZE DELETE FROM orders",
    "DESCRIBE DELETE FROM orders",
    "SHOW TABLES; DELETE FROM orders",
    "DESCRIBE orders; DELETE FROM orders",
)
COMMANDS = (
    "SELECT * FROM orders FOR UPDATE",
    "SELECT * FROM orders FOR/**/UPDATE",
    "SELECT * FROM orders FOR -- it\n UPDATE",
    "SELECT * FROM orders LOCK IN # all\n SHARE MODE",
    "SELECT '\\'' FROM orders FOR UPDATE",
    'SELECT "\'" FROM orders FOR UPDATE -- "\'',
    "SELECT 1 /*! FOR UPDATE */",
    "/*!50000 DELETE FROM orders */",
    "/*M! DELETE FROM orders */",
    "LOCK TABLES orders WRITE",
    "FLUSH TABLES",
    "HANDLER orders OPEN",
    "DO SLEEP(1)",
    "SET SESSION sql_mode = 'ANSI_QUOTES'",
    "SET STATEMENT max_statement_time = 0 FOR SELECT SLEEP(60)",
    "SET SESSION TRANSACTION READ WRITE",
    "SET ROLE NONE",
    "START TRANSACTION READ WRITE",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "XA START 'x'",
    "PREPARE later FROM 'DELETE FROM orders'",
    "EXECUTE pilothouse",
    "DEALLOCATE PREPARE pilothouse",
    "KILL 1",
    "USE mysql",
    "GRANT ALL ON shop.* TO reader",
    "SELECT * FROM orders PROCEDURE ANALYSE()",
    "SELECT * FROM mysql.user",
    "SELECT ?",
)
LONG = ("SELECT SLEEP(60) FROM orders", "SELECT COUNT(*) FROM seq_1_to_1000000000 a, seq_1_to_1000000000 b")


@pytest.fixture(scope="module")
def shop(mariadb: MariaDBServer) -> Iterator[MariaDBServer]:
    """A server with a small database, in which ``writer`` may do anything."""
    mariadb.run(*(text.format(password=PASSWORD) for text in SHOP))
    yield mariadb
    mariadb.run("DROP DATABASE shop", "DROP USER reader, writer, spy, master")


def database(port: int, user: str = "reader", **settings: Any) -> MySQLDatabase:
    url = SecretStr(f"mysql://{user}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/shop")
    return MySQLDatabase.from_settings("shop", ReadableSettings(url=url, **settings))


State = list[list[tuple[Any, ...]]]


def state(shop: MariaDBServer) -> State:
    """Everything that a statement could have changed."""
    looks = (
        "SELECT * FROM shop.orders ORDER BY id",
        "SELECT * FROM shop.notes",
        "SELECT next_not_cached_value FROM shop.numbers",
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'shop' ORDER BY 1, 2",
        "SHOW GRANTS FOR reader",
    )
    assert not Path("/tmp/pilothouse-taken").exists()
    return [shop.run(look) for look in looks]


@pytest.fixture(scope="module")
def untouched(shop: MariaDBServer) -> State:
    return state(shop)


def of_ours(shop: MariaDBServer) -> int:
    """Connections that queries of ours hold."""
    return int(shop.run("SELECT COUNT(*) FROM information_schema.processlist WHERE user <> 'root'")[0][0])


def sleeps(shop: MariaDBServer) -> bool:
    """Whether a query runs that only waits."""
    return bool(shop.run("SELECT 1 FROM information_schema.processlist WHERE state = 'User sleep'"))


async def test_an_answer_is_json(shop: MariaDBServer) -> None:
    values = {
        "1": 1,
        "9007199254740993": "9007199254740993",
        "CAST(18446744073709551615 AS unsigned)": "18446744073709551615",
        "1.50": 1.5,
        "CAST(100 AS decimal(12, 2))": 100,
        "12345678901234567890.12": "12345678901234567890.12",
        "1e-3": 0.001,
        "TRUE": 1,
        "NULL": None,
        "'北京'": "北京",
        "_binary x'00ff'": "AP8=",
        "DATE '2024-02-29'": "2024-02-29",
        "CAST('2024-02-29 12:00:00.5' AS datetime(1))": "2024-02-29T12:00:00.5",
        "CAST('-26:00:01' AS time)": "-26:00:01",
        "b'101'": "BQ==",
        "CHAR(0 USING utf8mb4)": "\ufffd",
    }
    found = await database(shop.port).query(f"SELECT {', '.join(values)}, 'x' AS a, 'y' AS a")
    assert found.rows == [[*values.values(), "x", "y"]]
    assert (list(found.columns[-2:]), found.truncated) == (["a", "a"], False)


async def test_times_of_a_column_are_utc(shop: MariaDBServer) -> None:
    shop.run("CREATE TABLE shop.moments (at timestamp, flags bit(9), made year, data json)")
    shop.run("SET time_zone = '+08:00'", "INSERT INTO shop.moments VALUES ('2024-02-29 12:00:00', 257, 2024, '{\"a\": 1}')")
    try:
        found = await database(shop.port).query("SELECT * FROM moments")
    finally:
        shop.run("DROP TABLE shop.moments")
    assert found.rows == [["2024-02-29T04:00:00+00:00", 257, 2024, '{"a": 1}']]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM orders ORDER BY id",
        "  SELECT id FROM orders ORDER BY id ; ;\n",
        "-- which there are\nSELECT id FROM orders /* all; */ ORDER BY id -- in order",
        "(SELECT id FROM orders ORDER BY id)",
        "WITH them AS (SELECT id FROM orders) SELECT id FROM them ORDER BY id",
        "VALUES (1), (2)",
        "SELECT id FROM orders WHERE '; DELETE %s' <> ' FOR UPDATE ' AND 100 % 7 = 2 ORDER BY id",
    ],
)
async def test_a_query_may_be_written_in_many_ways(shop: MariaDBServer, sql: str) -> None:
    assert (await database(shop.port).query(sql)).rows == [[1], [2]]


async def test_what_there_is_may_be_shown(shop: MariaDBServer) -> None:
    reading = database(shop.port)
    assert ["orders"] in (await reading.query("SHOW TABLES")).rows
    for sql in ("DESCRIBE orders", "desc `orders`;", "SHOW COLUMNS FROM orders"):
        assert [row[0] for row in (await reading.query(sql)).rows] == ["id", "region", "amount"]


@pytest.mark.parametrize("sql", [*WRITES, *COMMANDS, *SEVERAL_STATEMENTS, *NO_STATEMENTS])
async def test_what_is_no_query_is_refused_and_changes_nothing(shop: MariaDBServer, untouched: State, sql: str) -> None:
    with pytest.raises((InputInvalid, ToolFailed)) as refused:
        await database(shop.port, "writer", seconds=2).query(sql)
    assert state(shop) == untouched
    for hidden in (PASSWORD, "writer", "127.0.0.1"):
        assert hidden not in refused.value.message
    assert await eventually(lambda: of_ours(shop) == 0, what="no connection left")


@pytest.mark.parametrize("sql", LONG)
async def test_a_long_query_is_ended_in_time(shop: MariaDBServer, sql: str) -> None:
    began = monotonic()
    with pytest.raises(ToolTimedOut, match=r"longer than 0\.5 s"):
        await database(shop.port, seconds=0.5).query(sql)
    assert monotonic() - began < 20
    assert await eventually(lambda: of_ours(shop) == 0, what="no connection left")


async def test_a_caller_who_leaves_ends_the_query(shop: MariaDBServer) -> None:
    task = asyncio.create_task(database(shop.port).query("SELECT SLEEP(60)"))
    await eventually(lambda: sleeps(shop))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await eventually(lambda: of_ours(shop) == 0, what="no connection left")


@pytest.mark.parametrize(
    ("sql", "rows", "first"),
    [
        ("SELECT seq FROM seq_1_to_1000000000", 500, 1),
        ("SELECT seq FROM seq_1_to_1000000000 LIMIT 900000000", 500, 1),
        ("SELECT REPEAT('x', 5000) FROM seq_1_to_100000 LIMIT 100000", 199, "x" * 5000),
        ("SELECT REPEAT('x', 3000000)", 1, "x" * CELL + "…"),
        ("SELECT REPEAT('x', 300000) FROM seq_1_to_1000", 13, "x" * CELL + "…"),
    ],
)
async def test_of_a_huge_answer_only_the_beginning_comes_over_the_wire(
    shop: MariaDBServer, sql: str, rows: int, first: object
) -> None:
    async with wire(shop.port) as (counted, port):
        found = await database(port).query(sql)
    assert (len(found.rows), found.truncated, found.rows[0][0]) == (rows, True, first)
    assert 0 < counted.received < 12_000_000


async def test_a_row_too_wide_to_be_read_is_refused_unread(shop: MariaDBServer) -> None:
    async with wire(shop.port) as (counted, port):
        with pytest.raises(InputInvalid, match=r"LEFT\(column"):
            await database(port).query("SELECT REPEAT('x', 15000000)")
    assert counted.received < 12_000_000


async def test_a_network_gone_silent_ends_the_query_all_the_same(shop: MariaDBServer) -> None:
    began = monotonic()
    async with wire(shop.port) as (broken, port):
        task = asyncio.create_task(database(port, seconds=1).query("SELECT SLEEP(0.5)"))
        await eventually(lambda: sleeps(shop))
        broken.silent = True
        with pytest.raises((ToolTimedOut, DatabaseUnavailable)):
            await task
    assert monotonic() - began < 10


async def test_nothing_that_a_statement_sets_or_locks_outlives_it(shop: MariaDBServer) -> None:
    reading = database(shop.port)
    await reading.query("SELECT @mine := 5, GET_LOCK('mine', 1)")
    assert (await reading.query("SELECT @mine, GET_LOCK('mine', 1)")).rows == [[None, 1]]


async def test_several_ask_at_a_time(shop: MariaDBServer) -> None:
    reading = database(shop.port)
    found = await asyncio.gather(*(reading.query(f"SELECT {n}, SLEEP(0.1)") for n in range(10)))
    assert [one.rows[0][0] for one in found] == list(range(10))
    await reading.aclose()


@pytest.mark.parametrize(("user", "power"), [("spy", "FILE"), ("master", "ALL PRIVILEGES")])
async def test_a_login_with_power_over_the_server_is_refused(shop: MariaDBServer, user: str, power: str) -> None:
    with pytest.raises(ToolFailed, match=f"it has {power}.*CREATE USER reader"):
        await database(shop.port, user).query("SELECT 1")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT amout FROM orders", "Unknown column 'amout'"),
        ("SELECT * FROM order_lines", "order_lines' doesn't exist. The tables are: notes, numbers, orders."),
        ("SELECT * FROM orders WHER id = 1", "error in your SQL syntax.*information_schema.columns"),
        ("EXPLAIN SELECT 1", "This is no query. One reading statement"),
    ],
)
async def test_a_wrong_statement_is_told_in_the_servers_words(shop: MariaDBServer, sql: str, said: str) -> None:
    with pytest.raises(InputInvalid, match=said) as refused:
        await database(shop.port).query(sql)
    assert refused.value.field == "sql"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (("reader:", "reader:x"), ToolFailed),
        (("reader", "nobody"), ToolFailed),
        (("/shop", "/other"), ToolFailed),
        (("PORT", "9"), DatabaseUnavailable),
    ],
)
async def test_why_there_is_no_connection_is_told_without_the_address(
    shop: MariaDBServer, change: tuple[str, str], kind: type[PilothouseError]
) -> None:
    url = database(shop.port).url.get_secret_value()
    old, new = (str(shop.port), change[1]) if change[0] == "PORT" else change
    assert old in url
    with pytest.raises(kind, match=r"databases\.shop\.url") as refused:
        await MySQLDatabase(name="shop", url=SecretStr(url.replace(old, new))).query("SELECT 1")
    for hidden in (PASSWORD, "reader", "nobody", "127.0.0.1"):
        assert hidden not in refused.value.message
    assert refused.value.permanent is (kind is ToolFailed)


async def test_a_server_killed_in_the_middle_is_told_as_away(mariadb: MariaDBServer, tmp_path: Path) -> None:
    server = MariaDBServer(tmp_path).start()
    try:
        server.run("CREATE DATABASE shop", f"CREATE USER reader IDENTIFIED BY '{PASSWORD}'", "GRANT SELECT ON shop.* TO reader")
        reading = database(server.port)
        task = asyncio.create_task(reading.query("SELECT SLEEP(60)"))
        await eventually(lambda: sleeps(server), what="a running query")
        server.kill()
        with pytest.raises(DatabaseUnavailable, match="broke off"):
            await task
        with pytest.raises(DatabaseUnavailable, match="does not answer"):
            await reading.query("SELECT 1")
    finally:
        server.kill()


def test_the_address_says_how_the_connection_is_secured(tmp_path: Path) -> None:
    url, ca = "mysql://u%40x:p%2Fw@db:3307/shop%20one", tmp_path / "ca.pem"
    plain = Place.of(url, None).arguments
    assert plain == {"host": "db", "port": 3307, "user": "u@x", "password": b"p/w", "database": "shop one"}
    more: dict[str, dict[str, object]] = {
        "DISABLED": {"ssl_disabled": True},
        "REQUIRED": {"ssl_verify_cert": False},
        "VERIFY_CA": {"ssl_verify_cert": True, "ssl_verify_identity": False, "ssl_ca": str(ca)},
        "VERIFY_IDENTITY": {"ssl_verify_cert": True, "ssl_verify_identity": True, "ssl_ca": str(ca)},
    }
    for mode, arguments in more.items():
        assert Place.of(f"{url}?ssl-mode={mode}", ca).arguments == {**plain, **arguments}
