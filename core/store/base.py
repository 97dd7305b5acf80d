"""The database: one engine per process, one way to a connection, failures in our own words."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Self

from sqlalchemy import ColumnElement, MetaData, Text, text, true
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.config import DatabaseSettings
from core.errors import ConfigurationInvalid, DatabaseUnavailable
from core.workspaces import DEFAULT, EVERY, current_workspace

SCHEMA = "pilothouse"


class Base(DeclarativeBase):
    """All tables live in schema ``pilothouse``, so that a database may be shared with another application."""

    metadata = MetaData(schema=SCHEMA)


class OfWorkspace:
    """A table whose rows belong to workspaces, under row-level security."""

    workspace: Mapped[str] = mapped_column(Text, server_default=text("pilothouse.current_workspace()"))


def own(table: type[OfWorkspace]) -> ColumnElement[bool]:
    """Rows of the workspace whose work is done; where that is all of them, every row.

    Row-level security sees to the same. A question says it too, so that neither rests on the other.
    """
    workspace = current_workspace()
    return true() if workspace == EVERY else table.workspace == workspace


def driver_url(url: str) -> URL:
    """``postgresql://`` or ``postgres://`` as SQLAlchemy wants it for psycopg 3."""
    return make_url(url).set(drivername="postgresql+psycopg")


_ENTER = text("SELECT set_config('pilothouse.workspace', :workspace, :local)")
_ENTERED = "workspace"


@dataclass(frozen=True, slots=True)
class Roles:
    """Whom a process that serves requests asks the database as: neither owns anything, only ``system`` sees every workspace."""

    requests: URL
    system: URL


class _Pool:
    """Connections of one role, which are in the workspace ``first`` when they are new."""

    def __init__(self, engine: AsyncEngine, first: str) -> None:
        self.engine = engine
        self.first = first
        self.answers = True
        # The same pool. A single statement in autocommit saves the BEGIN and COMMIT round trips.
        self.autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")


class Store:
    """Pools of connections to our database; every subject of ``core.store`` asks through it.

    What is asked for a workspace goes out in that workspace, where row-level security shows nothing of another's.
    """

    def __init__(self, pools: tuple[_Pool, _Pool]) -> None:
        """The pool for the whole installation, and the one for workspaces."""
        self._pools = pools

    @classmethod
    def from_settings(cls, settings: DatabaseSettings, application: str = "pilothouse", roles: Roles | None = None) -> Self:
        """Opens no connection yet. Without ``roles``, as the user of the URL. Raises ``ConfigurationInvalid`` without a URL."""
        if settings.url is None:
            raise ConfigurationInvalid("No database is configured: set DATABASE_URL, or start everything with `pilothouse up`.")
        if roles is None:
            pool = _Pool(_engine(settings, application, driver_url(settings.url.get_secret_value()), EVERY), EVERY)
            return cls((pool, pool))
        system, requests = (
            _engine(settings, application, roles.system, EVERY),
            _engine(settings, application, roles.requests, DEFAULT),
        )
        return cls((_Pool(system, EVERY), _Pool(requests, DEFAULT)))

    @property
    def answers(self) -> bool:
        """Whether the database answered when it was last asked something."""
        return self._pools[0].answers

    @property
    def system(self) -> "Store":
        """The same for what belongs to no workspace, whoever asks: users, tokens, leases, the audit log."""
        return _System(self._pools)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end, rolled back on an exception. Raises ``DatabaseUnavailable``."""
        workspace, pool = self._where()
        with self._in_our_words():
            async with pool.engine.begin() as connection:
                if connection.info.get(_ENTERED, pool.first) != workspace:
                    await connection.execute(_ENTER, {"workspace": workspace, "local": True})
                yield connection

    @asynccontextmanager
    async def single(self) -> AsyncIterator[AsyncConnection]:
        """A connection on which every statement is its own transaction. Raises ``DatabaseUnavailable``."""
        workspace, pool = self._where()
        with self._in_our_words():
            async with pool.autocommit.connect() as connection:
                if connection.info.get(_ENTERED, pool.first) != workspace:
                    await connection.execute(_ENTER, {"workspace": workspace, "local": False})
                    connection.info[_ENTERED] = workspace
                yield connection

    async def ping(self) -> None:
        """Raises ``DatabaseUnavailable`` unless the database answers a query."""
        async with self.single() as connection:
            await connection.execute(text("SELECT 1"))

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.engine.dispose()

    def _where(self) -> tuple[str, _Pool]:
        workspace = current_workspace()
        return workspace, self._pools[workspace != EVERY]

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
            self._pools[0].answers = True
        except PoolTimeout as error:
            raise DatabaseUnavailable(
                "All database connections are in use; raise database.pool_size or try again.", retry_after=2
            ) from error
        except (OperationalError, InterfaceError) as error:
            self._pools[0].answers = False
            raise DatabaseUnavailable("The database does not answer; try again in a moment.", retry_after=2) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise DatabaseUnavailable("The database closed the connection; try again in a moment.", retry_after=2) from error
            raise


class _System(Store):
    """All workspaces, whoever asks."""

    @property
    def system(self) -> Store:
        return self

    def _where(self) -> tuple[str, _Pool]:
        return EVERY, self._pools[0]


def _engine(settings: DatabaseSettings, application: str, url: URL, workspace: str) -> AsyncEngine:
    timeout = int(settings.statement_timeout * 1000)
    return create_async_engine(
        url,
        pool_size=settings.pool_size,
        max_overflow=settings.pool_overflow,
        pool_timeout=settings.pool_timeout,
        pool_use_lifo=True,
        hide_parameters=True,  # an error text must not quote a message
        connect_args={
            "connect_timeout": settings.connect_timeout,
            "application_name": application,
            "options": f"-c statement_timeout={timeout} -c timezone=UTC -c pilothouse.workspace={workspace}",
        },
    )
