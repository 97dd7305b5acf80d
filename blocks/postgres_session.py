"""Connections of backups to a PostgreSQL, what they ask of the server itself, and its errors in our words."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from blocks.postgres_contents import Connection, prepare
from blocks.postgres_tools import CONNECT, not_connected
from core.backups.errors import DumpFailed, PlaceRefused, PlaceUnavailable
from core.errors import PilothouseError

_FACTS = """
SELECT rolname::text, rolsuper,
    (SELECT pg_catalog.array_agg(rolname::text) FROM pg_catalog.pg_roles),
    (SELECT pg_catalog.array_agg(name::text) FROM pg_catalog.pg_available_extensions),
    (SELECT pg_catalog.json_object_agg(nspname || ' ' || relname, nspname || '.' || relname) FROM pg_catalog.pg_class c
     JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relpersistence <> 't')
FROM pg_catalog.pg_roles WHERE rolname = current_user
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """Who we are on a server, and what it has."""

    user: str
    powerful: bool
    roles: Sequence[str]
    extensions: Sequence[str]
    """Those that could be made."""
    tables: Mapping[str, str]
    """How they are shown, by schema and name with a space between them, as archives have them."""


@asynccontextmanager
async def connected(place: str, url: str, database: str | None, ca_file: Path | None) -> AsyncGenerator[Connection, None]:
    """A session in ``database`` (None: the one that the url names), prepared for backups.

    Raises ``PlaceRefused``, ``PlaceUnavailable`` and ``DumpFailed``, also for what is asked of it.
    """
    more: dict[str, Any] = {"connect_timeout": CONNECT, "client_encoding": "UTF8", "application_name": "pilothouse backup"}
    if database is not None:
        more["dbname"] = database
    if ca_file is not None and "sslrootcert" not in conninfo_to_dict(url):
        more["sslrootcert"] = ca_file
    try:
        connection = await psycopg.AsyncConnection.connect(make_conninfo(url, **more), autocommit=True, prepare_threshold=None)
    except psycopg.Error as error:
        raise not_connected(place, str(error)) from None
    try:
        await prepare(connection)
        yield connection
    except psycopg.Error as error:
        raise _in_our_words(place, error) from None
    finally:
        await connection.close()


async def snapshot(connection: Connection) -> str:
    """The name under which others can see what this session sees from now on, until it ends."""
    await connection.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    row = await (await connection.execute("SELECT pg_catalog.pg_export_snapshot()")).fetchone()
    assert row is not None
    return str(row[0])


async def names_of(connection: Connection) -> Sequence[str]:
    """The databases of the server, without its templates."""
    query = "SELECT datname::text FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1"
    return [str(row[0]) for row in await (await connection.execute(query)).fetchall()]


async def size_of(connection: Connection, database: str) -> int:
    """Bytes on the server's disk, indexes too."""
    row = await (await connection.execute("SELECT pg_catalog.pg_database_size(%s::name)", [database])).fetchone()
    assert row is not None
    return int(row[0])


async def facts(connection: Connection) -> Facts:
    row = await (await connection.execute(_FACTS)).fetchone()
    assert row is not None
    return Facts(str(row[0]), bool(row[1]), row[2] or (), row[3] or (), row[4] or {})


async def make_database(connection: Connection, name: str, like: str) -> None:
    """An empty database, sorting and encoding as ``like`` does if the server has that."""
    query = (
        "SELECT pg_catalog.pg_encoding_to_char(encoding), pg_catalog.to_jsonb(d) FROM pg_catalog.pg_database d WHERE datname = %s"
    )
    row = await (await connection.execute(query, [like])).fetchone()
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
    if row is not None:
        encoding, of = row
        options = {"ENCODING": encoding, "LC_COLLATE": of["datcollate"], "LC_CTYPE": of["datctype"]}
        locale = of.get("datlocale") or of.get("daticulocale")
        if of.get("datlocprovider") == "i":
            options |= {"LOCALE_PROVIDER": "icu", "ICU_LOCALE": locale}
        elif of.get("datlocprovider") == "b":
            options |= {"LOCALE_PROVIDER": "builtin", "BUILTIN_LOCALE": locale}
        elif "datlocprovider" in of:
            options["LOCALE_PROVIDER"] = "libc"
        words = [sql.SQL(f" {option} ") + sql.Literal(value) for option, value in options.items()]
        statement += sql.Composed(words)
    await connection.execute(statement)


async def drop_databases(connection: Connection, prefix: str) -> None:
    """Those whose names begin so, whoever is connected to them."""
    for name in [name for name in await names_of(connection) if name.startswith(prefix)]:
        await connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _in_our_words(place: str, error: psycopg.Error) -> PilothouseError:
    state, said = error.sqlstate or "", error.diag.message_primary or ""
    if state == "55P03":
        return DumpFailed(f"{place}: a table was locked by someone else for too long; try again when nobody changes tables.")
    if state[:2] in {"42", "0L", "28"}:
        return PlaceRefused(f"{place}: PostgreSQL refused ({said}); give the login the right to it.")
    if not state or state[:2] in {"08", "57", "53"}:
        return PlaceUnavailable(f"{place}: PostgreSQL broke off; try again in a moment.", retry_after=30)
    return DumpFailed(f"{place}: PostgreSQL says {said} ({state}).")
