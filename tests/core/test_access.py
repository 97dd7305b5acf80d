"""Tokens: kept hashed, checked without a query each time, ended by revocation and by time."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from core.config import DatabaseSettings
from core.errors import DatabaseUnavailable, InputInvalid, NotFound
from core.store import access
from core.store.access import Principal, Tokens
from core.store.base import Store


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = Store.from_settings(DatabaseSettings(url=SecretStr(database_url)))
    yield store
    await store.aclose()


async def test_a_token_stands_for_its_scopes(store: Store) -> None:
    token, plaintext = await Tokens(store).create(" dify ", ["chat", "read", "chat"])
    assert plaintext.startswith(f"ph_{token.id}_")
    assert (token.name, token.scopes, token.status) == ("dify", ("chat", "read"), "active")
    assert await Tokens(store).verify(plaintext) == Principal(token.id, "dify", frozenset({"chat", "read"}))


async def test_only_a_hash_is_kept(store: Store) -> None:
    _, plaintext = await Tokens(store).create("n", ["read"])
    async with store.single() as connection:
        row = str((await connection.execute(text("SELECT t::text FROM pilothouse.tokens t"))).scalar_one())
    assert plaintext.split("_", 2)[2] not in row


async def test_what_is_not_exactly_the_token_stands_for_nobody(store: Store) -> None:
    tokens = Tokens(store)
    token, plaintext = await tokens.create("n", ["read"])
    for _ in range(2):  # once looked up, once from memory
        for wrong in (plaintext[:-1], plaintext + "x", f"ph_{token.id}_", f"ph_{token.id}", "", "ph__", "é" * 50, "x" * 10_000):
            assert await tokens.verify(wrong) is None
        assert await tokens.verify(plaintext)


async def test_a_revoked_token_ends_here_at_once_elsewhere_soon(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    here, elsewhere = Tokens(store), Tokens(store)
    token, plaintext = await here.create("n", ["read"])
    assert await here.verify(plaintext)
    assert await elsewhere.verify(plaintext)
    assert (await here.revoke(token.id)).status == "revoked"
    assert await here.verify(plaintext) is None
    monkeypatch.setattr(access, "FRESH_SECONDS", -1.0)
    assert await elsewhere.verify(plaintext) is None


async def test_revoking_twice_keeps_the_first_time_and_an_unknown_id_is_told(store: Store) -> None:
    tokens = Tokens(store)
    token, _ = await tokens.create("n", ["read"])
    assert (await tokens.revoke(token.id)).revoked_at == (await tokens.revoke(token.id)).revoked_at
    with pytest.raises(NotFound):
        await tokens.revoke("nobody")


async def test_a_token_ends_with_its_time_even_while_it_is_remembered(store: Store) -> None:
    tokens = Tokens(store)
    token, plaintext = await tokens.create("n", ["read"], datetime.now(UTC) + timedelta(hours=1))
    assert await tokens.verify(plaintext)
    known = tokens._known[token.id]
    past = datetime.now(UTC) - timedelta(seconds=1)
    tokens._known[token.id] = access._Known(known.hash, known.principal, past, known.read_at)
    assert await tokens.verify(plaintext) is None


async def test_a_remembered_token_asks_no_query(store: Store) -> None:
    tokens = Tokens(store)
    _, plaintext = await tokens.create("n", ["read"])
    assert await tokens.verify(plaintext)
    await store.aclose()
    tokens._store = Store.from_settings(DatabaseSettings(url=SecretStr("postgresql://nobody@127.0.0.1:1/none")))
    assert await tokens.verify(plaintext)
    with pytest.raises(DatabaseUnavailable):
        await tokens.verify("ph_0123456789_" + "x" * 43)


async def test_the_last_use_is_noted_for_the_right_secret_once_a_minute(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "FRESH_SECONDS", -1.0)
    tokens = Tokens(store)
    _, plaintext = await tokens.create("n", ["read"])
    await tokens.verify(plaintext + "x")
    assert (await tokens.list())[0].last_used_at is None
    await tokens.verify(plaintext)
    first = (await tokens.list())[0].last_used_at
    assert first is not None
    await tokens.verify(plaintext)
    assert (await tokens.list())[0].last_used_at == first


async def test_the_list_is_newest_first_with_ended_ones(store: Store) -> None:
    tokens = Tokens(store)
    ended, _ = await tokens.create("first", ["read"])
    await tokens.create("second", ["admin"])
    await tokens.revoke(ended.id)
    assert [(token.name, token.status) for token in await tokens.list()] == [("second", "active"), ("first", "revoked")]


@pytest.mark.parametrize(
    ("name", "scopes", "expires_at", "field"),
    [
        ("n", [], None, "scopes"),
        ("n", ["everything"], None, "scopes"),
        ("n", ["flows:"], None, "scopes"),
        ("n", ["flows:a b"], None, "scopes"),
        ("", ["read"], None, "name"),
        ("a\nb", ["read"], None, "name"),
        ("n", ["read"], datetime(2020, 1, 1, tzinfo=UTC), "expires_at"),
    ],
)
async def test_a_bad_wish_names_its_field(
    store: Store, name: str, scopes: list[str], expires_at: datetime | None, field: str
) -> None:
    with pytest.raises(InputInvalid) as caught:
        await Tokens(store).create(name, scopes, expires_at)
    assert caught.value.field == field


async def test_auth_token_is_one_more_token_of_scope_plugin(store: Store) -> None:
    principal = await Tokens(store, auth_token="from the environment").verify("from the environment")
    assert principal is not None
    assert principal.allows("plugin")
    assert not principal.allows("chat")


@pytest.mark.parametrize("unset", [None, ""])
async def test_without_auth_token_nothing_is_open(store: Store, unset: str | None) -> None:
    for plaintext in ("", "None", "null"):
        assert await Tokens(store, auth_token=unset).verify(plaintext) is None


@pytest.mark.parametrize(
    ("held", "asked", "allowed"),
    [
        ("chat", "chat", True),
        ("chat", "read", False),
        ("admin", "flows:backup", True),
        ("flows:*", "flows:backup", True),
        ("flows:*", "flows:restore", False),
        ("flows:*", "flows:guarded_change", False),
        ("flows:guarded_change", "flows:guarded_change", True),
        ("admin", "flows:restore", True),
        ("flows:backup", "flows:backup", True),
        ("flows:backup", "flows:restore", False),
        ("flows:*", "chat", False),
    ],
)
def test_what_a_scope_allows(held: str, asked: str, allowed: bool) -> None:
    assert Principal("id", "n", frozenset({held})).allows(asked) is allowed
