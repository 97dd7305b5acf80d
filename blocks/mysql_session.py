"""One query on a MySQL or MariaDB, in a thread: a connection of its own, checks, a read-only transaction, rows within bounds.

The server says itself, without running anything, whether a text is one statement and whether that can stand as a subquery, which
no command and no ``INTO OUTFILE`` can; the same text standing alone and in brackets cannot break out of the brackets.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pymysql import err
from pymysql.connections import Connection
from pymysql.constants import FIELD_TYPE
from pymysql.cursors import SSCursor

from core.databases import CELL, CONNECT, GRACE, ONLY_QUERIES, SIZE, TABLES, Gathering, Rows, plain, read_json
from core.errors import InputInvalid

WIRE = 4 * SIZE
"""Bytes of one answer that are read at all."""
DUPLICATE_COLUMN, SYNTAX, NO_SUCH_TABLE = 1060, 1064, 1146
POWERS = re.compile(r"\b(ALL PRIVILEGES|FILE|SUPER)\b.* ON \*\.\*", re.IGNORECASE)
_QUOTED = r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`]|``)*`"""
_COMMENT = r"/\*.*?(?:\*/|\Z)|(?:--(?=\s|\Z)|\#)[^\n]*"
_QUIET = re.compile(f"{_QUOTED}|{_COMMENT}", re.DOTALL)
"""What is no keyword: quoted texts and names, and comments, as a server reads them with an empty ``sql_mode``."""
_RUN_COMMENT = re.compile(r"/\*M?!")
_LOCKING = re.compile(r"\bFOR\s+(UPDATE|SHARE)\b|\bLOCK\s+IN\s+SHARE\s+MODE\b", re.IGNORECASE)
_TELLING = re.compile(r"SHOW\s.*|(DESCRIBE|DESC)\s+[\w.`$]+", re.IGNORECASE | re.DOTALL)
"""Statements that only tell what there is, and cannot be a subquery."""
_TABLES = (
    "SELECT IF(table_schema = DATABASE(), table_name, CONCAT(table_schema, '.', table_name)) FROM information_schema.tables "
    "WHERE table_schema NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys') ORDER BY 1 LIMIT %d"
)


class TooWide(Exception):
    """More bytes than are read for one answer."""


@dataclass(frozen=True)
class Place:
    """Where a database is and how to get in."""

    arguments: Mapping[str, Any]

    @classmethod
    def of(cls, url: str, ca_file: Path | None) -> "Place":
        """From ``mysql://user:password@host:port/name?ssl-mode=…``."""
        parts = urlsplit(url)
        mode = dict(parse_qsl(parts.query)).get("ssl-mode", "PREFERRED")
        arguments: dict[str, Any] = {
            "host": parts.hostname,
            "port": parts.port or 3306,
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or "").encode(),
            "database": unquote(parts.path.lstrip("/")),
        }
        if mode == "DISABLED":
            arguments["ssl_disabled"] = True
        elif mode == "REQUIRED":
            arguments["ssl_verify_cert"] = False
        elif mode in ("VERIFY_CA", "VERIFY_IDENTITY"):
            ca = {"ssl_ca": str(ca_file)} if ca_file else {}
            arguments |= {"ssl_verify_cert": True, "ssl_verify_identity": mode == "VERIFY_IDENTITY", **ca}
        return cls(arguments)


class _Bounded(Connection):
    """Never reads more of an answer than it may: a server announces the size of a packet before it sends it."""

    left: int | None = None
    server_version: str
    server_thread_id: tuple[int]

    def _read_bytes(self, num_bytes: int) -> bytes:
        if self.left is not None:
            self.left -= num_bytes
            if self.left < 0:
                raise TooWide
        return super()._read_bytes(num_bytes)  # type: ignore[misc,no-any-return]


