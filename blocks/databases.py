"""The databases that tools may read, by their names in the configuration."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Self

from blocks.mysql import MySQLDatabase
from blocks.postgres import PostgresDatabase
from core.config import Settings
from core.databases import AT_ONCE, Readable, Rows
from core.errors import DatabaseUnavailable, InputInvalid, ToolFailed

WAIT = 10.0
"""Seconds that a query waits for the others on its database."""


class Databases:
    """All of them, for one event loop; a connection is opened for each query and closed after it."""

    def __init__(self, databases: Mapping[str, Readable]) -> None:
        self._databases = dict(databases)
        self._gates = {name: asyncio.Semaphore(AT_ONCE) for name in databases}

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """``[databases.X]``; touches no server."""
        databases: dict[str, Readable] = {}
        for name, section in settings.databases.items():
            engine = MySQLDatabase if section.url.get_secret_value().startswith("mysql:") else PostgresDatabase
            databases[name] = engine.from_settings(name, section, settings.ca_file)
        return cls(databases)

    @property
    def offered(self) -> Mapping[str, str]:
        """What is in each, by its name."""
        return {name: database.description for name, database in self._databases.items()}

    async def query(self, name: str, sql: str) -> Rows:
        """The answer to one reading statement; without a ``name``, of the only database there is.

        Raises ``InputInvalid``, ``ToolFailed``, ``ToolTimedOut`` and ``DatabaseUnavailable``.
        """
        if not self._databases:
            raise ToolFailed("No database is configured for queries: add [databases.NAME] with a url to the configuration.")
        chosen = name.strip() or (next(iter(self._databases)) if len(self._databases) == 1 else "")
        if chosen not in self._databases:
            told = "; ".join(f"{name} ({what})" if what else name for name, what in self.offered.items())
            raise InputInvalid(f"Say which database to ask: {told}.", field="database")
        async with self._turn(chosen):
            return await self._databases[chosen].query(sql)

    async def aclose(self) -> None:
        for database in self._databases.values():
            await database.aclose()

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncGenerator[None, None]:
        """Raises ``DatabaseUnavailable`` when too many others wait."""
        gate = self._gates[name]
        try:
            async with asyncio.timeout(WAIT):
                await gate.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailable(
                f'Database "{name}" is busy with other queries of ours; try again in a moment.', retry_after=5
            ) from error
        try:
            yield
        finally:
            gate.release()
