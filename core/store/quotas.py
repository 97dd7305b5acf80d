"""Quotas that administrators set while all runs, and the counters in our database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.quotas.counting import Hold, Used, Window
from core.settings_quotas import Rate
from core.store.base import Base, Store
from core.store.keepable import as_json
from core.store.rates import Rates


class QuotaRow(Base):
    """Limits set at run time; they win over the configuration's. ``kind``: default, workspace or token."""

    __tablename__ = "quotas"

    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    limits: Mapped[dict[str, Any]] = mapped_column(JSONB)
    set_by: Mapped[str] = mapped_column(Text)
    set_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class CounterRow(Base):
    """A period's use of one limit, with what is held. ``over_at``: when the period ends."""

    __tablename__ = "quota_counters"

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    used: Mapped[int] = mapped_column(BigInteger)
    over_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class HoldRow(Base):
    """What something in flight holds of one limit."""

    __tablename__ = "quota_holds"
    __table_args__ = (Index("quota_holds_of_key", "key"), Index("quota_holds_of_owner", "owner"))

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    metric: Mapped[str] = mapped_column(Text)
    amount: Mapped[int] = mapped_column(BigInteger)
    owner: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


@dataclass(frozen=True, slots=True)
class SetQuota:
    """Limits that an administrator has set, by the names of the settings."""

    kind: str
    name: str
    limits: Mapping[str, Any]
    set_by: str
    set_at: datetime


_SET = text("""
    INSERT INTO pilothouse.quotas (kind, name, limits, set_by) VALUES (:kind, :name, CAST(:limits AS jsonb), :by)
    ON CONFLICT (kind, name) DO UPDATE SET limits = EXCLUDED.limits, set_by = EXCLUDED.set_by, set_at = now()
""")
# A token or a user is set limits by its id, or by what people call it.
_NAMED = text("""
    SELECT id, name FROM pilothouse.tokens WHERE revoked_at IS NULL AND name = ANY(:names)
    UNION ALL SELECT 'user:' || id, login FROM pilothouse.users WHERE login = ANY(:names)
""")


class Quotas:
    """Questions about limits."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def all(self) -> list[SetQuota]:
        """Those set at run time."""
        asked = text("SELECT kind, name, limits, set_by, set_at FROM pilothouse.quotas ORDER BY kind, name")
        async with self._store.single() as connection:
            return [SetQuota(*row) for row in await connection.execute(asked)]

    async def set(self, kind: str, name: str, limits: Mapping[str, Any], by: str) -> None:
        """In place of what was set there before."""
        values = {"kind": kind, "name": name, "limits": as_json(dict(limits)), "by": by}
        async with self._store.single() as connection:
            await connection.execute(_SET, values)

    async def clear(self, kind: str, name: str) -> bool:
        """Go back to the configuration's; False when nothing was set."""
        gone = text("DELETE FROM pilothouse.quotas WHERE kind = :kind AND name = :name")
        async with self._store.single() as connection:
            return bool((await connection.execute(gone, {"kind": kind, "name": name})).rowcount)

    async def named(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """``(id, name)`` of tokens and users that are called so."""
        if not names:
            return []
        async with self._store.single() as connection:
            return [(row.id, row.name) for row in await connection.execute(_NAMED, {"names": list(names)})]


_RESERVE = text("SELECT pilothouse.quota_reserve(:hold, :owner, CAST(:items AS jsonb))")
_SETTLE = text("SELECT pilothouse.quota_settle(:hold, :keys, CAST(:used AS jsonb))")
_COUNTED = text("""
    SELECT i.value->>'key' AS key, pilothouse.quota_counted(i.value) AS used FROM jsonb_array_elements(CAST(:items AS jsonb)) i
""")
# Counters of what is given back are made anew by whoever needs them next. A hold is young where its answer is not here yet.
_RELEASE = text("""
    WITH gone AS (
        DELETE FROM pilothouse.quota_holds
        WHERE NOT owner = ANY(:living) OR owner = :owner AND NOT id = ANY(:held) AND at < now() - interval '30 seconds'
        RETURNING key
    ), locked AS (
        SELECT key FROM pilothouse.quota_counters
        WHERE key IN (SELECT key FROM gone) OR over_at < now() - interval '1 day' ORDER BY key FOR UPDATE
    )
    DELETE FROM pilothouse.quota_counters WHERE key IN (SELECT key FROM locked)
""")
_DROP = text("DELETE FROM pilothouse.quota_counters WHERE :anew OR key = ANY(:keys)")
_LOCK_ALL = text("SELECT FROM pilothouse.quota_counters ORDER BY key FOR UPDATE")
_ADOPT = text("""
    INSERT INTO pilothouse.quota_holds (id, key, metric, amount, owner)
    VALUES (:id, :key, :metric, :amount, :owner) ON CONFLICT DO NOTHING
""")


class StoreCounters:
    """``Counters`` in our database: one statement to reserve, one to settle."""

    def __init__(self, store: Store) -> None:
        self._store = store.system
        self._rates = Rates(store)

    async def reserve(self, hold: Hold) -> Used:
        """See ``Counters.reserve``."""
        values = {"hold": hold.id, "owner": hold.owner, "items": as_json([item.told() for item in hold.items])}
        async with self._store.single() as connection:
            found: dict[str, int] = (await connection.execute(_RESERVE, values)).scalar_one()
        return found

    async def settle(self, hold: Hold, used: Mapping[str, int]) -> None:
        """See ``Counters.settle``."""
        async with self._store.single() as connection:
            await connection.execute(_SETTLE, {"hold": hold.id, "keys": hold.keys, "used": as_json(dict(used))})

    async def adopt(self, owner: str, holds: Sequence[Hold], *, anew: bool) -> None:
        """See ``Counters.adopt``."""
        rows = [
            {"id": hold.id, "owner": owner, "key": item.key, "metric": item.metric, "amount": item.amount}
            for hold in holds
            for item in hold.items
        ]
        async with self._store.begin() as connection:
            await connection.execute(_LOCK_ALL)
            if rows:
                await connection.execute(_ADOPT, rows)
            await connection.execute(_DROP, {"anew": anew, "keys": [row["key"] for row in rows]})

    async def release(self, owner: str, living: Sequence[str], held: Sequence[str]) -> None:
        """See ``Counters.release``."""
        async with self._store.single() as connection:
            await connection.execute(_RELEASE, {"owner": owner, "living": [*living, owner], "held": list(held)})

    async def take(self, key: str, rate: Rate) -> Window:
        """See ``Counters.take``."""
        return await self._rates.take(key, rate)

    async def known(self, holds: Sequence[str]) -> list[str]:
        """See ``Ledger.known``."""
        asked = text("SELECT id FROM pilothouse.usage WHERE id = ANY(:ids)")
        async with self._store.single() as connection:
            return list((await connection.execute(asked, {"ids": list(holds)})).scalars())

    async def counted(self, items: Sequence[Mapping[str, Any]]) -> Used:
        """See ``Ledger.counted``."""
        async with self._store.single() as connection:
            rows = await connection.execute(_COUNTED, {"items": as_json(list(items))})
            return {row.key: int(row.used) for row in rows}
