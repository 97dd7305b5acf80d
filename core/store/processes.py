"""Which processes are alive: each renews a lease, so that the turns of a dead one can be ended by another."""

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import DateTime, Text, func, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import Base, Store

LEASE_SECONDS = 6.0
RENEW_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Seen:
    """Processes of a role: how many live, and when the last lease of those that ended without a word lapsed."""

    alive: int
    lapsed: datetime | None


class Process(Base):
    """A process that answers turns. ``lease_until`` is the database's clock, the only one that all processes share."""

    __tablename__ = "processes"

    boot_id: Mapped[str] = mapped_column(Text, primary_key=True)
    role: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    lease_until: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Installation(Base):
    """One row, made with the schema."""

    __tablename__ = "installation"

    id: Mapped[str] = mapped_column(Text, primary_key=True, server_default=text("gen_random_uuid()"))
    role_secret: Mapped[str] = mapped_column(Text, server_default=text("gen_random_uuid()::text || gen_random_uuid()::text"))


class Processes:
    """Leases by boot id."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def renew(self, boot_id: str, role: str) -> None:
        """Hold the lease for ``LEASE_SECONDS`` from now."""
        async with self._store.single() as connection:
            await connection.execute(
                text(
                    "INSERT INTO pilothouse.processes (boot_id, role, lease_until)"
                    " VALUES (:boot_id, :role, now() + make_interval(secs => :lease))"
                    " ON CONFLICT (boot_id) DO UPDATE SET lease_until = EXCLUDED.lease_until"
                ),
                {"boot_id": boot_id, "role": role, "lease": LEASE_SECONDS},
            )

    async def installation(self) -> str:
        """What tells our processes, all that share this database, from those of others on the same Prefect server."""
        async with self._store.single() as connection:
            return str((await connection.execute(text("SELECT id FROM pilothouse.installation"))).scalar_one())

    async def leave(self, boot_id: str) -> None:
        """Give the lease back at a clean stop."""
        async with self._store.single() as connection:
            await connection.execute(text("DELETE FROM pilothouse.processes WHERE boot_id = :boot_id"), {"boot_id": boot_id})

    async def alive(self, role: str | None = None) -> set[str]:
        """Boot ids whose lease holds, of one role or all. Leases lapsed for a day are forgotten on the way."""
        async with self._store.single() as connection:
            await connection.execute(text("DELETE FROM pilothouse.processes WHERE lease_until < now() - interval '1 day'"))
            held = "SELECT boot_id FROM pilothouse.processes WHERE lease_until > now() AND role = coalesce(:role, role)"
            rows = await connection.execute(text(held), {"role": role})
            return set(rows.scalars())

    async def seen(self, role: str) -> Seen:
        """What the leases of a day tell of the processes of a role."""
        asked = text(
            "SELECT count(*) FILTER (WHERE lease_until > now()) AS alive,"
            " max(lease_until) FILTER (WHERE lease_until <= now()) AS lapsed FROM pilothouse.processes WHERE role = :role"
        )
        async with self._store.single() as connection:
            row = (await connection.execute(asked, {"role": role})).one()
        return Seen(row.alive, row.lapsed)


_LIVING = text("""
    SELECT boot_id FROM pilothouse.processes WHERE lease_until > now() OR hashtextextended(boot_id, 0) IN (
        SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
            AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
""")


class Presence:
    """Whether processes are really gone, for what must not be given back before: one that is only too busy to renew its lease
    still has its connection, and on that a lock, which ends with a killed process at once."""

    def __init__(self, store: Store, boot_id: str) -> None:
        self._store = store.system
        self._boot_id = boot_id
        self._connection: AsyncConnection | None = None
        self._kept = AsyncExitStack()
        self._opening = asyncio.Lock()

    async def show(self) -> None:
        """Be seen from now on; asked again, see to it that this is still so. Raises ``DatabaseUnavailable``."""
        async with self._opening:
            if self._connection is not None:
                try:
                    await self._connection.execute(text("SELECT 1"))
                except SQLAlchemyError:
                    await self.hide()
            if self._connection is None:
                self._connection = await self._kept.enter_async_context(self._store.single())
                lock = text("SELECT pg_try_advisory_lock(hashtextextended(:boot_id, 0))")
                await self._connection.execute(lock, {"boot_id": self._boot_id})

    async def shown(self) -> None:
        """Be seen, if not yet."""
        if self._connection is None:
            await self.show()

    async def living(self) -> set[str]:
        """Boot ids of processes with a lease or a connection."""
        async with self._store.single() as connection:
            return set((await connection.execute(_LIVING)).scalars())

    async def hide(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                await connection.execute(text("SELECT pg_advisory_unlock_all()"))
            await self._kept.aclose()
