"""What ``config show`` says, what a child process is handed, and the variables that Prefect is run with."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from core.config import PrefectServer, as_variables, child_environment, describe, load_settings, prefect_environment

SECRETS = {"DATABASE_URL": "postgresql://u:hunter2@h/db", "AUTH_TOKEN": "hunter2", "REDIS_URL": "redis://:hunter2@h"}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_setting_has_a_value_and_a_source_and_no_secret() -> None:
    settings = load_settings(environ={"HOME": "/nowhere", **SECRETS}, overrides={"port": 1})
    rows = {row.key: row for row in describe(settings)}
    assert rows["database.url"][1:] == ("postgresql://u:********@h/db", "DATABASE_URL")
    assert rows["auth_token"][1:] == ("********", "AUTH_TOKEN")
    assert rows["port"][1:] == (1, "--port")
    assert rows["chat.queue"][1:] == (4, "default")
    assert "hunter2" not in repr(rows)
    assert "hunter2" not in repr(settings)


def test_settings_survive_the_way_into_a_child_process() -> None:
    parent = load_settings(
        environ={
            "HOME": "/nowhere",
            "PILOTHOUSE_PROVIDERS__A__BASE_URL": "http://a/v1",
            "PILOTHOUSE_PROVIDERS__A__MODELS": "m,n",
            **SECRETS,
        }
    )
    handed = as_variables(
        {
            "database.url": parent.database.url,
            "auth_token": parent.auth_token,
            "redis.url": parent.redis.url,
            "model": False,
            "port": 0,
            "cors_origins": ("http://x", "http://y"),
            "providers.a.base_url": "http://a/v1",
            "providers.a.models": parent.providers["a"].models,
        }
    )
    child = load_settings(environ={"HOME": "/nowhere", **handed})
    assert (child.database, child.redis, child.auth_token, child.providers) == (
        parent.database,
        parent.redis,
        parent.auth_token,
        parent.providers,
    )
    assert (child.model, child.port, child.cors_origins) == (False, 0, ("http://x", "http://y"))
    with pytest.raises(ValueError, match="no such setting"):
        as_variables({"chat.qeue": 1})


def test_loopback_never_goes_through_a_proxy() -> None:
    environ = child_environment({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "intra.example"})
    assert environ["NO_PROXY"] == environ["no_proxy"] == "intra.example,localhost,127.0.0.1,::1"


def test_prefect_variables_of_each_role() -> None:
    settings = load_settings(
        environ={"HOME": "/nowhere", "PILOTHOUSE_DATA_DIR": "/srv/p", "PILOTHOUSE_PREFECT__EVENT_BACKLOG": "500"}
    )
    server = PrefectServer(database_url="postgresql+asyncpg://x/y", encryption_key="key", port=4300, auth_string="a:b")
    api = prefect_environment(settings, "api", server)
    assert (api["PREFECT_HOME"], api["PREFECT_API_URL"]) == ("/srv/p/prefect", "http://127.0.0.1:4300/api")
    assert (api["PREFECT_API_AUTH_STRING"], api["PREFECT_EVENTS_WORKER_MAX_QUEUE_SIZE"]) == ("a:b", "500")
    assert "PREFECT_SERVER_ENCRYPTION_KEY" not in api
    assert "PREFECT_LOGGING_TO_API_ENABLED" not in prefect_environment(settings, "flows", server)
    ours = prefect_environment(settings, "server", server)
    assert ours["PREFECT_API_DATABASE_CONNECTION_URL"] == "postgresql+asyncpg://x/y"
    assert (ours["PREFECT_SERVER_API_HOST"], ours["PREFECT_SERVER_API_PORT"]) == ("127.0.0.1", "4300")
    assert (ours["PREFECT_SERVER_API_AUTH_STRING"], ours["PREFECT_SERVER_ENCRYPTION_KEY"]) == ("a:b", "key")
    assert all(value for value in ours.values()), "an empty variable breaks Prefect"


def test_a_foreign_prefect_server_gets_its_own_credentials_only() -> None:
    settings = load_settings(environ={"HOME": "/nowhere", "PREFECT_API_URL": "http://far/api", "PREFECT_API_AUTH_STRING": "c:d"})
    api = prefect_environment(settings, "api", PrefectServer(auth_string="a:b", port=1))
    assert (api["PREFECT_API_URL"], api["PREFECT_API_AUTH_STRING"]) == ("http://far/api", "c:d")


def test_prefect_understands_every_variable_we_set() -> None:
    """A misspelt variable would be ignored without a word, so Prefect's own settings are asked for each value."""
    settings = load_settings(environ={"HOME": "/nowhere", "PILOTHOUSE_DATA_DIR": "/nowhere/p"})
    server = PrefectServer(database_url="postgresql+asyncpg://x/y", port=4300, auth_string="a:b")
    environ = prefect_environment(settings, "server", server) | prefect_environment(settings, "api", server)
    environ |= prefect_environment(settings, "flows", server)
    understood_by = "s.get_current_settings().to_environment_variables(exclude_unset=True)"
    code = f"import json, prefect.settings as s\nprint(json.dumps({understood_by}))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=child_environment(environ), capture_output=True, check=True, timeout=90
    )
    understood = set(orjson.loads(done.stdout))
    renamed = {
        "PREFECT_API_DATABASE_CONNECTION_URL": "PREFECT_SERVER_DATABASE_CONNECTION_URL",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "PREFECT_SERVER_EPHEMERAL_ENABLED",
        "PREFECT_UI_API_URL": "PREFECT_SERVER_UI_API_URL",
    }
    assert {renamed.get(name, name) for name in environ} - {"DO_NOT_TRACK"} <= understood
