"""``pilothouse token`` on a real database: what it prints, and that the API would take what it made."""

import asyncio
import getpass
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from core.config import DatabaseSettings
from core.errors import ConfigurationInvalid, InputInvalid, NotFound
from core.store.access import Principal, Tokens
from core.store.base import Store
from deployments.engines import Engines
from deployments.tokens import app, expiry
from tests.audit_rows import audit_rows


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # away from a pilothouse.toml
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return tmp_path


def token(data_dir: Path, *arguments: str) -> Result:
    command, *rest = arguments
    return CliRunner().invoke(app, [command, "--data-dir", str(data_dir), *rest])


def verified(database_url: str, plaintext: str) -> Principal | None:
    async def verify() -> Principal | None:
        store = Store.from_settings(DatabaseSettings(url=SecretStr(database_url)))
        try:
            return await Tokens(store).verify(plaintext)
        finally:
            await store.aclose()

    return asyncio.run(verify())


def test_a_token_is_made_listed_and_revoked(data_dir: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    made = token(data_dir, "create", "--name", "dify", "--scope", "chat", "--scope", "flows:*", "--expires", "30d")
    assert made.exit_code == 0
    plaintext = made.stdout.strip()
    token_id = plaintext.split("_")[1]
    assert verified(database_url, plaintext) == Principal(token_id, "dify", frozenset({"chat", "flows:*"}))

    listed = token(data_dir, "list")
    assert [line.split()[:4] for line in listed.stdout.splitlines()[1:]] == [[token_id, "dify", "chat,flows:*", "active"]]
    (shown,) = json.loads(token(data_dir, "list", "--json").stdout)["tokens"]
    assert (shown["id"], shown["scopes"], shown["status"]) == (token_id, ["chat", "flows:*"], "active")
    expires_at = datetime.fromisoformat(shown["expiresAt"])
    assert timedelta(days=29, hours=23) < expires_at - datetime.now(UTC) <= timedelta(days=30)

    assert token(data_dir, "revoke", token_id).exit_code == 0
    assert verified(database_url, plaintext) is None
    assert json.loads(token(data_dir, "list", "--json").stdout)["tokens"][0]["status"] == "revoked"
    made_row, ended_row = audit_rows(database_url)
    assert (made_row.action, made_row.about, made_row.details["scopes"]) == ("token.created", token_id, ["chat", "flows:*"])
    assert (ended_row.action, ended_row.about, ended_row.actor) == ("token.revoked", token_id, f"os:{getpass.getuser()}")
    assert plaintext.split("_")[2] not in str(made_row)


def test_a_script_gets_the_token_as_json(data_dir: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    made = json.loads(token(data_dir, "create", "--name", "n", "--scope", "read", "--json").stdout)
    assert made["expiresAt"] is None
    assert verified(database_url, made["token"])


def test_the_database_of_a_running_up_is_found_and_one_without_tables_gets_them(data_dir: Path, empty_database_url: str) -> None:
    Engines(url="http://127.0.0.1:8700", pid=1, database_url=empty_database_url).write(data_dir)
    made = token(data_dir, "create", "--name", "n", "--scope", "read")
    assert verified(empty_database_url, made.stdout.strip())


def test_without_a_database_it_says_what_to_do(data_dir: Path) -> None:
    failed = token(data_dir, "list")
    assert isinstance(failed.exception, ConfigurationInvalid)
    assert "pilothouse up" in failed.exception.message


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "--name", "n", "--scope", "everything"),
        ("create", "--name", "n", "--scope", "read", "--expires", "soon"),
        ("create", "--name", "n", "--scope", "read", "--expires", "2020-01-01"),
    ],
)
def test_bad_wishes_are_refused(
    data_dir: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert isinstance(token(data_dir, *arguments).exception, InputInvalid)
    assert json.loads(token(data_dir, "list", "--json").stdout) == {"tokens": []}


def test_an_unknown_id_is_told(data_dir: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert isinstance(token(data_dir, "revoke", "nobody").exception, NotFound)


def test_when_a_token_ends() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    assert expiry("90m", now) == now + timedelta(minutes=90)
    assert expiry("4w", now) == now + timedelta(weeks=4)
    assert expiry("2031-01-31", now) == datetime(2031, 1, 31, tzinfo=UTC)
    assert expiry("2031-01-31T12:00:00+02:00", now) == datetime(2031, 1, 31, 10, tzinfo=UTC)
    for text in ("", "d", "-1d", "1y", "999999999w"):
        with pytest.raises(InputInvalid):
            expiry(text, now)
