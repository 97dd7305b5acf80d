"""Migrations: complete, safe side by side, and never backwards."""

import asyncio

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from core.errors import ConfigurationInvalid, DatabaseTooNew, DatabaseUnavailable
from core.store import (
    access,
    alert_tables,
    audit,
    backups,
    chats,
    drills,
    files,
    heartbeats,
    logins,
    models,
    notices,
    processes,
    quotas,
    rates,
    runs,
    samples,
    services,
    silences,
    tool_runs,
    usage,
    users,
)
from core.store.base import SCHEMA, Base, driver_url
from core.store.schema import migrate, newest_revision

SUBJECTS = (
    *(
        access,
        alert_tables,
        audit,
        backups,
        chats,
        drills,
        files,
        heartbeats,
        notices,
        processes,
        runs,
        samples,
        services,
        silences,
    ),
    *(logins, models, quotas, rates, tool_runs, usage, users),
)


def test_the_migrated_schema_is_what_the_tables_say(database_url: str) -> None:
    engine = create_engine(driver_url(database_url))
    with engine.connect() as connection:
        options = {"include_schemas": True, "version_table_schema": SCHEMA, "include_name": _ours}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "schema" or name == SCHEMA


async def test_several_processes_may_migrate_at_once(empty_database_url: str) -> None:
    assert sorted(await asyncio.gather(*(migrate(empty_database_url) for _ in range(4)))) == [False, False, False, True]
    assert await migrate(empty_database_url) is False


async def test_a_newer_database_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE pilothouse.alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseTooNew, match="later release"):
        await migrate(database_url)


async def test_what_is_missing_is_said(postgres_url: str, empty_database_url: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="CREATE DATABASE nowhere"):
        await migrate(str(driver_url(postgres_url).set(drivername="postgresql", database="nowhere").render_as_string(False)))
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE weak LOGIN PASSWORD 'weak'")
    weak = driver_url(empty_database_url).set(drivername="postgresql", username="weak", password="weak")
    with pytest.raises(ConfigurationInvalid, match="GRANT CREATE ON DATABASE"):
        await migrate(weak.render_as_string(False))
    wrong = weak.set(password="wrong")
    with pytest.raises(ConfigurationInvalid, match="password"):
        await migrate(wrong.render_as_string(False))
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("DROP ROLE weak")
    with pytest.raises(DatabaseUnavailable, match="does not answer"):
        await migrate("postgresql://nobody@127.0.0.1:1/nothing")


async def test_a_database_of_an_earlier_release_is_brought_up_to_date(empty_database_url: str) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "core/store/migrations")
    engine = create_engine(driver_url(empty_database_url))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql("INSERT INTO pilothouse.sessions (id, expires_at) VALUES ('kept', now() + interval '1 day')")
    assert await migrate(empty_database_url) is (newest_revision() != "0001")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT id FROM pilothouse.sessions").scalar_one() == "kept"
    engine.dispose()
