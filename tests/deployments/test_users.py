"""``pilothouse user`` on a real database: accounts made, listed and changed, and what is refused."""

import getpass
import json
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from core.errors import Conflict, InputInvalid, NotFound
from deployments.users import app
from tests.audit_rows import audit_rows

PASSWORD = "a long password\n"


@pytest.fixture(autouse=True)
def own_database(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # away from a pilothouse.toml
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("PILOTHOUSE_DATA_DIR", str(tmp_path))


def user(*arguments: str, typed: str = PASSWORD) -> Result:
    return CliRunner().invoke(app, list(arguments), input=typed)


def test_an_account_from_its_making_to_its_end(database_url: str) -> None:
    made = user("create", "Ann@Example.com", "--role", "admin", "--name", "Ann 李")
    assert (made.exit_code, made.output) == (0, "ann@example.com: admin\n")
    (ann,) = json.loads(user("list", "--json").stdout)["users"]
    assert (ann["login"], ann["email"], ann["name"], ann["role"]) == ("ann@example.com", "Ann@Example.com", "Ann 李", "admin")
    assert user("create", "bob@example.com").exit_code == 0
    assert user("role", "bob@example.com", "operator").output == "bob@example.com: operator\n"
    assert user("disable", "bob@example.com").output == "bob@example.com: operator, disabled\n"
    assert user("list").stdout.splitlines()[2].split()[:5] == [
        "bob@example.com",
        "bob@example.com",
        "operator",
        "local",
        "disabled",
    ]
    assert user("enable", "bob@example.com").exit_code == 0
    with psycopg.connect(database_url) as connection:
        before = connection.execute("SELECT login, password FROM pilothouse.users ORDER BY login").fetchall()
        assert user("password", "bob@example.com", typed="another password\n").exit_code == 0
        after = connection.execute("SELECT login, password FROM pilothouse.users ORDER BY login").fetchall()
    assert all(password.startswith("$argon2id$") for _, password in before)
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False]
    told = [
        (each.action, {key: value for key, value in each.details.items() if key != "login"}) for each in audit_rows(database_url)
    ]
    assert told == [
        ("user.created", {"role": "admin"}),
        ("user.created", {"role": "member"}),
        ("user.changed", {"role": "operator"}),
        ("user.changed", {"disabled": True}),
        ("user.changed", {"disabled": False}),
        ("user.changed", {"password": "changed"}),
    ]
    assert {each.actor for each in audit_rows(database_url)} == {f"os:{getpass.getuser()}"}


def test_without_any_administrator_members_can_be_changed() -> None:
    assert user("create", "ann@example.com").exit_code == 0
    assert user("role", "ann@example.com", "operator").exit_code == 0


def test_what_cannot_be_says_why() -> None:
    assert user("create", "ann@example.com", "--role", "admin").exit_code == 0
    refused: list[tuple[Result, type[Exception], str]] = [
        (user("create", "ANN@example.com"), Conflict, "already"),
        (user("create", "bob@example.com", typed="short\n"), InputInvalid, "8 to 1024"),
        (user("create", "bob"), InputInvalid, "e-mail address"),
        (user("create", "bob@example.com", "--role", "root"), InputInvalid, "viewer, member"),
        (user("role", "nobody@example.com", "viewer"), NotFound, "No such user"),
        (user("disable", "ann@example.com"), Conflict, "last administrator"),
        (user("role", "ann@example.com", "viewer"), Conflict, "last administrator"),
    ]
    for result, kind, words in refused:
        assert isinstance(result.exception, kind)
        assert words in str(result.exception)
