"""Services: how each of them is, when they were swept, and who sweeps now."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    DateTime,
    Float,
    Identity,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    delete,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.errors import DatabaseUnavailable
from core.store.base import Base, Store
from core.store.keepable import as_json
from core.sweeps.service import Key, ServiceState

LEASE_SECONDS = 20.0
RENEW_SECONDS = 5.0
SweepOrigin = Literal["flow", "standby", "command"]


class ServiceRow(Base):
    """A service. ``gone_at``: it has left the configuration; its history stays for as long as any."""

    __tablename__ = "service_states"
    __table_args__ = (UniqueConstraint("topology", "name"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    topology: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    position: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    title: Mapped[str] = mapped_column(Text, server_default=text("''"))
    platform: Mapped[str] = mapped_column(Text, server_default=text("''"))
    kind: Mapped[str] = mapped_column(Text)
    severity: Mapped[str] = mapped_column(Text, server_default=text("'critical'"))
    runbook: Mapped[str | None] = mapped_column(Text)
    depends_on: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    hints: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    state: Mapped[str] = mapped_column(Text, server_default=text("'unknown'"))
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    pending: Mapped[str | None] = mapped_column(Text)
    streak: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    code: Mapped[str] = mapped_column(Text, server_default=text("''"))
    message: Mapped[str] = mapped_column(Text, server_default=text("''"))
    seconds: Mapped[float | None] = mapped_column(Float)
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    checked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    good_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    flips: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    root: Mapped[str | None] = mapped_column(Text)
    looks: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    told: Mapped[str | None] = mapped_column(Text)
    maintenance: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    gone_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class SweepRow(Base):
    """A sweep that is over. ``topology``: of that one alone."""

    __tablename__ = "sweeps"
    __table_args__ = (Index("sweeps_newest", "started_at"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    origin: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    flow_run_id: Mapped[str | None] = mapped_column(Text)
    topology: Mapped[str | None] = mapped_column(Text)
    counts: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))


class SweepLease(Base):
    """The one row says who sweeps. ``lease_until`` is the database's clock; past it the process is dead."""

    __tablename__ = "sweep_lease"

    one: Mapped[bool] = mapped_column(Boolean, primary_key=True, server_default=text("true"))
    owner: Mapped[str] = mapped_column(Text)
    lease_until: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """``counts``: services by state, and ``flips`` and ``looks``."""

    id: str
    origin: SweepOrigin
    started_at: datetime
    finished_at: datetime
    flow_run_id: str | None = None
    topology: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


_FIELDS = tuple(ServiceState.__dataclass_fields__)
_COLUMNS = tuple(getattr(ServiceRow, name) for name in _FIELDS)
_TYPES = {
    name: "text[]" if name in ("depends_on", "hints") else str(ServiceRow.__table__.c[name].type.compile()).lower()
    for name in _FIELDS
} | {"since": "timestamptz", "checked_at": "timestamptz", "good_at": "timestamptz", "facts": "jsonb"}
# However many services there are, they are one statement and one parameter.
_SAVE = text(f"""
    INSERT INTO pilothouse.service_states ({", ".join(_FIELDS)})
    SELECT {", ".join(f"r.{name}" for name in _FIELDS)}
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r ({", ".join(f"{name} {kind}" for name, kind in _TYPES.items())})
    ON CONFLICT (topology, name) DO UPDATE SET gone_at = NULL,
        {", ".join(f"{name} = EXCLUDED.{name}" for name in _FIELDS if name not in ("topology", "name"))}
""")  # noqa: S608  (our own text)
_FORGET = text("""
    UPDATE pilothouse.service_states s SET gone_at = now(), told = NULL, root = NULL, state = 'unknown', since = now(),
        pending = NULL, streak = 0, looks = 0
    FROM jsonb_to_recordset(CAST(:keys AS jsonb)) AS k (topology text, name text)
    WHERE s.topology = k.topology AND s.name = k.name
""")
_TAKE = text("""
    INSERT INTO pilothouse.sweep_lease AS l (owner, lease_until) VALUES (:owner, now() + make_interval(secs => :lease))
    ON CONFLICT (one) DO UPDATE SET owner = EXCLUDED.owner, lease_until = EXCLUDED.lease_until
    WHERE l.owner = EXCLUDED.owner OR l.lease_until < now() RETURNING owner
""")


