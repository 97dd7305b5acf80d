"""A MySQL or MariaDB that is backed up or restored into: one database, several, or all of a server."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, ClassVar, TypeVar
from urllib.parse import unquote, urlsplit

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from blocks.dump_process import Tool, feed
from blocks.mysql_contents import Asked, asking, key_of
from blocks.mysql_dumping import Begun, OneTable
from blocks.mysql_tools import Login, Programs, Server, dumping_tool, programs_for, restoring_tool, wrong_with_restore
from blocks.own_thread import ended, in_own_thread, put_back
from core.backups.errors import DumpFailed, PlaceRefused, RestoreFailed, TargetNotEmpty
from core.backups.naming import beside
from core.backups.place import Dump, Fingerprint, Inspection, Part, Stream

SQL = ".sql"
T = TypeVar("T")
Opener = Callable[[], AbstractContextManager[Stream]]


class MySQLServer(Block):
    """A MySQL or MariaDB to be backed up, or restored into.

    Example:
        Load the saved block and see what there is:

        ```python
        from blocks.mysql_backups import MySQLServer

        server = await MySQLServer.aload("astron")
        print(await server.inspect())
        ```
    """

    _block_type_name: ClassVar[str | None] = "MySQL Server"
    _block_type_slug: ClassVar[str | None] = "mysql-server"
    _description: ClassVar[str | None] = "A MySQL or MariaDB whose databases are backed up, or restored into."

    name: str = Field(description="What messages call it, such as sources.astron.")
    url: SecretStr = Field(description="mysql://user:password@host:3306/name, of a user that may read everything.")
    databases: tuple[str, ...] = Field(default=(), description="Those of the server to save; empty: the one that the url names.")
    all_databases: bool = Field(default=False, description="Every database of the server, new ones too.")
    exclude_tables: tuple[str, ...] = Field(default=(), description="Patterns (* and ?) of tables that are left out.")
    exclude_data: tuple[str, ...] = Field(default=(), description="Patterns of tables whose rows are left out.")
    may_create: bool = Field(default=False, description="As a target: databases that are not there are made.")
    prefix: str = Field(default="", description="As a target: what the names of its databases begin with.")
    programs: Path | None = Field(default=None, description="Folder of mysqldump and mysql; found on the PATH without.")
    ca_file: Path | None = Field(default=None, description="CA certificates, for ssl-mode=VERIFY_CA or VERIFY_IDENTITY.")
    fast: bool = Field(default=False, description="Run at normal priority.")

    async def inspect(self) -> Inspection:
        """See ``Place.inspect``. Raises ``ToolTooOld`` too."""
        return await self._asked(self._inspected)

    @asynccontextmanager
    async def dumping(self, inspection: Inspection) -> AsyncGenerator[Dump, None]:
        """See ``Place.dumping``. All dumps and the fingerprint are of one moment, for which writing is held up where the login
        may do that (``RELOAD``); otherwise they follow each other.
        """
        if not inspection.databases:
            raise DumpFailed(f"{self.name}: the server has no database to save.")
        begun = Begun(self.name)
        work = in_own_thread(partial(self._begun, begun, inspection.databases), "mysql-begin", quiet=not self.fast)
        try:
            yield await asyncio.shield(work)
        finally:
            await ended(work)
            await asyncio.to_thread(begun.close)

    async def restore(self, part: str, form: str, stream: IO[bytes], only: str | None = None) -> None:
        """See ``Place.restore``. A database goes into the one that the url names, or, where the place has several, into that of
        its own name. Raises ``TargetNotEmpty`` before anything is touched, ``ToolTooOld``.
        """
        if form != "sql" or not part.endswith(SQL):
            raise RestoreFailed(f"{self.name}: a MySQL or MariaDB cannot take a part of the form {form}.")
        like = unquote(part.removesuffix(SQL)) if self._has_several else self._named
        database = beside(self.prefix, like)
        programs = await self._asked(partial(self._ready, database, like, only))
        source = OneTable(stream, only) if only is not None else stream
        tool = restoring_tool(self._login, programs, database)
        done = await put_back(self.name, partial(feed, tool, source), fast=self.fast)
        if (wrong := wrong_with_restore(self.name, done)) is not None:
            raise wrong

    async def fingerprint(self, like: Fingerprint) -> Fingerprint:
        """See ``Place.fingerprint``."""
        return await self._asked(partial(self._counted_like, like))

    async def clear(self) -> None:
        """See ``Place.clear``. Each database is dropped and made again; rights given on it stay."""

        def cleared(asked: Asked) -> None:
            there = asked.databases()
            for name in self._wanted(there):
                if name in there:
                    asked.empty(name)

        await self._asked(cleared)

    @asynccontextmanager
    async def beside(self, prefix: str) -> AsyncGenerator["MySQLServer", None]:
        """A place of new databases on the same server, whose names begin with ``prefix``; all of them are dropped at the end."""
        if len(prefix) < 6:
            raise ValueError("a prefix of at least six characters")
        scratch = self.model_copy(update={"name": f"{self.name} (scratch)", "prefix": prefix, "may_create": True})

        def dropped(asked: Asked) -> None:
            for name in asked.databases():
                if name.startswith(prefix):
                    asked.drop(name)

        try:
            yield scratch
        finally:
            await self._asked(dropped)

    @property
    def _login(self) -> Login:
        return Login(self.url.get_secret_value(), self.ca_file)

    @property
    def _named(self) -> str:
        """The database of the url."""
        return unquote(urlsplit(self.url.get_secret_value()).path.strip("/"))

    @property
    def _has_several(self) -> bool:
        return self.all_databases or bool(self.databases)

    def _wanted(self, there: Sequence[str]) -> Sequence[str]:
        """The databases of this place by their full names; ``there`` are those of the server."""
        if self.all_databases:
            return [name for name in there if name.startswith(self.prefix)]
        return [beside(self.prefix, name) for name in self.databases or (self._named,)]

    async def _asked(self, work: Callable[[Asked], T]) -> T:
        """What ``work`` finds with a session, in a thread."""

        def working() -> T:
            with asking(self.name, self.url.get_secret_value(), self.ca_file) as asked:
                return work(asked)

        return await in_own_thread(working, "mysql", quiet=not self.fast)

    def _inspected(self, asked: Asked) -> Inspection:
        server = Server(asked.version)
        programs = programs_for(server, self.programs)
        size, empty, names, there = 0, True, [], asked.databases()
        for name in self._wanted(there):
            if name not in there:
                if self.may_create:
                    continue
                raise PlaceRefused(f"{self.name}: the login sees no database {name}; correct the address or its rights.")
            names.append(name)
            size += asked.size(name)
            empty &= asked.is_empty(name)
        return Inspection(server.shown, programs.shown, names, size, empty)

    def _begun(self, begun: Begun, names: Sequence[str]) -> Dump:
        """Every dump has begun, and what they hold is counted."""
        with asking(self.name, self.url.get_secret_value(), self.ca_file) as asked:
            programs = programs_for(Server(asked.version), self.programs)
            tools = {name: self._tool(asked, programs, name) for name in names}
            asked.all("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            is_quiet = asked.quiet()
            try:
                asked.all("START TRANSACTION WITH CONSISTENT SNAPSHOT")
                openers = {name: begun.begin(tool) for name, tool in tools.items()}
            finally:
                if is_quiet:
                    asked.all("UNLOCK TABLES")
            counts, checksums = self._counted(asked, names)
        parts = [
            Part(key_of(name) + SQL, "sql", partial(self._opened, [opener], name, counts, checksums))
            for name, opener in openers.items()
        ]
        return Dump(parts, Fingerprint(counts, checksums))

    @contextmanager
    def _opened(self, ready: list[Opener], name: str, counts: dict[str, int], checksums: dict[str, str]) -> Iterator[Stream]:
        """A dump that has begun can be read once; whoever tries again gets a new one, and its database is counted anew."""
        again = Begun(self.name)
        try:
            if not ready:
                newer = self._begun(again, (name,))
                counts.update(newer.fingerprint.counts)
                checksums.update(newer.fingerprint.checksums)
                ready.append(newer.parts[0].open)
            with ready.pop()() as stream:
                yield stream
        finally:
            again.close()

    def _tool(self, asked: Asked, programs: Programs, name: str) -> Tool:
        tables = asked.tables(name)
        without = [table.name for table in tables if table.matches(self.exclude_tables)]
        empty = [table.name for table in tables if table.holds_rows and table.matches(self.exclude_data)]
        return dumping_tool(self._login, programs, name, without, empty)

    def _counted(self, asked: Asked, names: Sequence[str]) -> tuple[dict[str, int], dict[str, str]]:
        counts: dict[str, int] = {}
        checksums: dict[str, str] = {}
        for name in names:
            for table in asked.tables(name):
                if not table.holds_rows or table.matches(self.exclude_tables):
                    continue
                key = self._before(name) + table.shown
                if table.matches(self.exclude_data):
                    counts[key] = 0
                    continue
                counts[key] = asked.count(name, table)
                if asked.sums(table):
                    checksums[key] = asked.checksum(name, table)
        return counts, checksums

    def _counted_like(self, like: Fingerprint, asked: Asked) -> Fingerprint:
        """The same tables, counted and summed in the same ways; those that are missing are left out."""
        counts: dict[str, int] = {}
        checksums: dict[str, str] = {}
        for quoted in dict.fromkeys(key.rpartition("/")[0] for key in like.counts):
            name = beside(self.prefix, unquote(quoted) or self._named)
            for table in asked.tables(name):
                key = (f"{quoted}/" if quoted else "") + table.shown
                if key in like.counts and table.holds_rows:
                    counts[key] = asked.count(name, table)
                if key in like.checksums and table.holds_rows:
                    checksums[key] = asked.checksum(name, table)
        return Fingerprint(counts, checksums)

    def _before(self, name: str) -> str:
        """What the database's tables have before their names in counts."""
        return f"{key_of(name)}/" if self._has_several else ""

    def _ready(self, database: str, like: str, only: str | None, asked: Asked) -> Programs:
        """The target is there, and empty enough."""
        if database not in asked.databases():
            if not self.may_create:
                raise PlaceRefused(f"{self.name}: the server has no database {database}; create it first.")
            asked.make(database, like=like)
        there = [table.name for table in asked.tables(database) if only in (None, table.name)]
        if there:
            raise TargetNotEmpty(f"{self.name}: {database} has {len(there)} tables already, such as {there[0]}; empty it first.")
        return programs_for(Server(asked.version), self.programs)
