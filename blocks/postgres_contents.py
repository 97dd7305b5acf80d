"""What a PostgreSQL database holds: its rows counted and summed, its emptiness, its clearing. SQL of one connection each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from core.backups.place import Fingerprint

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

WHOLE = 4_000_000
"""Bytes of a table up to which all of its rows are summed; of a larger one the first and last by its key."""
ENDS = 500
"""Rows from either end."""
WIDE = 100_000
"""Bytes of a row, on average, from which on rows are only counted."""
LARGE_OBJECTS = "pg_largeobject"
LOCKED = 60
"""Seconds to wait for a table that someone has locked."""

_SESSION = """
SET SESSION statement_timeout = 0; SET SESSION lock_timeout = '{locked}s'; SET SESSION idle_in_transaction_session_timeout = 0;
SET SESSION row_security = off; SET SESSION search_path = ''; SET SESSION TimeZone = 'UTC'; SET SESSION DateStyle = 'ISO';
SET SESSION IntervalStyle = 'iso_8601'; SET SESSION extra_float_digits = 1; SET SESSION bytea_output = 'hex';
SET SESSION lc_monetary = 'C'; SET SESSION client_min_messages = error;
"""
# Policies of anybody else stop a backup, which would hold a part of the rows.
_WORKSPACES = """
SELECT pg_catalog.to_regproc('pilothouse.sees_every_workspace') IS NOT NULL AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relrowsecurity AND n.nspname <> 'pilothouse')
"""
_OURS = """
n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)' AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend d WHERE d.objid = {oid} AND d.classid = {kind}::pg_catalog.regclass AND d.deptype = 'e')
"""
_TABLES = f"""
SELECT n.nspname, c.relname, coalesce(pg_catalog.pg_table_size(c.oid), 0), (
    SELECT pg_catalog.array_agg(a.attname ORDER BY k.place)
    FROM pg_catalog.pg_index i, pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place), pg_catalog.pg_attribute a
    WHERE i.indrelid = c.oid AND i.indisprimary AND 0 = ALL (i.indcollation::oid[])
        AND a.attrelid = c.oid AND a.attnum = k.number)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {_OURS.format(oid="c.oid", kind="'pg_catalog.pg_class'")}
