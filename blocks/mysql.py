"""A MySQL or MariaDB that a tool may read: its address, its limits, and one query at a time in a thread."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import ClassVar, Self

from prefect.blocks.core import Block
from pydantic import Field, PrivateAttr, SecretStr
from pymysql import err

from blocks.mysql_session import NO_SUCH_TABLE, MySQLSession, Place
from core.databases import (
    AT_ONCE,
    CONNECT,
    GRACE,
    ONLY_QUERIES,
    Rows,
    broken_off,
    not_utf8,
    statement,
    there_are,
    too_long,
    unreachable,
)
from core.errors import InputInvalid, PilothouseError, ToolFailed
from core.settings_databases import ReadableSettings

_TIMED_OUT = frozenset({1205, 1317, 1969, 3024})
_GONE = frozenset({1053, 1077, 1927, 4031})
_LOGIN_REFUSED = frozenset({1044, 1045, 1049, 1130, 1251, 1698, 1820, 3118})
_NO_RIGHT = frozenset({1044, 1142, 1143, 1227, 1370})
_LOGIN = re.compile(r" (to|for) user '[^']*'@'[^']*'")
"""Which user is refused is nobody's business who asks."""
_NO_QUERY = frozenset({1064, 1221, 1295, 1792})


class MySQLDatabase(Block):
    """A MySQL or MariaDB that may be asked with reading SQL.

    Example:
        Load the saved block and ask:

        ```python
        from blocks.mysql import MySQLDatabase

        database = await MySQLDatabase.aload("shop")
        found = await database.query("SELECT region, sum(amount) FROM orders GROUP BY region")
        ```
    """

    _block_type_name: ClassVar[str | None] = "MySQL To Read"
    _block_type_slug: ClassVar[str | None] = "mysql-to-read"
    _description: ClassVar[str | None] = "A MySQL or MariaDB database that may be asked with reading SQL, and its limits."

    name: str = Field(description="What the database is called in pilothouse.toml and by those who ask.")
    url: SecretStr = Field(description="mysql://user:password@host:3306/name, of a user that can only read.")
    description: str = Field(default="", description="What is in it, as a model is told.")
    rows: int = Field(default=500, ge=1, le=10_000, description="Rows of one answer.")
    seconds: float = Field(default=15.0, gt=0, le=60, description="Seconds that a query may take.")
    ca_file: Path | None = Field(default=None, description="CA certificates, for ssl-mode=VERIFY_CA or VERIFY_IDENTITY.")

    _threads: ThreadPoolExecutor | None = PrivateAttr(default=None)

    @classmethod
    def from_settings(cls, name: str, settings: ReadableSettings, ca_file: Path | None = None) -> Self:
        """``[databases.NAME]``; opens no connection."""
        return cls(name=name, ca_file=ca_file, **settings.model_dump())

    async def query(self, sql: str) -> Rows:
        """See ``core.databases.Readable.query``."""
        asked = statement(sql)
        if self._threads is None:  # its own, so that a server that hangs takes no thread from anyone else
            self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix=f"mysql-{self.name}")
        call = _Call(self, asked)
        work = asyncio.wrap_future(self._threads.submit(call.run))
        work.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # nobody may be left to hear it
        try:
            async with asyncio.timeout(CONNECT + self.seconds + GRACE):
                return await asyncio.shield(work)
        except TimeoutError as error:
            raise too_long(self.seconds) from error
        finally:
            if not work.done():
                work.cancel()
                call.abandon()

    async def aclose(self) -> None:
        """Take no more queries; those that run end by themselves."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


class _Call:
    """One query, from connecting to closing, in a thread."""

    def __init__(self, database: MySQLDatabase, asked: str) -> None:
        self._database = database
        self._asked = asked
        self._session: MySQLSession | None = None

    def run(self) -> Rows:
        database = self._database
        try:
            session = MySQLSession(Place.of(database.url.get_secret_value(), database.ca_file), database.seconds)
        except (err.MySQLError, RuntimeError) as error:
            raise unreachable(database.name, login=bool(error.args) and error.args[0] in _LOGIN_REFUSED) from None
        self._session = session
        try:
            if (power := session.begin(database.rows)) is not None:
                raise ToolFailed(
                    f'The login of database "{database.name}" may do more than read (it has {power}), so nothing is run. Put a '
                    f"user of its own into databases.{database.name}.url: CREATE USER reader IDENTIFIED BY '…'; "
                    "GRANT SELECT, SHOW VIEW ON name.* TO reader;"
                )
            return session.read(self._asked, database.rows)
        except err.MySQLError as error:
            raise self._in_our_words(error, session) from None
        except UnicodeDecodeError as error:
            raise not_utf8(database.name) from error
        finally:
            session.close()

    def abandon(self) -> None:
        """End the query on the server; its thread then ends too."""
        if self._session is not None:
            Thread(target=self._kill, args=(self._session,), daemon=True).start()

    def _kill(self, session: MySQLSession) -> None:
        with suppress(err.MySQLError, OSError):  # it ended meanwhile, or the server is gone
            session.kill()

    def _in_our_words(self, error: err.MySQLError, session: MySQLSession) -> PilothouseError:
        name, code = self._database.name, error.args[0] if error.args else 0
        said = str(error.args[1] if len(error.args) > 1 else error).rstrip(".")
        if code in _TIMED_OUT:
            return too_long(self._database.seconds)
        if not isinstance(code, int) or code == 0 or code in _GONE or 2000 <= code < 3000:
            return broken_off(name)
        if code in _NO_RIGHT:
            return ToolFailed(f'Database "{name}" says: {_LOGIN.sub("", said)}.')
        tables = there_are(session.tables()) if code == NO_SUCH_TABLE else ""
        rule = ONLY_QUERIES if code in _NO_QUERY else ""
        return InputInvalid(f'Database "{name}" says: {said}.{tables}{rule}', field="sql")
