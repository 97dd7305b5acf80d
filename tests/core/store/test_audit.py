"""The audit log in a real database: what is added stays, and whoever changes it is found out."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from core.audit.entry import Entry, as_ecs
from core.audit.head import Seal
from core.config import DatabaseSettings
from core.store.audit import Audit
from core.store.base import Store

KEY = "the key of this test"
COLUMNS = "at, action, outcome, actor, actor_name, address, object, request_id, details, batch"
ADDED = f"INSERT INTO pilothouse.audit ({COLUMNS}) SELECT {COLUMNS} FROM pilothouse.audit WHERE seq = 5"


@pytest.fixture
async def audit(database_url: str) -> AsyncGenerator[Audit, None]:
    store = Store.from_settings(DatabaseSettings.model_validate({"url": database_url}))
    yield Audit(store)
    await store.aclose()


def entries(count: int) -> list[Entry]:
    return [
        Entry("login", "success", actor=f"user:{number}", address="203.0.113.1", details={"number": number, "zeichen": "ü\0李"})
        for number in range(count)
    ]


async def filled(audit: Audit, batches: int = 4, each: int = 3) -> Seal:
    sealed = None
    for _ in range(batches):
        await audit.note(*entries(each))
        sealed = await audit.seal(KEY)
    assert sealed is not None
    assert sealed.number == batches
    return sealed


async def test_what_is_sealed_is_verified_and_read_again(audit: Audit) -> None:
    head = await filled(audit)
    await audit.note(*entries(2))
    verdict = await audit.verify([KEY], head)
    assert (verdict.batches, verdict.entries, verdict.unsealed, verdict.wrong) == (4, 12, 2, ())
    newest, *_ = await audit.page(5)
    assert (newest.actor, newest.details["zeichen"], newest.batch) == ("user:1", "ü\ufffd李", None)
    assert len(await audit.page(100, before=newest.seq, actor="user:0", action="login")) == 5
    document = as_ecs(newest)
    assert (document["event"]["action"], document["source"]["ip"], document["user"]["id"]) == ("login", "203.0.113.1", "user:1")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE pilothouse.audit SET actor = 'someone else' WHERE seq = 5", "batch 2"),
        ("UPDATE pilothouse.audit SET details = '{}' WHERE seq = 5", "batch 2"),
        ("UPDATE pilothouse.audit SET at = at - interval '1 second' WHERE seq = 5", "batch 2"),
        ("DELETE FROM pilothouse.audit WHERE seq = 5", "Batch 2 has 2 entries"),
        ("UPDATE pilothouse.audit SET batch = 3 WHERE seq = 6", "Batch 2 has 2 entries"),
        (
            f"INSERT INTO pilothouse.audit ({COLUMNS}) SELECT {COLUMNS} FROM pilothouse.audit WHERE seq = 5",
            "Batch 2 has 4 entries",
        ),
        ("UPDATE pilothouse.audit SET batch = 5 - batch WHERE batch IN (2, 3)", "batch 2"),
        (
            "UPDATE pilothouse.audit a SET (actor, details)"
            " = (SELECT actor, details FROM pilothouse.audit WHERE seq = 10 - a.seq) WHERE seq IN (4, 6)",
            "batch 2",
        ),
        ("DELETE FROM pilothouse.audit_seals WHERE batch = 2", "Batches 2 to 2 are missing"),
        ("DELETE FROM pilothouse.audit_seals WHERE batch = 1", "Batches 1 to 1 are missing"),
        ("DELETE FROM pilothouse.audit_seals WHERE batch = 4", "Batches 4 to 4 are missing"),
        ("UPDATE pilothouse.audit_seals SET digest = sha256('x') WHERE batch = 3", "Batch 3 is not signed"),
        ("UPDATE pilothouse.audit_seals SET signature = sha256('x') WHERE batch = 3", "Batch 3 is not signed"),
        ("UPDATE pilothouse.audit_seals SET checkpoint = true WHERE batch = 4", "Batch 4 is not signed"),
    ],
)
async def test_a_change_is_found(audit: Audit, database_url: str, statement: str, said: str) -> None:
    head = await filled(audit)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE pilothouse.audit DISABLE TRIGGER audit_is_append_only")
        changed = connection.execute(statement.encode()).rowcount
    assert changed >= 1
    wrong = (await audit.verify([KEY], head)).wrong
    assert any(said in each for each in wrong), wrong


async def test_the_newest_entries_cannot_vanish_unseen(audit: Audit, database_url: str) -> None:
    head = await filled(audit)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE pilothouse.audit DISABLE TRIGGER audit_is_append_only")
        connection.execute("DELETE FROM pilothouse.audit WHERE batch = 4")
        connection.execute("DELETE FROM pilothouse.audit_seals WHERE batch = 4")
    assert (await audit.verify([KEY])).wrong == (), "nothing in the database tells of it"
    assert any("newest" in each for each in (await audit.verify([KEY], head)).wrong)


async def test_the_database_takes_no_change(audit: Audit, database_url: str) -> None:
    await filled(audit)
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in (
            "UPDATE pilothouse.audit SET actor = 'x'",
            "DELETE FROM pilothouse.audit",
            "UPDATE pilothouse.audit SET batch = 9",
        ):
            with pytest.raises(psycopg.errors.RaiseException, match="only added to"):
                connection.execute(statement.encode())


async def test_months_expire_as_a_whole_and_the_rest_is_still_verified(audit: Audit) -> None:
    head = await filled(audit)
    assert await audit.expire(datetime.now(UTC) - timedelta(days=1), KEY) == 0
    third = datetime.now(UTC)
    await audit.note(*entries(2))
    assert await audit.seal(KEY) is not None
    assert await audit.expire(third, KEY) == 12
    verdict = await audit.verify([KEY])
    assert (verdict.batches, verdict.entries, verdict.wrong) == (2, 2, ()), "the checkpoint and the batch after it"
    assert (await audit.verify([KEY], head)).wrong == ()
    assert await audit.seal(KEY) is None


async def test_a_key_can_be_changed(audit: Audit) -> None:
    await filled(audit)
    await audit.note(*entries(1))
    await audit.seal("another key")
    assert (await audit.verify(["another key", KEY])).wrong == ()
    assert (await audit.verify(["another key"])).wrong != ()


async def test_several_write_and_seal_at_once(audit: Audit) -> None:
    async def write() -> None:
        for _ in range(5):
            await audit.note(*entries(4))
            await audit.seal(KEY)

    await asyncio.gather(*(write() for _ in range(6)))
    while await audit.seal(KEY) is not None:
        pass
    verdict = await audit.verify([KEY])
    assert (verdict.entries, verdict.unsealed, verdict.wrong) == (120, 0, ())