ORDER BY 1, 2
"""  # noqa: S608  (our own words only)
_EMPTY = f"""
SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata) AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
        AND {_OURS.format(oid="c.oid", kind="'pg_catalog.pg_class'")}),
    (SELECT pg_catalog.array_agg(extname::text ORDER BY extname) FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql')
"""  # noqa: S608  (our own words only)
_LEFT = f"""
SELECT 'DROP EVENT TRIGGER ' || pg_catalog.quote_ident(evtname) || ' CASCADE' FROM pg_catalog.pg_event_trigger
UNION ALL SELECT 'DROP PUBLICATION ' || pg_catalog.quote_ident(pubname) || ' CASCADE' FROM pg_catalog.pg_publication
UNION ALL SELECT 'DROP EXTENSION IF EXISTS ' || pg_catalog.quote_ident(extname) || ' CASCADE' FROM pg_catalog.pg_extension
    WHERE extname <> 'plpgsql'
UNION ALL SELECT 'DROP SCHEMA IF EXISTS ' || pg_catalog.quote_ident(n.nspname) || ' CASCADE' FROM pg_catalog.pg_namespace n
    WHERE {_OURS.format(oid="n.oid", kind="'pg_catalog.pg_namespace'")}
UNION ALL SELECT 'DROP SERVER IF EXISTS ' || pg_catalog.quote_ident(srvname) || ' CASCADE' FROM pg_catalog.pg_foreign_server
UNION ALL SELECT 'SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata'
"""  # noqa: S608  (our own words only)
_PUBLIC = (
    "CREATE SCHEMA public",
    "GRANT USAGE ON SCHEMA public TO PUBLIC",
    "COMMENT ON SCHEMA public IS 'standard public schema'",
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table that holds rows itself. ``key``: the columns of its primary key where every server sorts them the same way."""

    schema: str
    name: str
    size: int
    key: Sequence[str] | None

    @property
    def shown(self) -> str:
        return f"{self.schema}.{self.name}".replace("/", "%2F")  # what is before a / is a database

    @property
    def quoted(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Tables that a dump leaves out, or whose rows it does, by ``pg_dump``'s patterns."""

    tables: Sequence[str] = ()
    rows: Sequence[str] = ()


async def prepare(connection: Connection) -> None:
    """What a session needs so that values read the same on every server, and nothing interrupts it."""
    await connection.execute(_SESSION.format(locked=LOCKED).encode())
    if connection.info.server_version >= 170_000:
        await connection.execute("SET SESSION transaction_timeout = 0")
    if await _one(connection, _WORKSPACES):
        await connection.execute("SELECT pg_catalog.set_config('pilothouse.workspace', '*', false)")
        if await sees_workspaces(connection):
            await connection.execute("SET SESSION row_security = on")


async def sees_workspaces(connection: Connection) -> bool:
    """Whether the database is one of ours, of which this session sees every workspace through the policies of its tables."""
    return bool(await _one(connection, _WORKSPACES)) and bool(await _one(connection, "SELECT pilothouse.sees_every_workspace()"))


async def fingerprint(connection: Connection, left_out: LeftOut) -> Fingerprint:
    """Exact counts of every table, and checksums of what of them can be summed quickly."""
    counts: dict[str, int] = {}
    checksums: dict[str, str] = {}
    summed = (await _one(connection, "SELECT pg_catalog.getdatabaseencoding()")) != "SQL_ASCII"
    for table in await _tables(connection):
        if _matches(table, left_out.tables):
            continue
        if _matches(table, left_out.rows):
            counts[table.shown] = 0
            continue
        rows = counts[table.shown] = await _count(connection, table)
        way = "all" if table.size <= WHOLE else "ends"
        if summed and rows and table.size / rows < WIDE and (way == "all" or table.key):
            checksums[table.shown] = await _checksum(connection, table, way)
    if objects := await _one(connection, "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata"):
        counts[LARGE_OBJECTS] = objects
    return Fingerprint(counts, checksums)


async def fingerprint_like(connection: Connection, like: Fingerprint) -> Fingerprint:
    """The same tables, counted and summed in the same ways; those that are missing are left out."""
    counts: dict[str, int] = {}
    checksums: dict[str, str] = {}
    for table in await _tables(connection):
        if table.shown in like.counts:
            counts[table.shown] = await _count(connection, table)
        way = like.checksums.get(table.shown, "").partition(":")[0]
        if way == "all" or (way == "ends" and table.key):
            checksums[table.shown] = await _checksum(connection, table, way)
    if LARGE_OBJECTS in like.counts:
        counts[LARGE_OBJECTS] = await _one(connection, "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata")
    return Fingerprint(counts, checksums)


async def emptiness(connection: Connection) -> tuple[bool, Sequence[str]]:
    """Whether there is neither table, view, sequence nor large object; and the names of the extensions."""
    row = await (await connection.execute(_EMPTY.encode())).fetchone()
    assert row is not None
    return bool(row[0]), row[1] or ()


async def clear(connection: Connection) -> None:
    """Everything in the database goes in one transaction: all of it or nothing. Its owner, rights and settings stay."""
    async with connection.transaction():
        for (statement,) in await (await connection.execute(_LEFT.encode())).fetchall():
            await connection.execute(statement.encode())
        modern = connection.info.server_version >= 150_000
        for statement in _PUBLIC:
            await connection.execute(statement.encode())
        if modern:
            await connection.execute("ALTER SCHEMA public OWNER TO pg_database_owner")
        else:
            await connection.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")


async def _tables(connection: Connection) -> Sequence[Table]:
    return [Table(*row) for row in await (await connection.execute(_TABLES.encode())).fetchall()]


async def _count(connection: Connection, table: Table) -> int:
    return int(await _one(connection, sql.SQL("SELECT count(*) FROM ONLY {}").format(table.quoted)))


async def _checksum(connection: Connection, table: Table, way: str) -> str:
    """``way`` and the MD5 of the sorted MD5s of the rows as texts: what differs is found, on purpose or not is no question."""
    rows = sql.SQL("SELECT ROW(r.*)::text AS line FROM ONLY {} AS r").format(table.quoted)
    if way == "ends":
        key = sql.SQL(", ").join(sql.Identifier("r", column) for column in table.key or ())
        back = sql.SQL(", ").join(sql.SQL("{} DESC").format(sql.Identifier("r", column)) for column in table.key or ())
        rows = sql.SQL("({0} ORDER BY {1} LIMIT {3}) UNION ALL ({0} ORDER BY {2} LIMIT {3})").format(rows, key, back, ENDS)
    lines = sql.SQL("SELECT md5(pg_catalog.convert_to(line, 'UTF8')) COLLATE \"C\" AS word FROM ({}) AS taken").format(rows)
    whole = sql.SQL("SELECT md5(coalesce(string_agg(word, '' ORDER BY word), '')) FROM ({}) AS lines").format(lines)
    return f"{way}:{await _one(connection, whole)}"


async def _one(connection: Connection, query: str | sql.Composed) -> Any:
    row = await (await connection.execute(query.encode() if isinstance(query, str) else query)).fetchone()
    assert row is not None
    return row[0]


def _matches(table: Table, patterns: Sequence[str]) -> bool:
    return any(_regex(pattern).fullmatch(f"{table.schema}\0{table.name}") for pattern in patterns)


def _regex(pattern: str) -> re.Pattern[str]:
    """``pg_dump``'s pattern: ``*`` and ``?``, lower case outside double quotes, of any schema where it names none."""
    parts, quoted = [""], False
    for mark in pattern:
        if mark == '"':
            quoted = not quoted
        elif quoted:
            parts[-1] += re.escape(mark)
        elif mark == ".":
            parts.append("")
        else:
            parts[-1] += {"*": ".*", "?": "."}.get(mark) or re.escape(mark.lower())
    return re.compile("\0".join(parts[-2:]) if len(parts) > 1 else f".*\0{parts[0]}", re.DOTALL)
