"""The audit log in the database: entries added, read and sealed, never changed.

Adding takes one insert and no lock. Entries are sealed by one process at a time, some seconds later, in the order of their
numbers; one that commits later than its number suggests goes into the next batch.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Identity, Index, Integer, LargeBinary, Text, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.audit.chain import BEGINNING, batch_digest, is_signed, signature
from core.audit.entry import Entry, Kept
from core.store.base import Base, Store
from core.store.keepable import as_json, keepable

SEAL_AT_ONCE = 5_000
LOCK = 0x61756469
"""Of the one who seals: ``audi``."""


class AuditRow(Base):
    """An entry. ``batch`` is set once, when it is sealed; a trigger of the schema refuses every other change."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("audit_unsealed", "seq", postgresql_where=text("batch IS NULL")),
        Index("audit_of_batch", "batch", "seq"),
        Index("audit_at", "at"),
        Index("audit_of_actor", "actor", "seq"),
    )

    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    action: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    actor_name: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(Text)
    object: Mapped[str] = mapped_column(Text)
    request_id: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    batch: Mapped[int | None] = mapped_column(BigInteger)


class SealRow(Base):
    """A batch: how many entries, and its digest, signed. A ``checkpoint`` stands for batches whose entries have expired."""

    __tablename__ = "audit_seals"

    batch: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    entries: Mapped[int] = mapped_column(Integer)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    signature: Mapped[bytes] = mapped_column(LargeBinary)
    first_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    last_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    checkpoint: Mapped[bool] = mapped_column(server_default=text("false"))


@dataclass(frozen=True, slots=True)
class Seal:
    """A batch that was just sealed."""

    number: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What checking the whole log has shown. ``wrong`` are sentences, one for each batch that is not as it was sealed."""

    batches: int
    entries: int
    unsealed: int
    wrong: tuple[str, ...]


_COLUMNS = tuple(getattr(AuditRow, name) for name in Kept.__dataclass_fields__)
_ADD = text("""
    INSERT INTO pilothouse.audit (action, outcome, actor, actor_name, address, object, request_id, details)
    VALUES (:action, :outcome, :actor, :actor_name, :address, :object, :request_id, CAST(:details AS jsonb))
""")
_HEAD = text("SELECT batch, digest FROM pilothouse.audit_seals ORDER BY batch DESC LIMIT 1")
_MARK = text("UPDATE pilothouse.audit SET batch = :batch WHERE seq = ANY(:seqs)")
_SEAL = text("""
    INSERT INTO pilothouse.audit_seals (batch, entries, digest, signature, first_at, last_at)
    VALUES (:batch, :entries, :digest, :signature, :first_at, :last_at)
