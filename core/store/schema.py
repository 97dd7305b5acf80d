"""Bringing a database to this release's schema: safe when several processes start at once, refused when it is newer."""

import asyncio
from pathlib import Path

import psycopg
from psycopg import errors
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from core.errors import ConfigurationInvalid, DatabaseTooNew, DatabaseUnavailable
from core.store.base import SCHEMA, driver_url

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x70696C6F74  # any fixed number: "pilot"
MINIMUM_SERVER = 140000


def newest_revision() -> str:
    """The revision that this release's tables need."""
    return max(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


async def migrate(url: str) -> bool:
    """Bring the database at ``url`` (``postgresql://…``) up to date; True when something changed.

    Raises ``DatabaseTooNew`` for a later release's schema, ``DatabaseUnavailable`` when the server does not answer and
    ``ConfigurationInvalid`` when the database does not exist, the server is older than PostgreSQL 14 or a right is missing.
    """
    return await asyncio.to_thread(_migrate, url)


def _migrate(url: str) -> bool:
    address = driver_url(url)
    shown = f"{address.host or 'the local socket'}/{address.database}"
    try:
        with psycopg.connect(
            address.set(drivername="postgresql").render_as_string(hide_password=False), connect_timeout=5, autocommit=True
        ) as connection:
            if connection.info.server_version < MINIMUM_SERVER:
                raise ConfigurationInvalid(
                    f"{shown} runs PostgreSQL {connection.info.server_version // 10000}; 14 or newer is needed."
                )
            if _revision(connection) == newest_revision():
                return False
            connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))  # held until the connection closes
            revision = _revision(connection)
            if revision is not None and revision > newest_revision():
                raise DatabaseTooNew(
                    f"{shown} was written by a later release (schema {revision}, this one knows {newest_revision()})."
                )
            if revision == newest_revision():
                return False
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            _upgrade(url)
            return True
    except errors.InsufficientPrivilege as error:
        grant = f"GRANT CREATE ON DATABASE {address.database} TO {address.username}"
        raise ConfigurationInvalid(f"The database user may not create our tables in {shown}: {grant}.") from error
    except psycopg.OperationalError as error:
        raise _unreachable(error, shown, address.database) from error


def _unreachable(error: psycopg.OperationalError, shown: str, database: str | None) -> ConfigurationInvalid | DatabaseUnavailable:
    # libpq has no SQLSTATE for a failed connection, so its text is all there is; the server's language may differ.
    reason = str(error)
    if "does not exist" in reason and "database" in reason:
        return ConfigurationInvalid(f"Database {shown} does not exist: CREATE DATABASE {database}.")
    if "authentication failed" in reason or "no password supplied" in reason:
        return ConfigurationInvalid(f"{shown} refused the user name or password of the database URL.")
    return DatabaseUnavailable(f"{shown} does not answer; is the server running and the address right?", retry_after=2)


def _revision(connection: psycopg.Connection) -> str | None:
    found = connection.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.alembic_version",)).fetchone()
    if found is None or found[0] is None:
        return None
    row = connection.execute(f"SELECT version_num FROM {SCHEMA}.alembic_version").fetchone()  # noqa: S608  (a constant)
    return None if row is None else str(row[0])


def _upgrade(url: str) -> None:
    # Alembic takes half a second to import; most starts find nothing to do.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine(driver_url(url), poolclass=NullPool, connect_args={"connect_timeout": 5})
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
