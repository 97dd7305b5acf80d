"""What a MySQL or MariaDB holds: its databases and tables, their rows counted and summed. Every function blocks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymysql
from pymysql import err

from blocks.mysql_session import Place
from core.backups.errors import DumpFailed, PlaceRefused, PlaceUnavailable
from core.errors import PilothouseError

Session = "pymysql.Connection[Any]"

CONNECT = 10
SILENCE = 1800
"""Seconds for one answer, such as the count of a large table."""
LOCKED = 5
"""Seconds that a moment of silence is waited for."""
WHOLE = 4_000_000
"""Bytes of a table up to which its rows are summed; those of a larger one are only counted."""
WIDE = 100_000
"""Bytes of a row, on average, from which on rows are only counted."""
SYSTEM = ("information_schema", "performance_schema", "mysql", "sys")
_REFUSED = frozenset({1044, 1045, 1049, 1130, 1142, 1143, 1227, 1251, 1370, 1698, 1820, 3118})
_GONE = frozenset({0, 1040, 1053, 1077, 1152, 1159, 1161, 1205, 1927, 4031})
_DATABASES = "SELECT schema_name FROM information_schema.schemata ORDER BY 1"
_TABLES = """
SELECT table_name, COALESCE(data_length, 0), COALESCE(avg_row_length, 0), table_type FROM information_schema.tables
WHERE table_schema = %s ORDER BY 1
"""
_SIZE = "SELECT COALESCE(SUM(data_length + index_length), 0) FROM information_schema.tables WHERE table_schema = %s"
_COLUMNS = (
    "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position"
)
_ROUTINES = """
SELECT (SELECT COUNT(*) FROM information_schema.routines WHERE routine_schema = %s)
    + (SELECT COUNT(*) FROM information_schema.events WHERE event_schema = %s)
"""
_LIKE = "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata WHERE schema_name = %s"


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view. ``size`` and ``width`` (of a row) in bytes, as the server estimates them."""

    name: str
    size: int
    width: int
    kind: str

    @property
    def shown(self) -> str:
        return self.name.replace("/", "%2F")  # what is before a / is a database

    @property
    def holds_rows(self) -> bool:
        return self.kind in ("BASE TABLE", "SYSTEM VERSIONED")

    def matches(self, patterns: Sequence[str]) -> bool:
        return any(fnmatchcase(self.name, pattern) for pattern in patterns)


class Asked:
    """A session, and the questions of backups."""

    def __init__(self, connection: "pymysql.Connection[Any]") -> None:
        self._connection = connection

    @property
    def version(self) -> str:
        return str(self.all("SELECT VERSION()")[0][0])

    def all(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, values or None)
            return list(cursor.fetchall())

    def databases(self) -> Sequence[str]:
        """Those of the server, without its own."""
        return [str(name) for (name,) in self.all(_DATABASES) if str(name) not in SYSTEM]

    def size(self, database: str) -> int:
        return int(self.all(_SIZE, database)[0][0])

    def tables(self, database: str) -> Sequence[Table]:
        return [Table(str(row[0]), int(row[1]), int(row[2]), str(row[3])) for row in self.all(_TABLES, database)]

    def is_empty(self, database: str) -> bool:
        """Whether there is neither table, view, routine nor event."""
        return not self.tables(database) and not int(self.all(_ROUTINES, database, database)[0][0])

    def quiet(self) -> bool:
        """Hold up everyone's writing until ``UNLOCK TABLES``; False where the login may not, or someone is busy for too long."""
        try:
            self.all(f"SET SESSION lock_wait_timeout = {LOCKED}")
            self.all("FLUSH TABLES WITH READ LOCK")
        except err.MySQLError as error:
            if _code(error) in {1227, 1205}:
                return False
            raise
        return True

    def count(self, database: str, table: Table) -> int:
        return int(self.all(f"SELECT COUNT(*) FROM {_quoted(database, table.name)}")[0][0])  # noqa: S608

    def checksum(self, database: str, table: Table) -> str:
        """The sum of a part of each row's MD5: the same in whatever order the rows come, and on every server."""
        columns = [
            f"IFNULL(HEX(CAST({_quoted(str(name))} AS BINARY)), '-')" for (name,) in self.all(_COLUMNS, database, table.name)
        ]
        row = f"CONV(LEFT(MD5(CONCAT_WS(',', {', '.join(columns)})), 15), 16, 10)"
        query = f"SELECT SUM(CAST({row} AS DECIMAL(20))) FROM {_quoted(database, table.name)}"  # noqa: S608
        return f"sum:{self.all(query)[0][0] or 0}"

    def sums(self, table: Table) -> bool:
        """Whether its rows can be summed quickly."""
        return table.size <= WHOLE and table.width < WIDE

    def make(self, database: str, like: str) -> None:
        """An empty database, sorting as ``like`` does if the server has that."""
        found = self.all(_LIKE, like)
        how = f" CHARACTER SET {found[0][0]} COLLATE {found[0][1]}" if found else ""
        self.all(f"CREATE DATABASE {_quoted(database)}{how}")

    def empty(self, database: str) -> None:
        """Made anew as it was; rights given on it stay."""
        found = self.all(_LIKE, database)
        self.drop(database)
        self.all(f"CREATE DATABASE {_quoted(database)} CHARACTER SET {found[0][0]} COLLATE {found[0][1]}")

    def drop(self, database: str) -> None:
        self.all(f"DROP DATABASE IF EXISTS {_quoted(database)}")


@contextmanager
def asking(place: str, url: str, ca_file: Path | None) -> Iterator[Asked]:
    """A session on the server itself. Raises ``PlaceRefused``, ``PlaceUnavailable`` and ``DumpFailed``, for questions too."""
    arguments: Mapping[str, Any] = Place.of(url, ca_file).arguments
    try:
        connection = pymysql.connect(
            **{**arguments, "database": None},
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=CONNECT,
            read_timeout=SILENCE,
            write_timeout=CONNECT,
            program_name="pilothouse backup",
        )
    except (err.MySQLError, RuntimeError) as error:
        if _code(error) in _REFUSED:
            raise PlaceRefused(f"{place}: the server refused the login; correct user and password in its url.") from None
        raise PlaceUnavailable(
            f"{place}: the server does not answer; is it running, and is the address right?", retry_after=30
        ) from None
    try:
        asked = Asked(connection)
        asked.all("SET SESSION time_zone = '+00:00', sql_mode = '', group_concat_max_len = 1048576")
        yield asked
    except err.MySQLError as error:
        raise _in_our_words(place, error) from None
    finally:
        connection.close() if connection.open else None


def key_of(name: str) -> str:
    """A database's name as it is safe in a key."""
    plain = quote(name, safe=" ")
    return plain if not plain.startswith(".") else f"%2E{plain[1:]}"


def _quoted(*names: str) -> str:
    return ".".join(f"`{name.replace('`', '``')}`" for name in names)


def _code(error: BaseException) -> int:
    code = error.args[0] if error.args else 0
    return code if isinstance(code, int) else 0


def _in_our_words(place: str, error: err.MySQLError) -> PilothouseError:
    code = _code(error)
    if code in _REFUSED:
        return PlaceRefused(f"{place}: the login has too few rights ({code}); grant it those that docs/backups.md names.")
    if code in _GONE or 2000 <= code < 3000:
        return PlaceUnavailable(f"{place}: the server broke off; try again in a moment.", retry_after=30)
    return DumpFailed(f"{place}: the server says {str(error.args[-1])[:200]} ({code}).")
