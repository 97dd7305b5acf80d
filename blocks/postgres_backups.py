"""A PostgreSQL that is backed up or restored into: one database, several, or all of a server."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, ClassVar, Literal, TypeVar
from urllib.parse import quote, unquote

from prefect.blocks.core import Block
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr

from blocks.own_thread import cores, put_back
from blocks.postgres_contents import Connection, LeftOut, clear, emptiness, fingerprint, fingerprint_like, sees_workspaces
from blocks.postgres_dumping import Dumping, opened_custom, opened_directory, opened_globals
from blocks.postgres_restoring import Restoring, Target, require_extensions
from blocks.postgres_session import connected, drop_databases, facts, make_database, names_of, size_of, snapshot
from blocks.postgres_tools import dumping_programs, environment_of, is_encrypted, restoring_programs
from core.addresses import postgres_url
from core.backups.errors import DumpFailed, PlaceRefused, RestoreFailed
from core.backups.naming import beside
from core.backups.place import Dump, Fingerprint, Inspection, Part

CUSTOM, DIRECTORY, GLOBALS = ".pgdump", ".pgdir.tar", "globals.sql"
T = TypeVar("T")


class PostgresServer(Block):
    """A PostgreSQL to be backed up, or restored into.

    Example:
        Load the saved block and see what there is:

        ```python
        from blocks.postgres_backups import PostgresServer

        server = await PostgresServer.aload("dify")
        print(await server.inspect())
        ```
    """

    _block_type_name: ClassVar[str | None] = "PostgreSQL Server"
    _block_type_slug: ClassVar[str | None] = "postgresql-server"
    _description: ClassVar[str | None] = "A PostgreSQL whose databases are backed up, or restored into."

    name: str = Field(description="What messages call it, such as sources.dify.")
    url: SecretStr = Field(description="postgresql://user:password@host:5432/name, of a role that may read everything.")
    databases: tuple[str, ...] = Field(default=(), description="Those of the server to save; empty: the one that the url names.")
    all_databases: bool = Field(default=False, description="Every database of the server, new ones too.")
    roles: bool = Field(default=False, description="Save roles and other things of the whole server as well.")
    passwords: bool = Field(default=False, description="Save the hashes of the roles' passwords with them.")
    exclude_tables: tuple[str, ...] = Field(default=(), description="Patterns of tables that are left out.")
    exclude_data: tuple[str, ...] = Field(default=(), description="Patterns of tables whose rows are left out.")
    form: Literal["custom", "directory"] = Field(default="custom", description="directory dumps in parallel and needs disk.")
    may_create: bool = Field(default=False, description="As a target: databases that are not there are made.")
    prefix: str = Field(default="", description="As a target: what the names of its databases begin with.")
    programs: Path | None = Field(default=None, description="Folder of PostgreSQL's programs; those that fit are found without.")
    scratch: Path | None = Field(default=None, description="Folder for what restores and directory dumps need meanwhile.")
    ca_file: Path | None = Field(default=None, description="CA certificates, for an address with sslmode=verify-full.")
    fast: bool = Field(default=False, description="Take all cores.")

    async def inspect(self) -> Inspection:
        """See ``Place.inspect``. Raises ``ToolTooOld`` too."""
        size, empty, names, extensions = 0, True, [], set[str]()
        async with self._at_home() as connection:
            version = connection.info.server_version
            programs = await asyncio.to_thread(dumping_programs, version, self.programs, is_encrypted(self._address))
            there = await names_of(connection)
            server = f"PostgreSQL {version // 10_000}.{version % 10_000}"
            for name in self._wanted(there):
                if name not in there:
                    if self.may_create:
                        continue
                    raise PlaceRefused(f"{self.name}: the server has no database {name}; correct the address.")
                size += await size_of(connection, name)
                async with self._connected(name) as inside:
                    blank, loaded = await emptiness(inside)
                if not (blank and self.all_databases and name == "postgres"):
                    names.append(name)
                empty &= blank
                extensions |= set(loaded)
        return Inspection(server, f"pg_dump {programs.version}", names, size, empty, sorted(extensions))

    @asynccontextmanager
    async def dumping(self, inspection: Inspection) -> AsyncGenerator[Dump, None]:
        """See ``Place.dumping``. Each database is of the moment of its fingerprint; a transaction keeps that until the end."""
        parts: list[Part] = []
        counts: dict[str, int] = {}
        checksums: dict[str, str] = {}
        async with AsyncExitStack() as stack:
            connections = {name: await stack.enter_async_context(self._connected(name)) for name in inspection.databases}
            snapshots = {name: await snapshot(connection) for name, connection in connections.items()}
            dumping = await self._dumping(connections)
            if self.roles:
                environment = environment_of(self._address, None, self.ca_file)
                parts.append(Part(GLOBALS, "sql", partial(opened_globals, dumping, environment, self.passwords)))
            for name, connection in connections.items():
                found = await fingerprint(connection, dumping.left_out)
                before = self._before(name)
                counts |= {f"{before}{table}": count for table, count in found.counts.items()}
                checksums |= {f"{before}{table}": word for table, word in found.checksums.items()}
                seen = replace(dumping, workspaces=await sees_workspaces(connection))
                parts.append(self._part(seen, name, snapshots[name], inspection.size or 0))
            yield Dump(parts, Fingerprint(counts, checksums))

    async def restore(self, part: str, form: str, stream: IO[bytes], only: str | None = None) -> None:
        """See ``Place.restore``. A database goes into the one that the url names, or, where the place has several, into that of
        its own name. Raises ``ExtensionMissing`` and ``TargetNotEmpty`` before anything is touched, ``ToolTooOld``, ``NoRoom``.
        """
        source = self._named if part == GLOBALS else self._into(part)
        database = source if part == GLOBALS else beside(self.prefix, source)
        if self.may_create:
            await self._create(database, like=source)
        ways = {"pg_custom": Restoring.custom, "pg_directory": Restoring.directory, "sql": Restoring.roles}
        if form not in ways:
            raise RestoreFailed(f"{self.name}: a PostgreSQL cannot take a part of the form {form}.")
        target = await self._target(database)
        await put_back(self.name, lambda stopped: ways[form](Restoring(target, only, stopped), stream), fast=self.fast)
        if form != "sql" and only is None:
            async with self._connected(database) as connection:
                await connection.execute("ANALYZE")

    async def fingerprint(self, like: Fingerprint) -> Fingerprint:
        """See ``Place.fingerprint``."""
        counts: dict[str, int] = {}
        checksums: dict[str, str] = {}
        for quoted in dict.fromkeys(key.rpartition("/")[0] for key in like.counts):
            before = f"{quoted}/" if quoted else ""
            wanted = Fingerprint(_inside(like.counts, before), _inside(like.checksums, before))
            async with self._connected(beside(self.prefix, unquote(quoted) or self._named)) as connection:
                found = await fingerprint_like(connection, wanted)
            counts |= {f"{before}{table}": count for table, count in found.counts.items()}
            checksums |= {f"{before}{table}": word for table, word in found.checksums.items()}
        return Fingerprint(counts, checksums)

    async def clear(self) -> None:
        """See ``Place.clear``. The databases stay, with their owners, rights and settings; what is in them goes, at once."""
        async with self._at_home() as connection:
            there = await names_of(connection)
        for name in self._wanted(there):
            if name in there:
                async with self._connected(name) as inside:
                    await clear(inside)

    async def require_extensions(self, needed: Sequence[str]) -> None:
        """Returns when the server can load all of them. Raises ``ExtensionMissing``."""
        async with self._at_home() as connection:
            require_extensions(self.name, needed, (await facts(connection)).extensions)

    @asynccontextmanager
    async def beside(self, prefix: str) -> AsyncGenerator["PostgresServer", None]:
        """A place of new databases on the same server, whose names begin with ``prefix``; all of them are dropped at the end."""
        if len(prefix) < 6:
            raise ValueError("a prefix of at least six characters")
        scratch = self.model_copy(update={"name": f"{self.name} (scratch)", "prefix": prefix, "may_create": True})
        try:
            yield scratch
        finally:
            async with self._at_home() as connection:
                await drop_databases(connection, prefix)

    @property
    def _address(self) -> str:
        return postgres_url(self.url.get_secret_value())

    @property
    def _named(self) -> str:
        """The database of the url."""
        return str(conninfo_to_dict(self._address)["dbname"])

    @property
    def _has_several(self) -> bool:
        return self.all_databases or bool(self.databases)

    def _wanted(self, there: Sequence[str]) -> Sequence[str]:
        """The databases of this place by their full names; ``there`` are those of the server."""
        if self.all_databases:
            return [name for name in there if name.startswith(self.prefix)]
        return [beside(self.prefix, name) for name in self.databases or (self._named,)]

    def _into(self, part: str) -> str:
        """The database that a part goes into, without the prefix."""
        return unquote(part.removesuffix(CUSTOM).removesuffix(DIRECTORY)) if self._has_several else self._named

    def _before(self, name: str) -> str:
        """What the database's tables have before their names in counts."""
        return f"{_quoted(name)}/" if self._has_several else ""

    def _connected(self, database: str | None) -> AbstractAsyncContextManager[Connection]:
        return connected(self.name, self._address, database, self.ca_file)

    @asynccontextmanager
    async def _at_home(self) -> AsyncGenerator[Connection, None]:
        """A session for questions about the server; of a target whose database is still to be made, in ``postgres``."""
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(self._connected(None))
            except PlaceRefused:
                if not self.may_create:
                    raise
                connection = await stack.enter_async_context(self._connected("postgres"))
            yield connection

    async def _dumping(self, connections: Mapping[str, Connection]) -> Dumping:
        for connection in connections.values():
            version = connection.info.server_version
            programs = await asyncio.to_thread(dumping_programs, version, self.programs, is_encrypted(self._address))
            left_out = LeftOut(self.exclude_tables, self.exclude_data)
            return Dumping(self.name, programs, left_out, cores(fast=self.fast), self.scratch)
        raise DumpFailed(f"{self.name}: the server has no database to save.")

    def _part(self, dumping: Dumping, name: str, moment: str, size: int) -> Part:
        environment = environment_of(self._address, name, self.ca_file)
        if self.form == "custom":
            return Part(_quoted(name) + CUSTOM, "pg_custom", partial(opened_custom, dumping, environment, moment))
        return Part(_quoted(name) + DIRECTORY, "pg_directory", partial(opened_directory, dumping, environment, moment, size))

    async def _create(self, database: str, like: str) -> None:
        async with self._at_home() as connection:
            if database not in await names_of(connection):
                await make_database(connection, database, like=like)

    async def _target(self, database: str) -> Target:
        async with self._connected(database) as connection:
            version, known = connection.info.server_version, await facts(connection)
        programs = await asyncio.to_thread(restoring_programs, version, self.programs, is_encrypted(self._address))
        return Target(
            place=self.name,
            programs=programs,
            environment=environment_of(self._address, database, self.ca_file),
            user=known.user,
            powerful=known.powerful,
            roles=known.roles,
            extensions=known.extensions,
            tables=known.tables,
            jobs=cores(fast=self.fast),
            scratch=self.scratch,
        )


def _quoted(name: str) -> str:
    """A database's name as it is safe in a key."""
    plain = quote(name, safe=" ")
    return plain if not plain.startswith(".") else f"%2E{plain[1:]}"


def _inside(values: Mapping[str, T], before: str) -> dict[str, T]:
    """The values of one database, by the names that they have inside of it."""
    return {name.removeprefix(before): value for name, value in values.items() if name.startswith(before)}
