"""MariaDB, a real server: dumped, destroyed, restored, compared; and what can go wrong on the way."""

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from pydantic import SecretStr

from blocks.mysql_backups import MySQLServer
from blocks.mysql_tools import Server, programs_for
from blocks.pipe import store_part
from blocks.pipe_reading import reading_part
from blocks.storage_folder import ObjectFolder
from core.backups.errors import DumpFailed, PlaceRefused, PlaceUnavailable, RestoreFailed, TargetNotEmpty, ToolTooOld
from core.backups.manifest import PartRecord
from core.backups.place import Fingerprint
from tests.mariadb import PASSWORD, PROGRAM, MariaDBServer
from tests.waiting import eventually

FOLDER = "my/2026/01/31/020000Z-abc/"
FILLING = (
    "CREATE TABLE people (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(80) NOT NULL, note TEXT, picture BLOB, fit DOUBLE, "
    "paid DECIMAL(20,6), born DATE, seen TIMESTAMP(6) NULL, kind ENUM('a','b'), doc JSON, "
    "loud VARCHAR(80) AS (UPPER(name)) STORED, KEY by_name (name)) CHARACTER SET utf8mb4",
    "INSERT INTO people (name, note, picture, fit, paid, born, seen, kind, doc) VALUES "
    "('Ada', 'two\\nlines\\r\\nand ''quotes'' \\\\ %', x'00ff1a0a0d', 0.1, 12.5, '1815-12-10', "
    "'2026-01-31 02:00:00.123456', 'a', "
    "'{\"x\": [1]}'), ('订单 😀', '-- Table structure for table `orders`', NULL, NULL, -1, NULL, NULL, NULL, NULL)",
    "INSERT INTO people (name, paid) SELECT CONCAT('n', seq), seq FROM seq_1_to_2000",
    "CREATE TABLE orders (id BIGINT PRIMARY KEY, person INT, CONSTRAINT whose FOREIGN KEY (person) REFERENCES people (id))",
    "INSERT INTO orders SELECT seq, seq FROM seq_1_to_100",
    "CREATE TABLE large (id INT PRIMARY KEY, body TEXT)",
    "INSERT INTO large SELECT seq, REPEAT(MD5(seq), 60) FROM seq_1_to_5000",
    "ANALYZE TABLE large",
    "CREATE TABLE `odd ``name/1` (`a b` INT)",
    "INSERT INTO `odd ``name/1` VALUES (NULL), (7)",
    "CREATE TABLE nothing (id INT)",
    "CREATE VIEW rich AS SELECT id, name FROM people WHERE paid > 1000",
    "CREATE TABLE log (text VARCHAR(100))",
    "CREATE TRIGGER logged AFTER INSERT ON orders FOR EACH ROW INSERT INTO log VALUES (CONCAT('order ', NEW.id))",
    "CREATE PROCEDURE tidy() BEGIN DELETE FROM log; DELETE FROM nothing; END",
    "CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC RETURN 2 * n",
    "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM log",
)


def url_of(server: MariaDBServer, database: str, user: str = "root", password: str = PASSWORD) -> str:
    return f"mysql://{user}:{quote(password, safe='')}@127.0.0.1:{server.port}/{database}?ssl-mode=DISABLED"


def place(server: MariaDBServer, database: str = "", **more: Any) -> MySQLServer:
    return MySQLServer(name="sources.test", url=SecretStr(url_of(server, database)), **more)


def fill(server: MariaDBServer, name: str) -> None:
    server.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci", f"USE {name}", *FILLING)


