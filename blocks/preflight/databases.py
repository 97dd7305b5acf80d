"""Database servers asked who we are there, and what time it is."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import psycopg
from pymysql import err
from pymysql.connections import Connection

from blocks.mysql_session import POWERS, Place
from core.store.roles import role_names

SECONDS = 5


@dataclass(frozen=True, slots=True)
class Seen:
    """``skew``: seconds that its clock is ahead of ours, None where that is not asked for. Both are of PostgreSQL alone."""

    superuser: bool
    skew: float | None = None
    apart: bool = False
    """Requests have a role of their own there, or the user may make it."""


def asked(url: str, ca_file: Path | None) -> Seen | None:
    """Of PostgreSQL or MySQL; None for a server that does not answer, or lets us not in. Blocks for some seconds at most."""
    if url.startswith("mysql"):
        return _mysql(url, ca_file)
    try:
        with psycopg.connect(url, connect_timeout=SECONDS, options=f"-c statement_timeout={SECONDS * 1000}") as connection:
            before = datetime.now(UTC)
            row = connection.execute(
                "SELECT clock_timestamp(), rolsuper, rolsuper OR rolcreaterole OR EXISTS ("
                "SELECT FROM pg_catalog.pg_roles WHERE rolname = %s AND rolcanlogin)"
                " FROM pg_catalog.pg_roles WHERE rolname = current_user",
                [role_names(connection.info.dbname)[0]],
            ).fetchone()
            after = datetime.now(UTC)
    except psycopg.Error:
        return None
    if row is None:
        return None
    # The server looked at its clock somewhere between: half of the way there and back is as good a guess as any.
    skew = (cast("datetime", row[0]) - (before + (after - before) / 2)).total_seconds()
    return Seen(bool(row[1]), skew, bool(row[2]))


def _mysql(url: str, ca_file: Path | None) -> Seen | None:
    try:
        connection = Connection(
            **Place.of(url, ca_file).arguments, connect_timeout=SECONDS, read_timeout=SECONDS, write_timeout=SECONDS
        )
    except (err.Error, OSError):
        return None
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW GRANTS")
            return Seen(any(POWERS.search(str(row[0])) for row in cursor.fetchall()))
    except (err.Error, OSError):
        return None
    finally:
        connection.close()
