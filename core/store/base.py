"""The database: one engine per process, one way to a connection, failures in our own words."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Self

from sqlalchemy import MetaData, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from core.config import DatabaseSettings
from core.errors import ConfigurationInvalid, DatabaseUnavailable

SCHEMA = "pilothouse"


class Base(DeclarativeBase):
    """All tables live in schema ``pilothouse``, so that a database may be shared with another application."""

    metadata = MetaData(schema=SCHEMA)


def driver_url(url: str) -> URL:
    """``postgresql://`` or ``postgres://`` as SQLAlchemy wants it for psycopg 3."""
    return make_url(url).set(drivername="postgresql+psycopg")


class Store:
    """A pool of connections to our database; every subject of ``core.store`` asks through it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.answers = True
        """Whether the database answered when it was last asked something."""
        self._engine = engine
        # The same pool. A single statement in autocommit saves the BEGIN and COMMIT round trips.
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")

    @classmethod
    def from_settings(cls, settings: DatabaseSettings, application: str = "pilothouse") -> Self:
        """Opens no connection yet. Raises ``ConfigurationInvalid`` without a URL."""
        if settings.url is None:
            raise ConfigurationInvalid("No database is configured: set DATABASE_URL, or start everything with `pilothouse up`.")
        engine = create_async_engine(
            driver_url(settings.url.get_secret_value()),
            pool_size=settings.pool_size,
            max_overflow=settings.pool_overflow,
            pool_timeout=settings.pool_timeout,
            pool_use_lifo=True,
            hide_parameters=True,  # an error text must not quote a message
            connect_args={
                "connect_timeout": settings.connect_timeout,
                "application_name": application,
                "options": f"-c statement_timeout={int(settings.statement_timeout * 1000)} -c timezone=UTC",
            },
        )
        return cls(engine)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end, rolled back on an exception. Raises ``DatabaseUnavailable``."""
        with self._in_our_words():
            async with self._engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def single(self) -> AsyncIterator[AsyncConnection]:
        """A connection on which every statement is its own transaction. Raises ``DatabaseUnavailable``."""
        with self._in_our_words():
            async with self._autocommit.connect() as connection:
                yield connection

    async def ping(self) -> None:
        """Raises ``DatabaseUnavailable`` unless the database answers a query."""
        async with self.single() as connection:
            await connection.execute(text("SELECT 1"))

    async def aclose(self) -> None:
        await self._engine.dispose()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
            self.answers = True
        except PoolTimeout as error:
            raise DatabaseUnavailable(
                "All database connections are in use; raise database.pool_size or try again.", retry_after=2
            ) from error
        except (OperationalError, InterfaceError) as error:
            self.answers = False
            raise DatabaseUnavailable("The database does not answer; try again in a moment.", retry_after=2) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise DatabaseUnavailable("The database closed the connection; try again in a moment.", retry_after=2) from error
            raise
