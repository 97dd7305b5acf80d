"""Which server holds which database, and what is noted of it for the other processes."""

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from core.config import DatabaseSettings, PrefectSettings, ProviderSettings, Settings, load_settings
from deployments.databases import our_database, prefect_database
from deployments.engines import Engines, handed_on, noted_engines, with_engines
from deployments.postgres import EmbeddedPostgres
from tests.databases import statement

HERE = {"HOME": "/nowhere"}


@pytest.fixture
def beside(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A user with a database of its own on a server where a database ``prefect`` exists, which it may not use yet."""
    statement(postgres, "CREATE ROLE somebody LOGIN PASSWORD 'secret'")
    statement(postgres, "CREATE DATABASE theirs OWNER somebody")
    yield postgres.url("theirs").replace(postgres.url().split("@")[0], "postgresql://somebody:secret")
    statement(postgres, "ALTER DATABASE prefect OWNER TO prefect")
    statement(postgres, "DROP DATABASE theirs")
    statement(postgres, "DROP ROLE somebody")


def embedded(tmp_path: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(tmp_path)


def settings_with(tmp_path: Path, url: str | None, prefect: str | None = None) -> Settings:
    return Settings(
        data_dir=tmp_path,
        database=DatabaseSettings(url=SecretStr(url) if url else None),
        prefect=PrefectSettings(database_url=SecretStr(prefect) if prefect else None),
        origins={"database.url": "DATABASE_URL", "prefect.database_url": "PREFECT_API_DATABASE_CONNECTION_URL"},
    )


def test_without_configuration_both_are_embedded(tmp_path: Path) -> None:
    settings, server = settings_with(tmp_path, None), embedded(tmp_path)
    ours, prefects = our_database(settings, server), prefect_database(settings, server)
    assert (ours.told, ours.embedded, ours.url) == ("embedded", True, server.url("pilothouse"))
    assert (prefects.told, prefects.embedded) == ("embedded", True)
    assert prefects.url == server.url("prefect").replace("postgresql://", "postgresql+asyncpg://")


def test_a_configured_database_is_told_without_its_password(tmp_path: Path) -> None:
    ours = our_database(settings_with(tmp_path, "postgresql://u:secret@db.example:5433/name"), embedded(tmp_path))
    assert (ours.told, ours.embedded) == ("db.example:5433/name from DATABASE_URL", False)


def test_prefects_own_connection_wins(tmp_path: Path) -> None:
    own = "postgresql+asyncpg://p:secret@prefect.example/prefect"
    chosen = prefect_database(settings_with(tmp_path, "postgresql://u:pw@127.0.0.1:1/name", own), embedded(tmp_path))
    assert chosen.url == own
    assert chosen.told == "prefect.example/prefect from PREFECT_API_DATABASE_CONNECTION_URL"


def test_prefect_uses_its_database_beside_ours_once_it_may(tmp_path: Path, postgres: EmbeddedPostgres, beside: str) -> None:
    settings = settings_with(tmp_path, beside)
    before = prefect_database(settings, embedded(tmp_path))
    assert (before.told, before.embedded) == ("embedded (the right CREATE is missing on prefect)", True)
    statement(postgres, "ALTER DATABASE prefect OWNER TO somebody")
    after = prefect_database(settings, embedded(tmp_path))
    assert (after.told, after.embedded) == ("prefect beside DATABASE_URL", False)
    with psycopg.connect(after.url.replace("+asyncpg", "")) as connection:
        assert connection.info.dbname == "prefect"


def test_prefect_stays_embedded_where_the_server_has_no_such_database(tmp_path: Path) -> None:
    chosen = prefect_database(settings_with(tmp_path, "postgresql://u:secret@127.0.0.1:1/name"), embedded(tmp_path))
    assert (chosen.told, chosen.embedded) == ("embedded (127.0.0.1:1/prefect cannot be opened)", True)


def test_what_is_noted_fills_only_what_is_open(tmp_path: Path) -> None:
    noted = Engines(
        url="http://127.0.0.1:8700",
        pid=os.getpid(),
        database_url="postgresql://pilothouse:pw@/pilothouse?host=/run",
        prefect_url="http://127.0.0.1:4200/api",
        prefect_auth="pilothouse:pw",
        prefect_database_url="postgresql+asyncpg://prefect:pw@/prefect?host=/run",
        demo_url="http://127.0.0.1:9/v1",
        demo_key="key",
    )
    noted.write(tmp_path)
    assert noted_engines(tmp_path) == noted
    assert stat.S_IMODE((tmp_path / "run" / "engines.json").stat().st_mode) == 0o600

    filled = with_engines(Settings(data_dir=tmp_path))
    assert filled.database.url == SecretStr(noted.database_url or "")
    assert (filled.prefect.api_url, filled.prefect.auth_string) == (noted.prefect_url, SecretStr("pilothouse:pw"))
    assert filled.prefect.database_url == SecretStr(noted.prefect_database_url or "")
    assert filled.providers["demo"].demo
    assert filled.providers["demo"].base_url == noted.demo_url

    theirs = Settings(
        data_dir=tmp_path,
        database=DatabaseSettings(url=SecretStr("postgresql://h/d")),
        prefect=PrefectSettings(api_url="http://prefect.example/api"),
        providers={"mine": ProviderSettings(base_url="http://model.example/v1")},
    )
    assert with_engines(theirs) == theirs
    replace(noted, pid=2**22 + 1).write(tmp_path)
    assert noted_engines(tmp_path) is None, "nobody has that number: it was killed"
    Engines.forget(tmp_path)
    assert noted_engines(tmp_path) is None


def test_a_child_loads_the_settings_that_were_decided_here(tmp_path: Path) -> None:
    settings = load_settings(environ=HERE, overrides={"data_dir": tmp_path, "port": 0, "model": False})
    prefect = PrefectSettings.model_validate({"database_url": "postgresql+asyncpg://prefect:pw@/prefect?host=/run"})
    decided = settings.model_copy(update={"port": 8765, "prefect_port": 4321, "prefect": prefect})
    again = load_settings(environ=HERE | handed_on(decided, None))
    assert again.prefect.database_url == decided.prefect.database_url != settings.prefect.database_url
    assert (again.data_dir, again.port, again.prefect_port, again.model) == (tmp_path, 8765, 4321, False)
