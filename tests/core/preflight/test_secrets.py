"""Secrets that everybody knows, that can be guessed, and that are old; never told."""

from pathlib import Path

import pytest

from core.config import Settings
from core.preflight.secrets import (
    Given,
    admin_password,
    database_password,
    other_secrets,
    secrets_of,
    signing_secret,
    strength,
)

RANDOM = "k3Vq8ZrT1xY6bN0mWcE5uH7sJ2dLfA9gPoKiRtUyXw4"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("your-super-secret-jwt-key-change-this-in-production", "sample"),
        ("my-secret-key", "sample"),
        ("abcdefghijklmno", "weak"),
        ("a" * 64, "weak"),
        ("abababababababababababababababababababab", "weak"),
        ("dF3-kP0_qL8zXw2vRt7y", "short"),
        (RANDOM, "good"),
        ("0123456789abcdef" * 4, "good"),
    ],
)
def test_what_a_key_is_worth(value: str, expected: str) -> None:
    assert strength(value) == expected


@pytest.mark.parametrize(
    ("value", "status", "said"),
    [
        ("your-super-secret-jwt-key-change-this-in-production", "fail", "everybody knows"),
        ("a" * 40, "fail", "easy to guess"),
        ("dF3-kP0_qL8zXw2vRt7y", "warn", "fewer than 32"),
        (RANDOM, "pass", "long and random"),
    ],
)
def test_a_signing_secret_that_is_set(value: str, status: str, said: str) -> None:
    item = signing_secret("jwt_secret", [Given("JWT_SECRET", value)])
    assert (item.id, item.status) == ("jwt_secret", status)
    assert said in item.message
    assert value not in item.message + item.todo
    assert bool(item.todo) == (status != "pass")


def test_one_that_we_made_is_well_until_it_is_old() -> None:
    assert signing_secret("jwt_secret", [], 3.0).status == "pass"
    assert signing_secret("jwt_secret", []).status == "pass"
    old = signing_secret("jwt_secret", [], 400.0)
    assert (old.status, old.message) == ("warn", "It has been in use for 400 days.")
    assert "2 earlier ones are still accepted" in signing_secret("jwt_secret", [Given("JWT_SECRET", RANDOM)], None, 2).message


@pytest.mark.parametrize(
    ("given", "there", "status"),
    [
        ("Admin@123456", False, "fail"),
        ("short", False, "fail"),
        (None, True, "warn"),
        (RANDOM, False, "pass"),
        (None, False, "pass"),
    ],
)
def test_the_administrators_password(given: str | None, there: bool, status: str) -> None:
    assert admin_password(given, there).status == status


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("postgresql://u:postgres@127.0.0.1/x", "fail"),
        ("postgresql://u:hunter2@db.example/x", "fail"),
        ("postgresql://u:hunter2@127.0.0.1/x", "warn"),
        ("redis://cache.example:6379/0", "warn"),
        ("redis://127.0.0.1:6379/0", "pass"),
        (f"postgresql://u:{RANDOM}@db.example/x", "pass"),
    ],
)
def test_passwords_of_our_own_database(url: str, status: str) -> None:
    item = database_password([Given("database.url", url)])
    assert item.status == status
    assert url not in item.message
    assert database_password([]).status == "pass"


def test_samples_are_found_in_every_corner_of_the_settings(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "data_dir": tmp_path,
            "auth_token": "tiny",
            "providers": {"x": {"base_url": "http://h/v1", "api_key": "sk-9f73s3ljTXVcMT3Blb3ljTqtsKiGHXVcMT3B"}},
            "sources": {"dify": {"url": "postgresql://postgres:difyai123456@db/dify"}},
            "channels": {"ops": {"kind": "webhook", "url": "https://hooks.example/x", "headers": {"X-Key": "changeme"}}},
        }
    )
    found = secrets_of(settings)
    assert {each.where for each in found} == {
        "auth_token",
        "providers.x.api_key",
        "sources.dify.url",
        "channels.ops.headers.X-Key",
    }
    item = other_secrets(found, {})
    assert item.status == "fail"
    assert "providers.x.api_key, sources.dify.url, channels.ops.headers.X-Key: a sample" in item.message
    assert "auth_token: short" in item.message
    assert "difyai123456" not in item.message


def test_the_age_of_secrets() -> None:
    assert other_secrets([Given("auth_token", RANDOM)], {"admin-token": 10.0}).status == "pass"
    assert other_secrets([], {"admin-token": 400.0}).status == "warn"
