"""A PostgreSQL that a tool may read: one query in a transaction that cannot write and is always rolled back.

What is asked is written by a model or a stranger. Four things stand between it and the data, each enough on its own for most
attacks: the server's own grammar takes it only as the query of a cursor (so no command, no second statement, no INSERT in a
WITH); the transaction is read-only; nothing is ever committed; and a login that may do more than a role's rights say is refused.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import psycopg
from prefect.blocks.core import Block
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import Field, SecretStr

from blocks.deadlines import within
from core.databases import (
    CELL,
    CONNECT,
    GRACE,
    ONLY_QUERIES,
    SIZE,
    TABLES,
    Gathering,
    Rows,
    broken_off,
    not_utf8,
    read_json,
    statement,
    there_are,
    too_long,
    unreachable,
)
from core.errors import ConfigurationInvalid, InputInvalid, PilothouseError, ToolFailed
from core.settings_databases import ReadableSettings

_BEGIN = """
BEGIN TRANSACTION READ ONLY;
SET LOCAL statement_timeout = {milliseconds};
SET LOCAL lock_timeout = {milliseconds};
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO';
SET LOCAL IntervalStyle = 'iso_8601';
SET LOCAL extra_float_digits = 1;
SELECT rolname FROM pg_catalog.pg_roles
WHERE pg_catalog.pg_has_role(session_user, oid, 'MEMBER') AND (rolsuper OR rolreplication OR rolname IN (
    'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program', 'pg_signal_backend', 'pg_create_subscription'))
