"""Logins of stores: told by where they are, never by what they are."""

from pathlib import Path

import pytest

from core.topology.writing import as_toml
from tests.core.topology.projects import imported_from, said, tables

STORES = """
services:
  postgres:
    image: postgres:16
    ports: ["5432:5432"]
    environment: {POSTGRES_USER: "${PG_USER}", POSTGRES_PASSWORD: "${PG_SECRET:-fallback-word}"}
  mysql:
    image: mariadb:11
    ports: ["3306:3306"]
    environment: [MYSQL_ROOT_PASSWORD, MYSQL_DATABASE=app]
  redis:
    image: redis:7
    ports: ["6379:6379"]
    command: redis-server ${REDIS_PW:+--requirepass} ${REDIS_PW}
  mongo:
    image: mongo:7
    ports: ["27017:27017"]
    env_file: .env
    environment: {MONGO_INITDB_ROOT_USERNAME: boss}
"""
ENV = """
PG_USER=env-user
PG_SECRET=env-secret-1
MYSQL_ROOT_PASSWORD=env-secret-2
REDIS_PW=env-secret-3
MONGO_INITDB_ROOT_PASSWORD=env-secret-4
"""


def test_what_the_environment_gives_is_referred_to(tmp_path: Path) -> None:
    found = imported_from(tmp_path, STORES, ENV)
    assert tables(found) == {
        "postgres": {
            "check": "postgres",
            "url": "postgresql://127.0.0.1:5432/postgres",
            "username": "env:PG_USER",
            "password": "env:PG_SECRET",
        },
        "mysql": {
            "check": "mysql",
            "url": "mysql://127.0.0.1:3306/information_schema",
            "username": "root",
            "password": "env:MYSQL_ROOT_PASSWORD",
        },
        "redis": {"check": "redis", "url": "redis://127.0.0.1:6379/0", "password": "env:REDIS_PW"},
        "mongo": {
            "check": "mongo",
            "url": "mongodb://127.0.0.1:27017/admin",
            "username": "boss",
            "password": "env:MONGO_INITDB_ROOT_PASSWORD",
        },
    }
    text = as_toml(found, ["compose.yaml"], [tmp_path / ".env"])
    assert "env-" not in text
    assert "fallback-word" not in text
    assert f'env_files = ["{tmp_path}/.env"]' in text


def test_a_default_of_the_compose_file_is_not_repeated(tmp_path: Path) -> None:
    found = imported_from(tmp_path, STORES, "MONGO_INITDB_ROOT_PASSWORD=x\n")
    assert tables(found)["postgres"] == {"check": "postgres", "url": "postgresql://127.0.0.1:5432/postgres"}
    assert tables(found)["redis"] == {"check": "redis", "url": "redis://127.0.0.1:6379/0"}
    assert "The login is not checked: POSTGRES_PASSWORD is a default" in said(found, "postgres")
    assert "fallback-word" not in str(found)


@pytest.mark.parametrize(
    "service",
    [
        "{image: postgres, environment: {POSTGRES_PASSWORD: hunter2}}",
        "{image: postgres, environment: {POSTGRES_PASSWORD: 'pre-${A}-hunter2'}}",
        "{image: 'redis:7', command: ['redis-server', '--requirepass', 'hunter2']}",
        "{image: redis, command: 'redis-server --requirepass hunter2 --save 60 1'}",
        "{image: mysql, environment: {MYSQL_USER: u, MYSQL_PASSWORD: hunter2, MYSQL_ROOT_PASSWORD: hunter2}}",
        "{image: mongo, env_file: own.env}",
        "{image: postgres, environment: {POSTGRES_PASSWORD_FILE: /somewhere/in/the/container}}",
    ],
)
def test_what_a_file_says_is_not_copied(tmp_path: Path, service: str) -> None:
    (tmp_path / "own.env").write_text("MONGO_INITDB_ROOT_PASSWORD=hunter2\n", encoding="utf-8")
    image = service.removeprefix("{image: ").partition(",")[0].strip("'").partition(":")[0]
    port = {"postgres": 5432, "redis": 6379, "mysql": 3306, "mongo": 27017}[image]
    compose = f"services:\n  store: {service[:-1]}, ports: ['{port}:{port}']}}\n"
    found = imported_from(tmp_path, compose, "A=letters\n")
    assert "The login is not checked" in said(found, "store")
    assert not {"username", "password"} & tables(found)["store"].keys()
    assert "hunter2" not in str(found)
    assert "letters" not in str(found)


def test_secrets_of_the_project_are_referred_to(tmp_path: Path) -> None:
    found = imported_from(
        tmp_path,
        """
        services:
          db:
            image: postgres
            ports: ["5432:5432"]
            secrets: [pg]
            environment: {POSTGRES_PASSWORD_FILE: /run/secrets/pg}
          cache:
            image: mysql
            ports: ["3306:3306"]
            secrets: [{source: my, target: root-password}]
            environment: {MYSQL_ROOT_PASSWORD_FILE: /run/secrets/root-password}
        secrets:
          pg: {file: ./pg.txt}
          my: {environment: MY_SECRET}
        """,
        "MY_SECRET=x\n",
    )
    assert tables(found)["cache"]["password"] == "env:MY_SECRET"
    assert tables(found)["db"]["password"] == f"file:{tmp_path}/pg.txt"
    assert tables(found)["db"]["username"] == "postgres"


def test_a_store_that_wants_no_login(tmp_path: Path) -> None:
    found = imported_from(
        tmp_path,
        """
        services:
          db: {image: postgres, ports: ["5432:5432"], environment: {POSTGRES_HOST_AUTH_METHOD: trust}}
          cache: {image: valkey/valkey, ports: ["6379:6379"]}
        """,
    )
    assert tables(found)["db"] == {"check": "postgres", "url": "postgresql://127.0.0.1:5432/postgres", "username": "postgres"}
    assert not any(said(found, key) for key in ("db", "cache"))


def test_a_value_that_compose_reads_in_another_way_is_no_reference(tmp_path: Path) -> None:
    found = imported_from(tmp_path, STORES, "PG_USER=u\nPG_SECRET=half$way\nREDIS_PW=half$way\nMONGO_INITDB_ROOT_PASSWORD=x\n")
    for key in ("postgres", "redis"):
        assert "password" not in tables(found)[key]
        assert "The login is not checked" in said(found, key)
