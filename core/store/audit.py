"""The audit log in the database: entries added, read and sealed, never changed.

Adding takes one insert and no lock, from any process, also within the transaction of what an entry tells of. Entries are sealed
by one process at a time, some seconds later, in the order of their numbers; one that commits later than its number suggests goes
into the next batch.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Identity, Index, Integer, LargeBinary, Text, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Mapped, mapped_column

from core.audit.chain import BEGINNING, batch_digest, is_signed, signature
from core.audit.entry import Entry, Kept
from core.audit.head import Seal
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
class Verdict:
    """What checking the whole log has shown. ``wrong`` are sentences, one for each batch that is not as it was sealed.

    ``since``: of when the oldest entry is that is not sealed yet.
    """

    batches: int
    entries: int
    unsealed: int
    wrong: tuple[str, ...]
    since: datetime | None = None


_COLUMNS = tuple(getattr(AuditRow, name) for name in Kept.__dataclass_fields__)
# Of what had to wait for the database, ``ago`` tells the time by the database's own clock.
_ADD = text("SELECT pilothouse.add_to_audit(CAST(:entries AS jsonb))")
_HEAD = text("SELECT batch, digest FROM pilothouse.audit_seals ORDER BY batch DESC LIMIT 1")
_MARK = text("UPDATE pilothouse.audit SET batch = :batch WHERE seq = ANY(:seqs)")
_SEAL = text("""
    INSERT INTO pilothouse.audit_seals (batch, entries, digest, signature, first_at, last_at)
    VALUES (:batch, :entries, :digest, :signature, :first_at, :last_at)
""")


class Audit:
    """Questions about the audit log."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def note(self, *entries: Entry, ago: Sequence[float] = ()) -> None:
        """Keep entries, in one statement; ``ago``: how many seconds ago each happened."""
        async with self._store.single() as connection:
            await noted(connection, *entries, ago=ago)

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

    async def holds(self, seal: Seal) -> bool:
        """Whether a batch that was sealed is still there as it was; one whose entries have expired counts as there."""
        asked = text(
            "SELECT coalesce(:batch < min(batch) FILTER (WHERE checkpoint), false)"
            " OR bool_or(batch = :batch AND digest = :digest) FROM pilothouse.audit_seals"
        )
        async with self._store.single() as connection:
            return bool((await connection.execute(asked, {"batch": seal.number, "digest": seal.digest})).scalar())

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
        waiting = select(func.count(), func.min(AuditRow.at)).where(AuditRow.batch.is_(None))
        beyond = select(func.count()).select_from(AuditRow).where(AuditRow.batch >= expected)
        async with self._store.single() as connection:
            unsealed, since = (await connection.execute(waiting)).one()._tuple()
            orphans = (await connection.execute(beyond)).scalar() or 0
        if orphans:
            wrong.append(f"{orphans} entries stand under batches that are missing.")
        return Verdict(batches, entries, unsealed, tuple(wrong), since)

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


async def noted(connection: AsyncConnection, *entries: Entry, ago: Sequence[float] = ()) -> None:
    """Keep entries on the connection, and so in the transaction, of what they tell of."""
    rows = [
        {
            **{name: keepable(str(getattr(entry, name)))[:1000] for name in Entry.__dataclass_fields__ if name != "details"},
            "details": dict(entry.details),
            "ago": ago[number] if ago else 0.0,
        }
        for number, entry in enumerate(entries)
    ]
    if rows:
        await connection.execute(_ADD, {"entries": as_json(rows)})