ORDER BY rolsuper DESC, rolname LIMIT 1
"""
_TABLES = """
SELECT table_schema, table_name FROM information_schema.tables
WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY table_schema <> 'public', 1, 2 LIMIT {limit}
"""
_AS_TEXT = frozenset({18, 19, 25, 142, 705, 1042, 1043, 2275, 2277, 2278})
"""Types by OID that are texts, or that only their text can be had of."""
_BYTES = 17
_NUMBERS = frozenset({700, 701, 1700})
_NOT_A_NUMBER = frozenset({"NaN", "Infinity", "-Infinity"})
Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Answer = AsyncGenerator[tuple[str | None, ...], None]


class PostgresDatabase(Block):
    """A PostgreSQL that may be asked with reading SQL.

    Example:
        Load the saved block and ask:

        ```python
        from blocks.postgres import PostgresDatabase

        database = await PostgresDatabase.aload("sales")
        found = await database.query("SELECT region, sum(amount) FROM orders GROUP BY region")
        ```
    """

    _block_type_name: ClassVar[str | None] = "PostgreSQL To Read"
    _block_type_slug: ClassVar[str | None] = "postgresql-to-read"
    _description: ClassVar[str | None] = "A PostgreSQL database that may be asked with reading SQL, and its limits."

    name: str = Field(description="What the database is called in pilothouse.toml and by those who ask.")
    url: SecretStr = Field(description="postgresql://user:password@host:5432/name, of a role that can only read.")
    description: str = Field(default="", description="What is in it, as a model is told.")
    rows: int = Field(default=500, ge=1, le=10_000, description="Rows of one answer.")
    seconds: float = Field(default=15.0, gt=0, le=60, description="Seconds that a query may take.")
    ca_file: Path | None = Field(default=None, description="CA certificates, for an address with sslmode=verify-full.")

    @classmethod
    def from_settings(cls, name: str, settings: ReadableSettings, ca_file: Path | None = None) -> Self:
        """``[databases.NAME]``; opens no connection. Raises ``ConfigurationInvalid`` for a parameter that libpq does not know."""
        try:
            conninfo_to_dict(settings.url.get_secret_value())
        except psycopg.ProgrammingError as error:
            raise ConfigurationInvalid(f"databases.{name}.url: libpq does not take it; check the part after the ?") from error
        return cls(name=name, ca_file=ca_file, **settings.model_dump())

    async def query(self, sql: str) -> Rows:
        """See ``core.databases.Readable.query``."""
        asked = statement(sql).encode()
        async with self._connection() as connection:
            try:
                return await within(self.seconds + GRACE, self._read(connection, asked))
            except TimeoutError as error:
                raise too_long(self.seconds) from error
            except psycopg.Error as error:
                raise self._in_our_words(error, await self._tables(connection, error)) from None
            except UnicodeDecodeError as error:
                raise not_utf8(self.name) from error

    async def aclose(self) -> None:
        """Nothing is kept between queries."""

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Connection, None]:
        """A connection of its own, so that nothing a query sets or locks outlives it."""
        try:
            connection = await psycopg.AsyncConnection.connect(self._conninfo(), autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            raise self._not_connected(error) from None
        try:
            yield connection
        finally:
            await connection.close()

    def _conninfo(self) -> str:
        url = self.url.get_secret_value()
        more: dict[str, Any] = {"connect_timeout": CONNECT, "client_encoding": "UTF8", "application_name": "pilothouse query"}
        if self.ca_file and "sslrootcert" not in conninfo_to_dict(url):
            more["sslrootcert"] = self.ca_file
        return make_conninfo(url, **more)

    async def _read(self, connection: Connection, asked: bytes) -> Rows:
        await self._begin(connection)
        columns = await _described(connection, asked)
        if not columns:
            raise InputInvalid("The statement selects no column.", field="sql")
        longest = max(1, min(CELL + 1, SIZE // len(columns)))
        values = ", ".join(_value(f"answer.c{at}", column.type_code, longest) for at, column in enumerate(columns))
        names = ", ".join(f"c{at}" for at in range(len(columns)))
        whole = b"SELECT %b FROM (\n%b\n) AS answer(%b) LIMIT %d" % (values.encode(), asked, names.encode(), self.rows + 1)
        gathering, was_cut = Gathering([column.name for column in columns], self.rows), False
        async with connection.cursor() as cursor, aclosing(cast(Answer, cursor.stream(whole))) as found:
            async for row in found:
                was_cut = was_cut or any(text is not None and len(text) >= longest for text in row)
                values_of_row = [_plain(text, column.type_code) for text, column in zip(row, columns, strict=True)]
                if not gathering.add(values_of_row):
                    break
        return gathering.end(was_cut)

    async def _begin(self, connection: Connection) -> None:
        milliseconds = max(1, int(self.seconds * 1000))
        async with connection.cursor() as cursor:
            await cursor.execute(_BEGIN.format(milliseconds=milliseconds).encode())
            while cursor.nextset():
                pass
            powerful = await cursor.fetchone()
        if powerful is not None:
            raise ToolFailed(
                f'The login of database "{self.name}" may do more than read (it has the rights of {powerful[0]}), so nothing is '
                f"run. Put a role of its own into databases.{self.name}.url: CREATE ROLE reader LOGIN PASSWORD '…'; "
                "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;"
            )

    async def _tables(self, connection: Connection, error: psycopg.Error) -> str:
        """The tables there are, where the error is that one is not there."""
        if error.sqlstate not in ("42P01", "3F000") or connection.closed:
            return ""
        try:
            async with asyncio.timeout(GRACE), connection.cursor() as cursor:
                await cursor.execute("ROLLBACK")
                await self._begin(connection)
                found = await (await cursor.execute(_TABLES.format(limit=TABLES + 1).encode())).fetchall()
        except (psycopg.Error, TimeoutError):
            return ""
        return there_are([name if schema == "public" else f"{schema}.{name}" for schema, name in found])

    def _in_our_words(self, error: psycopg.Error, tables: str) -> PilothouseError:
        state, said = error.sqlstate or "", error.diag.message_primary or ""
        if state == "57014":
            return too_long(self.seconds)
        if state == "08P01":
            return InputInvalid("A statement cannot have parameters such as $1; write the values into it.", field="sql")
        if not state or state[:2] in ("08", "57"):
            return broken_off(self.name)
        if state == "42501" or state[:2] in ("53", "54", "58", "F0", "XX"):
            return ToolFailed(f'Database "{self.name}" says: {said}.')
        hint = f" {error.diag.message_hint}" if error.diag.message_hint else ""
        rule = ONLY_QUERIES if state in ("42601", "0A000", "25006") else ""
        return InputInvalid(f'Database "{self.name}" says: {said}.{hint}{tables}{rule}', field="sql")

    def _not_connected(self, error: psycopg.Error) -> PilothouseError:
        # What libpq says here names host, port and user, and there is no code to go by.
        said = str(error)
        later = any(words in said for words in ("starting up", "shutting down", "too many", "recovery"))
        return unreachable(self.name, login="FATAL:" in said and not later)


async def _described(connection: Connection, asked: bytes) -> Sequence[psycopg.Column]:
    """The columns of the query; nothing of it is run yet, and what is no query is refused.

    A cursor takes nothing but a query that is complete in itself: only then is it safe to put into brackets.
    """
    async with connection.cursor() as cursor:
        # A binary answer means the extended protocol, which takes one statement only.
        await cursor.execute(b"DECLARE asked NO SCROLL CURSOR FOR\n" + asked, binary=True)
        await cursor.execute("FETCH 0 FROM asked")
        columns = cursor.description or ()
        await cursor.execute("CLOSE asked")
    return columns


def _value(column: str, oid: int, longest: int) -> str:
    """The column as a text that is never longer, whatever a statement makes of one value: client memory stays bounded."""
    if oid == _BYTES:
        text = f"pg_catalog.translate(pg_catalog.encode({column}, 'base64'), E'\\n', '')"
    elif oid in _AS_TEXT:
        text = f"{column}::pg_catalog.text"
    else:
        text = f"pg_catalog.to_json({column})::pg_catalog.text"
    return f"pg_catalog.left({text}, {longest})"


def _plain(text: str | None, oid: int) -> object:
    if text is None or oid == _BYTES or oid in _AS_TEXT:
        return text
    value = read_json(text)
    return None if oid in _NUMBERS and value in _NOT_A_NUMBER else value