class Services:
    """Questions about services."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def all(self, topology: str | None = None) -> list[ServiceState]:
        """Those of the configuration as the last sweep left them, of one topology or all, in their order."""
        statement = select(*_COLUMNS).where(ServiceRow.gone_at.is_(None))
        if topology is not None:
            statement = statement.where(ServiceRow.topology == topology)
        statement = statement.order_by(ServiceRow.topology, ServiceRow.position, ServiceRow.name)
        async with self._store.single() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        edges = ("depends_on", "hints")
        return [ServiceState(**{**row, **{name: tuple(row[name]) for name in edges}}) for row in rows]

    async def save(self, services: Iterable[ServiceState]) -> None:
        """Keep them as they are now."""
        rows = [asdict(each) for each in services]
        if rows:
            async with self._store.single() as connection:
                await connection.execute(_SAVE, {"rows": as_json(rows)})

    async def forget(self, keys: Sequence[Key]) -> None:
        """Take them for gone from the configuration. Should they come back, they begin as unknown, with their history."""
        if keys:
            async with self._store.single() as connection:
                await connection.execute(_FORGET, {"keys": as_json([key._asdict() for key in keys])})


class Sweeps:
    """Questions about sweeps."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def add(self, sweep: SweepRecord) -> None:
        """Keep a sweep that is over."""
        values = {name: getattr(sweep, name) for name in SweepRecord.__dataclass_fields__}
        async with self._store.single() as connection:
            table = SweepRow.__table__
            await connection.execute(table.insert(), values)  # type: ignore[attr-defined]

    async def last(self, topology: str | None = None) -> SweepRecord | None:
        """The newest of all services; with ``topology`` one of that alone counts too."""
        columns = tuple(getattr(SweepRow, name) for name in SweepRecord.__dataclass_fields__)
        whole = SweepRow.topology.is_(None)
        wanted = whole if topology is None else whole | (SweepRow.topology == topology)
        statement = select(*columns).where(wanted).order_by(SweepRow.started_at.desc()).limit(1)
        async with self._store.single() as connection:
            found = (await connection.execute(statement)).mappings().one_or_none()
        return None if found is None else SweepRecord(**dict(found))

    async def take(self, owner: str) -> bool:
        """Whether ``owner`` may sweep for ``LEASE_SECONDS`` from now; False while another does."""
        async with self._store.single() as connection:
            found = await connection.execute(_TAKE, {"owner": owner, "lease": LEASE_SECONDS})
            return found.scalar_one_or_none() is not None

    async def leave(self, owner: str) -> None:
        """Let the next one sweep."""
        async with self._store.single() as connection:
            await connection.execute(delete(SweepLease).where(SweepLease.owner == owner))

    @asynccontextmanager
    async def held(self, owner: str) -> AsyncIterator[bool]:
        """Whether ``owner`` may sweep within the block, which keeps the lease."""
        if not await self.take(owner):
            yield False
            return

        async def renew() -> None:
            while True:
                await asyncio.sleep(RENEW_SECONDS)
                with suppress(DatabaseUnavailable):
                    await self.take(owner)

        renewing = asyncio.create_task(renew())
        try:
            yield True
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})
            with suppress(DatabaseUnavailable):  # else it lapses by itself
                await self.leave(owner)

    async def forget_before(self, days: float) -> int:
        """Delete what is known of sweeps older than ``days``; how many."""
        old = delete(SweepRow).where(SweepRow.started_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, days * 86_400))
        async with self._store.single() as connection:
            return (await connection.execute(old)).rowcount
