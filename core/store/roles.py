"""The two database roles that a process which serves requests works as: neither owns a table or passes row-level security by."""

import asyncio
import re
from collections.abc import Mapping
from hashlib import sha256

import psycopg
import structlog
from psycopg import errors, sql
from sqlalchemy.engine import URL

from core.errors import ConfigurationInvalid
from core.store.base import SCHEMA, Roles, driver_url
from core.store.schema import LOCK

log = structlog.get_logger(__name__)

# A table with row-level security is one for requests; everything else is the system's alone.
_MISSING = """
    SELECT NOT EXISTS (
        SELECT FROM pg_class t, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS may
        WHERE t.relnamespace = 'pilothouse'::regnamespace AND t.relkind IN ('r', 'p')
            AND NOT (has_table_privilege(%(system)s, t.oid, may)
                AND has_table_privilege(%(requests)s, t.oid, may) = t.relrowsecurity))
"""
_APART = """
    SELECT relname FROM pg_class WHERE relnamespace = 'pilothouse'::regnamespace AND relkind IN ('r', 'p') AND relrowsecurity
"""


async def prepared_roles(url: str) -> Roles | None:
    """The roles in the migrated database at ``url``, made where they are not there yet.

    None where its user may not make roles: then every process asks as that user, whom the policies hold to as well unless it is a
    superuser. Raises ``ConfigurationInvalid`` for a user who passes them by where the roles cannot be used.
    """
    return await asyncio.to_thread(_prepared, url)


def role_names(database: str) -> tuple[str, str]:
    """For requests and for the system. Roles belong to a whole server, hence the database's name in them."""
    safe = re.sub(r"[^a-z0-9_]", "_", database.lower())
    if safe != database or len(safe) > 40:
        safe = f"{safe[:31]}_{sha256(database.encode()).hexdigest()[:8]}"
    return f"pilothouse_requests_{safe}", f"pilothouse_system_{safe}"


def _prepared(url: str) -> Roles | None:
    address = driver_url(url)
    names = role_names(address.database or "")
    plain = address.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, connect_timeout=5, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))  # held until the connection closes
        secret = _one(connection, "SELECT role_secret FROM pilothouse.installation")
        passes = _one(connection, "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        requests, system = (address.set(username=name, password=str(secret)) for name in names)
        try:
            _make(connection, names, str(secret))
            if not _enters(requests):  # the database came from elsewhere, and its secret with it
                _give(connection, names, str(secret))
        except errors.InsufficientPrivilege:
            problem = "its user may not make roles"
        else:
            problem = f"the server does not let the role {names[0]} in (see pg_hba.conf)"
    if _enters(requests):
        return Roles(requests, system)
    if passes:
        raise ConfigurationInvalid(
            f"Workspaces cannot be kept apart in the database: its user passes row-level security by, and {problem}."
            " Allow that, or use a user that is neither a superuser nor has BYPASSRLS."
        )
    log.warning("one_database_user", reason=problem, todo=f"ALTER ROLE {address.username} CREATEROLE")
    return None


def _enters(address: URL) -> bool:
    plain = address.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        psycopg.connect(plain, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _make(connection: psycopg.Connection, names: tuple[str, str], secret: str) -> None:
    for name in names:
        role = sql.Identifier(name)
        if not _one(connection, "SELECT count(*) FROM pg_roles WHERE rolname = %(name)s", {"name": name}):
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN NOINHERIT PASSWORD {}").format(role, sql.Literal(secret)))
    if _one(connection, _MISSING, {"requests": names[0], "system": names[1]}):
        return
    given = {
        "schema": sql.Identifier(SCHEMA),
        "database": sql.Identifier(connection.info.dbname),
        "requests": sql.Identifier(names[0]),
        "system": sql.Identifier(names[1]),
    }
    tables = sql.SQL(", ").join(sql.Identifier(SCHEMA, row[0]) for row in connection.execute(_APART))
    with connection.transaction():
        for statement in (
            "GRANT CONNECT ON DATABASE {database} TO {requests}, {system}",
            "GRANT USAGE ON SCHEMA {schema} TO {requests}, {system}",
            "REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {requests}",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {requests}",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {system}",
        ):
            connection.execute(sql.SQL(statement).format(**given, tables=tables))


def _give(connection: psycopg.Connection, names: tuple[str, str], secret: str) -> None:
    for name in names:
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), sql.Literal(secret)))


def _one(connection: psycopg.Connection, statement: str, values: Mapping[str, str] | None = None) -> object:
    row = connection.execute(statement.encode(), values).fetchone()
    return None if row is None else row[0]
