"""Which PostgreSQL server holds our database and which holds Prefect's: the configured ones, else the embedded server."""

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from core.addresses import place, prefect_database_url
from core.config import Settings
from deployments.postgres import EmbeddedPostgres


@dataclass(frozen=True, slots=True)
class Database:
    """Where a database lives. ``told`` is how the status line names it, with where its setting came from."""

    url: str
    told: str
    embedded: bool


def our_database(settings: Settings, embedded: EmbeddedPostgres) -> Database:
    """Ours: ``database.url``, else the embedded server's ``pilothouse``."""
    if settings.database.url is None:
        return Database(embedded.url("pilothouse"), "embedded", embedded=True)
    url = settings.database.url.get_secret_value()
    return Database(url, f"{_shown(url)} from {settings.origins.get('database.url', 'the settings')}", embedded=False)


def prefect_database(settings: Settings, embedded: EmbeddedPostgres) -> Database:
    """Prefect's: its own connection URL, else a database ``prefect`` on our server if we may make tables there, else embedded.

    Asks the configured server, so it takes as long as that takes to answer; call it in a thread.
    """
    inside = prefect_database_url(embedded.url("prefect"))
    if settings.prefect.database_url is not None:
        url = settings.prefect.database_url.get_secret_value()
        source = settings.origins.get("prefect.database_url", "the settings")
        return Database(url, f"{_shown(url)} from {source}", embedded=False)
    if settings.database.url is None:
        return Database(inside, "embedded", embedded=True)
    beside = _sibling(settings.database.url.get_secret_value(), "prefect")
    if (reason := _unfit(beside, settings.database.connect_timeout)) is not None:
        return Database(inside, f"embedded ({reason})", embedded=True)
    source = settings.origins.get("database.url", "the settings")
    return Database(prefect_database_url(beside), f"{_shown(beside)} beside {source}", embedded=False)


def _unfit(url: str, timeout: int) -> str | None:
    """Why Prefect cannot use this database, None when it can."""
    # Only with a server of one's own, so that the embedded default starts without it.
    import psycopg  # noqa: PLC0415

    try:
        with psycopg.connect(url, connect_timeout=timeout) as connection:
            row = connection.execute("SELECT has_database_privilege(current_database(), 'CREATE')").fetchone()
    except psycopg.OperationalError:
        return f"{_shown(url)} cannot be opened"
    return None if row == (True,) else f"the right CREATE is missing on {_shown(url)}"


def _sibling(url: str, name: str) -> str:
    parts = urlsplit(url)
    moved = urlunsplit(parts._replace(path=f"/{name}"))
    # urlunsplit drops the empty host of a socket address.
    return moved if parts.netloc else moved.replace("postgresql:/", "postgresql:///", 1)


def _shown(url: str) -> str:
    return place(url).lstrip("/") or "PostgreSQL"