def seen(server: MariaDBServer, database: str) -> dict[str, object]:
    """Everything in a database, as the server tells it."""
    tables = server.run(
        f"SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = '{database}' ORDER BY 1"
    )
    found: dict[str, object] = {"tables": tables}
    for name, kind in tables:
        quoted = f"`{database}`.`{name.replace('`', '``')}`"
        found[f"rows of {name}"] = sorted(map(repr, server.run(f"SELECT * FROM {quoted}")))
        found[f"form of {name}"] = repr(server.run(f"SHOW CREATE {'VIEW' if kind == 'VIEW' else 'TABLE'} {quoted}")).replace(
            database, "DB"
        )
    for kind, what in (("TRIGGER", "logged"), ("PROCEDURE", "tidy"), ("FUNCTION", "twice"), ("EVENT", "nightly")):
        found[kind] = repr(server.run(f"USE {database}", f"SHOW CREATE {kind} {what}")[0][2])
    return found


@pytest.fixture
def filled(mariadb: MariaDBServer) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    fill(mariadb, name)
    yield name
    mariadb.run(f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
def second(mariadb: MariaDBServer) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    mariadb.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
    yield name
    mariadb.run(f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
def store(tmp_path: Path) -> ObjectFolder:
    return ObjectFolder(folder=tmp_path / "store")


async def saved(source: MySQLServer, store: ObjectFolder) -> tuple[Sequence[PartRecord], Fingerprint]:
    async with source.dumping(await source.inspect()) as dump:
        return [await store_part(part, store, FOLDER) for part in dump.parts], dump.fingerprint


async def put_back(target: MySQLServer, records: Sequence[PartRecord], store: ObjectFolder, only: str | None = None) -> None:
    for record in records:
        async with reading_part(record, store) as stream:
            await target.restore(record.name, record.format, stream, only)


async def test_inspecting_tells_what_there_is(mariadb: MariaDBServer, filled: str, second: str) -> None:
    found = await place(mariadb, filled).inspect()
    assert found.server.startswith("MariaDB 1")
    assert found.tool is not None
    assert found.tool.startswith("mariadb-dump 1")
    assert (found.databases, found.empty) == ([filled], False)
    assert found.size is not None
    assert found.size > 1_000_000
    assert (await place(mariadb, second).inspect()).empty


async def test_what_is_destroyed_comes_back(mariadb: MariaDBServer, filled: str, store: ObjectFolder) -> None:
    before = seen(mariadb, filled)
    source = place(mariadb, filled)
    records, fingerprint = await saved(source, store)
    assert [record.name for record in records] == [f"{filled}.sql"]
    assert fingerprint.counts == {
        "people": 2002,
        "orders": 100,
        "large": 5000,
        "odd `name%2F1": 2,
        "nothing": 0,
        "log": 0,
    }
    assert fingerprint.checksums.keys() == fingerprint.counts.keys() - {"large"}
    await source.clear()
    assert (await source.inspect()).empty
    await put_back(source, records, store)
    assert seen(mariadb, filled) == before
    assert await source.fingerprint(fingerprint) == fingerprint


async def test_a_row_that_differs_is_found(mariadb: MariaDBServer, filled: str, second: str, store: ObjectFolder) -> None:
    records, fingerprint = await saved(place(mariadb, filled), store)
    target = place(mariadb, second)
    await put_back(target, records, store)
    assert await target.fingerprint(fingerprint) == fingerprint
    mariadb.run(f"USE {second}", "UPDATE people SET note = NULL WHERE id = 1", "DELETE FROM large WHERE id = 7", "DROP TABLE log")
    found = await target.fingerprint(fingerprint)
    assert {name for name, word in fingerprint.checksums.items() if found.checksums.get(name) != word} == {"people", "log"}
    assert {name for name, count in fingerprint.counts.items() if found.counts.get(name) != count} == {"large", "log"}


async def test_all_databases_of_a_server_come_back_beside(
    mariadb: MariaDBServer, filled: str, second: str, store: ObjectFolder
) -> None:
    mariadb.run(f"CREATE TABLE {second}.one AS SELECT 1 AS x")
    source = place(mariadb, all_databases=True)
    records, fingerprint = await saved(source, store)
    assert {f"{filled}.sql", f"{second}.sql"} <= {record.name for record in records}
    assert (fingerprint.counts[f"{filled}/people"], fingerprint.counts[f"{second}/one"]) == (2002, 1)
    before = seen(mariadb, filled)
    async with source.beside("scratch_1_") as scratch:
        await put_back(scratch, records, store)
        assert await scratch.fingerprint(fingerprint) == fingerprint
        restored = repr(seen(mariadb, f"scratch_1_{filled}"))
        assert restored == repr(before)
    assert not any(name.startswith("scratch_1_") for (name,) in mariadb.run("SHOW DATABASES"))


async def test_one_moment_while_others_write(mariadb: MariaDBServer, filled: str, second: str, store: ObjectFolder) -> None:
    """What is counted is what is dumped, however much is written meanwhile, and in both databases of the same moment."""
    mariadb.run(
        f"CREATE TABLE {second}.orders LIKE {filled}.orders", f"INSERT INTO {second}.orders SELECT * FROM {filled}.orders"
    )
    done = asyncio.Event()

    async def write() -> None:
        number = 1000
        while not done.is_set():
            number += 1
            both = [f"INSERT INTO {name}.orders (id) VALUES ({number})" for name in (filled, second)]
            await asyncio.to_thread(mariadb.run, "START TRANSACTION", *both, "COMMIT")

    writing = asyncio.create_task(write())
    source = place(mariadb, databases=(filled, second))
    records, fingerprint = await saved(source, store)
    done.set()
    await writing
    assert fingerprint.counts[f"{filled}/orders"] == fingerprint.counts[f"{second}/orders"] > 100
    async with source.beside("scratch_2_") as scratch:
        await put_back(scratch, records, store)
        assert await scratch.fingerprint(fingerprint) == fingerprint


async def test_a_part_that_is_tried_again_is_dumped_again(mariadb: MariaDBServer, filled: str, store: ObjectFolder) -> None:
    source = place(mariadb, filled)
    async with source.dumping(await source.inspect()) as dump:
        await store_part(dump.parts[0], store, "lost/")
        mariadb.run(f"DELETE FROM {filled}.orders WHERE id < 51")
        assert dump.fingerprint.counts["orders"] == 100
        record = await store_part(dump.parts[0], store, FOLDER)
        assert dump.fingerprint.counts["orders"] == 50
    await source.clear()
    await put_back(source, [record], store)
    assert await source.fingerprint(dump.fingerprint) == dump.fingerprint


async def test_tables_and_rows_are_left_out(mariadb: MariaDBServer, filled: str, second: str, store: ObjectFolder) -> None:
    source = place(mariadb, filled, exclude_tables=("odd*", "log"), exclude_data=("lar?e",))
    records, fingerprint = await saved(source, store)
    assert fingerprint.counts == {"people": 2002, "orders": 100, "large": 0, "nothing": 0}
    target = place(mariadb, second)
    await put_back(target, records, store)
    assert await target.fingerprint(fingerprint) == fingerprint
    assert {name for (name,) in mariadb.run(f"SHOW TABLES IN {second}")} == {"people", "orders", "large", "nothing", "rich"}


async def test_one_table_comes_back_alone(mariadb: MariaDBServer, filled: str, store: ObjectFolder) -> None:
    before = seen(mariadb, filled)
    source = place(mariadb, filled)
    records, _ = await saved(source, store)
    with pytest.raises(TargetNotEmpty, match="people"):
        await put_back(source, records, store, only="people")
    for table in ("orders", "odd `name/1"):
        mariadb.run(f"USE {filled}", f"DROP TABLE `{table.replace('`', '``')}`")
        await put_back(source, records, store, only=table)
    assert seen(mariadb, filled) == before
    with pytest.raises(RestoreFailed, match="no such table"):
        await put_back(source, records, store, only="nobody")


async def test_a_target_that_holds_something_is_left_alone(mariadb: MariaDBServer, filled: str, store: ObjectFolder) -> None:
    records, fingerprint = await saved(place(mariadb, filled), store)
    with pytest.raises(TargetNotEmpty):
        await put_back(place(mariadb, filled), records, store)
    assert await place(mariadb, filled).fingerprint(fingerprint) == fingerprint


async def test_wrong_credentials_are_told_at_once(mariadb: MariaDBServer, filled: str) -> None:
    wrong = MySQLServer(name="sources.test", url=SecretStr(url_of(mariadb, filled, password="Not-It")))
    with pytest.raises(PlaceRefused, match="user and password") as raised:
        await wrong.inspect()
    assert "Not-It" not in raised.value.message
    with pytest.raises(PlaceRefused, match="no database nowhere"):
        await place(mariadb, "nowhere").inspect()


async def test_a_login_that_may_not_read_all_makes_no_backup(mariadb: MariaDBServer, filled: str, store: ObjectFolder) -> None:
    user = f"u{secrets.token_hex(4)}"
    mariadb.run(
        f"CREATE USER {user}@'%' IDENTIFIED BY '{PASSWORD}'",
        f"GRANT SELECT, SHOW VIEW, EVENT, TRIGGER, EXECUTE ON {filled}.* TO {user}@'%'",
    )
    source = MySQLServer(name="sources.test", url=SecretStr(url_of(mariadb, filled, user)))
    with pytest.raises(PlaceRefused, match="routines"):
        await saved(source, store)
    mariadb.run(f"GRANT SELECT ON mysql.proc TO {user}@'%'")
    records, _ = await saved(source, store)
    assert len(records) == 1
    mariadb.run(f"DROP USER {user}@'%'")


async def test_the_password_is_in_no_argument(mariadb: MariaDBServer, filled: str) -> None:
    source = place(mariadb, filled)
    async with source.dumping(await source.inspect()) as dump:
        (dumping,) = [child for child in psutil.Process().children() if "dump" in child.name()]
        assert filled in dumping.cmdline()
        assert PASSWORD not in " ".join(dumping.cmdline())
        assert PASSWORD not in repr(dump)
        assert dumping.is_running()
    await eventually(lambda: not dumping.is_running())


@pytest.mark.skipif(PROGRAM is None, reason="mariadbd is not installed")
async def test_a_server_that_dies_leaves_no_backup(tmp_path: Path, store: ObjectFolder) -> None:
    server = MariaDBServer(tmp_path).start()
    try:
        server.run("CREATE DATABASE x", "CREATE TABLE x.t (id INT PRIMARY KEY, body LONGTEXT)")
        server.run("INSERT INTO x.t SELECT seq, REPEAT(MD5(seq), 3000) FROM x.seq_1_to_400")
        source = place(server, "x")
        inspection = await source.inspect()
        async with source.dumping(inspection) as dump:
            server.kill()
            with pytest.raises((PlaceUnavailable, DumpFailed)):
                await store_part(dump.parts[0], store, FOLDER)
        assert [file for file in store.folder.rglob("*") if file.is_file()] == []
        with pytest.raises(PlaceUnavailable):
            await source.inspect()
    finally:
        server.kill()


async def test_a_dump_that_ends_too_early_is_noticed(
    mariadb: MariaDBServer, filled: str, store: ObjectFolder, tmp_path: Path
) -> None:
    """A program that writes a beginning and ends well."""
    (tmp_path / "mariadb").write_text("#!/bin/sh\n")
    lying = tmp_path / "mariadb-dump"
    lying.write_text('#!/bin/sh\necho "mariadb-dump  Ver 10.19 Distrib 99.1-MariaDB"\necho "CREATE TABLE x (id INT);"\n')
    for file in (tmp_path / "mariadb", lying):
        file.chmod(0o755)
    with pytest.raises(DumpFailed, match="the end of what it wrote is missing"):
        await saved(place(mariadb, filled, programs=tmp_path), store)
    lying.write_text('#!/bin/sh\necho "mariadb-dump  Ver 10.19 Distrib 9.1-MariaDB"\n')
    with pytest.raises(ToolTooOld, match=r"mariadb-dump 9\.1"):
        programs_for(Server("10.11.6-MariaDB"), tmp_path)