""")


class Audit:
    """Questions about the audit log."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def note(self, *entries: Entry) -> None:
        """Keep entries."""
        rows: list[dict[str, str | None]] = [
            {
                **{name: keepable(str(getattr(entry, name)))[:1000] for name in Entry.__dataclass_fields__ if name != "details"},
                "details": as_json(dict(entry.details)),
            }
            for entry in entries
        ]
        async with self._store.single() as connection:
            for row in rows:
                await connection.execute(_ADD, row)

    async def page(
        self,
        limit: int,
        before: int | None = None,
        *,
        actor: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Kept]:
        """Entries newest first, older than ``before``; of one actor, one action, a time."""
        wanted = select(*_COLUMNS).order_by(AuditRow.seq.desc()).limit(limit)
        conditions = [
            None if before is None else AuditRow.seq < before,
            None if actor is None else AuditRow.actor == keepable(actor),
            None if action is None else AuditRow.action == keepable(action),
            None if since is None else AuditRow.at >= since,
            None if until is None else AuditRow.at < until,
        ]
        async with self._store.single() as connection:
            rows = await connection.execute(wanted.where(*(each for each in conditions if each is not None)))
            return [Kept(*row) for row in rows]

    async def since(self, seq: int, limit: int) -> list[Kept]:
        """Entries in their order, from the one after ``seq`` on, as an export reads them."""
        wanted = select(*_COLUMNS).where(AuditRow.seq > seq).order_by(AuditRow.seq).limit(limit)
        async with self._store.single() as connection:
            return [Kept(*row) for row in await connection.execute(wanted)]

    async def seal(self, key: str) -> Seal | None:
        """Seal what is not sealed yet, as one batch; None when there is nothing, or while another process seals."""
        async with self._store.begin() as connection:
            if not (await connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": LOCK})).scalar():
                return None
            unsealed = select(*_COLUMNS).where(AuditRow.batch.is_(None)).order_by(AuditRow.seq).limit(SEAL_AT_ONCE)
            entries = [Kept(*row) for row in await connection.execute(unsealed)]
            if not entries:
                return None
            head = (await connection.execute(_HEAD)).one_or_none()
            number, previous = (1, BEGINNING) if head is None else (head.batch + 1, bytes(head.digest))
            digest = batch_digest(previous, number, entries)
            await connection.execute(_MARK, {"batch": number, "seqs": [entry.seq for entry in entries]})
            values = {"batch": number, "entries": len(entries), "digest": digest, "signature": signature(key, number, digest)}
            times = [entry.at for entry in entries]
            await connection.execute(_SEAL, values | {"first_at": min(times), "last_at": max(times)})
        return Seal(number, digest)

    async def verify(self, keys: Sequence[str], head: Seal | None = None) -> Verdict:
        """Recompute the whole chain; ``keys`` are the signing key and those of before, ``head`` a seal known from elsewhere."""
        wrong: list[str] = []
        batches = entries = 0
        previous, expected = BEGINNING, 1
        async for seal in self._seals():
            digest = bytes(seal.digest)
            if seal.checkpoint and not batches:
                expected = seal.batch
            elif seal.batch != expected:
                wrong.append(f"Batches {expected} to {seal.batch - 1} are missing.")
            if not any(is_signed(key, seal.batch, digest, bytes(seal.signature), checkpoint=seal.checkpoint) for key in keys):
                wrong.append(f"Batch {seal.batch} is not signed by our key.")
            found = [] if seal.checkpoint else await self._of_batch(seal.batch)
            if not seal.checkpoint and len(found) != seal.entries:
                wrong.append(f"Batch {seal.batch} has {len(found)} entries; {seal.entries} were sealed.")
            elif not seal.checkpoint and batch_digest(previous, seal.batch, found) != digest:
                wrong.append(f"An entry of batch {seal.batch}, or the batch before it, is not as it was sealed.")
            if head is not None and seal.batch == head.number and digest != head.digest:
                wrong.append(f"Batch {seal.batch} is another one than was noted when it was sealed.")
            entries += len(found)
            previous, expected, batches = digest, seal.batch + 1, batches + 1
        if head is not None and head.number >= expected:
            wrong.append(f"Batches {expected} to {head.number} are missing: the newest entries are gone.")
        count = select(func.count()).select_from(AuditRow)
        async with self._store.single() as connection:
            unsealed = (await connection.execute(count.where(AuditRow.batch.is_(None)))).scalar() or 0
            orphans = (await connection.execute(count.where(AuditRow.batch >= expected))).scalar() or 0
        if orphans:
            wrong.append(f"{orphans} entries stand under batches that are missing.")
        return Verdict(batches, entries, unsealed, tuple(wrong))

    async def expire(self, before: datetime, key: str) -> int:
        """Delete the entries of whole batches that ended before then; how many. Their last seal stays, signed as a checkpoint."""
        async with self._store.begin() as connection:
            last = text(
                "SELECT batch, digest FROM pilothouse.audit_seals WHERE last_at < :before AND NOT checkpoint"
                " ORDER BY batch DESC LIMIT 1"
            )
            found = (await connection.execute(last, {"before": before})).one_or_none()
            if found is None:
                return 0
            number, signed = found.batch, signature(key, found.batch, bytes(found.digest), checkpoint=True)
            await connection.execute(text("SET LOCAL pilothouse.audit_expires = 'yes'"))
            gone = await connection.execute(text("DELETE FROM pilothouse.audit WHERE batch <= :number"), {"number": number})
            await connection.execute(text("DELETE FROM pilothouse.audit_seals WHERE batch < :number"), {"number": number})
            kept = text("UPDATE pilothouse.audit_seals SET checkpoint = true, signature = :signed WHERE batch = :number")
            await connection.execute(kept, {"number": number, "signed": signed})
            return gone.rowcount

    async def _seals(self) -> AsyncIterator[SealRow]:
        after = 0
        while True:
            wanted = select(SealRow.__table__).where(SealRow.batch > after).order_by(SealRow.batch).limit(500)
            async with self._store.single() as connection:
                rows = (await connection.execute(wanted)).all()
            if not rows:
                return
            for row in rows:
                yield SealRow(**row._mapping)
            after = rows[-1].batch

    async def _of_batch(self, number: int) -> list[Kept]:
        wanted = select(*_COLUMNS).where(AuditRow.batch == number).order_by(AuditRow.seq)
        async with self._store.single() as connection:
            return [Kept(*row) for row in await connection.execute(wanted)]
