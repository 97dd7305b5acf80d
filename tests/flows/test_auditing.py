"""The audit log of a process: what is written together, what waits for the database, and what is found of a log that was cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from core.audit.entry import Entry
from core.audit.head import Head
from core.config import DatabaseSettings
from core.errors import DatabaseUnavailable
from core.settings_audit import AuditSettings
from core.store.audit import Audit
from core.store.base import Store
from flows import auditing
from flows.auditing import AuditLog
from tests.audit_rows import audit_rows
from tests.waiting import eventually

KEY = "the key of this test"


@asynccontextmanager
async def opened(url: str, folder: Path) -> AsyncIterator[AuditLog]:
    store = Store.from_settings(DatabaseSettings.model_validate({"url": url, "connect_timeout": 1}))
    log = AuditLog(store, AuditSettings(), KEY, folder)
    log.start()
    try:
        yield log
    finally:
        await log.stop()
        await store.aclose()


def entry(number: int) -> Entry:
    return Entry(f"act {number}", "success", details={"number": number})


async def test_what_is_kept_is_there_and_many_at_once_are_one_statement(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    real = Audit.note

    async def counted(self: Audit, *entries: Entry, ago: tuple[float, ...] = ()) -> None:
        written.append(len(entries))
        await real(self, *entries, ago=ago)

    monkeypatch.setattr(Audit, "note", counted)
    async with opened(database_url, tmp_path) as log:
        await log.keep(entry(0))
        assert [row.action for row in audit_rows(database_url)] == ["act 0"], "at once, without waiting"
        await asyncio.gather(*(log.keep(entry(number)) for number in range(1, 201)))
        assert len(audit_rows(database_url)) == 201
    assert len(written) <= 4, written


async def test_what_no_database_takes_stops_nothing_else(database_url: str, tmp_path: Path) -> None:
    async with opened(database_url, tmp_path) as log:
        bad = Entry("bad", "success", details={"half": "\ud83d"})
        await asyncio.gather(log.keep(entry(1)), log.keep(bad), log.keep(entry(2)))
        assert [row.action for row in audit_rows(database_url)] == ["act 1", "act 2"]


async def test_an_entry_waits_for_a_database_that_is_away_and_keeps_its_time(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = True
    real = Audit.note

    async def refused(self: Audit, *entries: Entry, ago: tuple[float, ...] = ()) -> None:
        if away:
            raise DatabaseUnavailable("It is away.")
        await real(self, *entries, ago=[each + 3600 for each in ago])

    monkeypatch.setattr(Audit, "note", refused)
    monkeypatch.setattr(auditing, "AGAIN", 0.02)
    async with opened(database_url, tmp_path) as log:
        with pytest.raises(DatabaseUnavailable):
            await log.keep(entry(1))
        await log.settle(entry(2))  # an answer goes out all the same
        assert audit_rows(database_url) == []
        away = False
        await eventually(lambda: len(audit_rows(database_url)) == 2, what="both are written")
    with psycopg.connect(database_url) as connection:
        late = connection.execute("SELECT bool_and(at < now() - interval '59 minutes') FROM pilothouse.audit").fetchone()
    assert late == (True,)


async def test_a_log_that_was_cut_is_found_though_it_goes_on(database_url: str, tmp_path: Path) -> None:
    async with opened(database_url, tmp_path) as log:
        await log.keep(entry(1))
    async with opened(database_url, tmp_path) as log:
        await log.keep(entry(2))
    newest = Head(tmp_path).read()
    assert newest is not None
    assert newest.number == 2
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE pilothouse.audit DISABLE TRIGGER audit_is_append_only")
        connection.execute("DELETE FROM pilothouse.audit WHERE batch = 2")
        connection.execute("DELETE FROM pilothouse.audit_seals WHERE batch = 2")
    async with opened(database_url, tmp_path) as log:
        await log.keep(entry(3))
    store = Store.from_settings(DatabaseSettings.model_validate({"url": database_url}))
    verdict = await Audit(store).verify([KEY], Head(tmp_path).read())
    await store.aclose()
    assert (verdict.wrong, verdict.unsealed) == ((), 1), "the chain itself is whole again; what tells of it waits for its seal"
    assert Head(tmp_path).lost() == [newest]
    assert [row.about for row in audit_rows(database_url, "audit.cut")] == ["2"]
    async with opened(database_url, tmp_path) as log:
        await log.keep(entry(4))
    assert Head(tmp_path).lost() == [newest], "it is remembered, and told once"
    assert len(audit_rows(database_url, "audit.cut")) == 1


async def test_a_process_without_the_newest_seal_is_told_of_nothing(database_url: str, tmp_path: Path) -> None:
    """Several machines note their own seals; the others' are not missing."""
    for number, folder in enumerate(("a", "b", "a", "b")):
        (tmp_path / folder).mkdir(exist_ok=True)
        async with opened(database_url, tmp_path / folder) as log:
            await log.keep(entry(number))
    assert [Head(tmp_path / folder).lost() for folder in ("a", "b")] == [[], []]
    assert audit_rows(database_url, "audit.cut") == []