class MySQLSession:
    """A connection for one query. Every method blocks, but ``kill`` may be called from another thread."""

    def __init__(self, place: Place, seconds: float) -> None:
        """Connects. ``seconds`` is for the query, by the server's clock. Raises ``pymysql``'s errors."""
        self._place = place
        self._seconds = seconds
        self._connection = _Bounded(
            **place.arguments,
            charset="utf8mb4",
            conv=_CONVERSIONS,
            autocommit=None,
            connect_timeout=CONNECT,
            read_timeout=seconds + GRACE,
            write_timeout=CONNECT,
            program_name="pilothouse query",
        )

    def begin(self, rows: int) -> str | None:
        """Set the limits. Returns the grant that lets the login do more than read, if it has one."""
        maria = "mariadb" in self._connection.server_version.lower()
        limit = f"max_statement_time = {self._seconds:.3f}" if maria else f"max_execution_time = {int(self._seconds * 1000)}"
        wait = max(1, int(self._seconds))
        self._run(
            f"SET SESSION sql_mode = '', time_zone = '+00:00', sql_select_limit = {rows + 1}, {limit}, "
            f"lock_wait_timeout = {wait}, innodb_lock_wait_timeout = {wait}"
        )
        self._run("SET SESSION TRANSACTION READ ONLY")
        grants = (str(grant) for (grant,) in self._run("SHOW GRANTS"))
        return next((found[1].upper() for grant in grants if (found := POWERS.search(grant))), None)

    def read(self, asked: str, rows: int) -> Rows:
        """The answer. Raises ``InputInvalid`` and ``pymysql``'s errors."""
        self._check(asked)
        self._run("START TRANSACTION READ ONLY")
        self._connection.left = WIRE
        cursor = self._connection.cursor(SSCursor)
        try:
            cursor.execute(asked)
            return self._gathered(cursor, rows)
        finally:
            # Left to itself pymysql would read the rest of the answer, however long, before it lets go.
            _forget(cursor)

    def tables(self) -> list[str]:
        """Names of up to ``TABLES`` tables, one more where there are more."""
        return [str(name) for (name,) in self._run(_TABLES % (TABLES + 1))]

    def kill(self) -> None:
        """End the query on the server, over a second connection."""
        with Connection(**self._place.arguments, connect_timeout=CONNECT, read_timeout=CONNECT) as other:
            other.query(f"KILL {self._connection.server_thread_id[0]}")

    def close(self) -> None:
        """Let go; the server rolls back."""
        if self._connection.open:
            self._connection.close()

    def _check(self, asked: str) -> None:
        """Raises ``InputInvalid``, or the server's error for what is not one query."""
        if any(_RUN_COMMENT.match(quiet) for quiet in _QUIET.findall(asked)):
            raise InputInvalid("A comment that the server would run (/*! … */) is not taken; leave it out.", field="sql")
        if _LOCKING.search(_QUIET.sub(" ", asked)):
            raise InputInvalid("The statement locks rows (FOR UPDATE, LOCK IN SHARE MODE); leave that out.", field="sql")
        self._prepare(asked)
        if not _TELLING.fullmatch(asked):
            try:
                self._prepare(f"SELECT 1 FROM (\n{asked}\n) AS answer")  # noqa: S608 - what is asked is SQL
            except err.MySQLError as error:
                if error.args[0] == SYNTAX:
                    raise InputInvalid(f"This is no query.{ONLY_QUERIES}", field="sql") from None
                # Two columns of one name: as a subquery they would clash, on their own they do not.
                if error.args[0] != DUPLICATE_COLUMN:
                    raise

    def _prepare(self, text: str) -> None:
        self._run(f"SET @pilothouse = CONVERT(x'{text.encode().hex()}' USING utf8mb4)")
        self._run("PREPARE pilothouse FROM @pilothouse")

    def _gathered(self, cursor: SSCursor, rows: int) -> Rows:
        gathering = Gathering([str(column[0]) for column in cursor.description or ()], rows)
        more, taken = True, 0
        try:
            while more and (row := cursor.fetchone()) is not None:
                more = gathering.add(row)
                taken += more
        except TooWide:
            if not taken:
                raise InputInvalid(
                    f"A row of the answer is larger than {WIRE / 1e6:g} MB; select fewer columns, or LEFT(column, {CELL}).",
                    field="sql",
                ) from None
            return gathering.end(truncated=True)
        return gathering.end()

    def _run(self, text: str) -> tuple[tuple[Any, ...], ...]:
        with self._connection.cursor() as cursor:
            cursor.execute(text)
            return tuple(cursor.fetchall())


def _forget(cursor: Any) -> None:
    if cursor._result is not None:
        cursor._result.unbuffered_active = False
    cursor.connection = None


def _bits(data: bytes) -> object:
    return plain(int.from_bytes(data, "big"))


_CONVERSIONS: dict[int | type[Any], Callable[[Any], Any]] = {
    **dict.fromkeys(
        (FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG, FIELD_TYPE.YEAR), int
    ),
    **dict.fromkeys((FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE), float),
    **dict.fromkeys((FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL), read_json),
    FIELD_TYPE.TIMESTAMP: lambda text: f"{text.replace(' ', 'T')}+00:00",
    FIELD_TYPE.DATETIME: lambda text: text.replace(" ", "T"),
    FIELD_TYPE.JSON: read_json,
    FIELD_TYPE.BIT: _bits,
}
