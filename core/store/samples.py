"""What services looked like over time: a sample of each sweep for some days, and what each hour came to for some months."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import REAL, BigInteger, Column, DateTime, Float, ForeignKey, Index, Integer, Table, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import SCHEMA, Base, Store
from core.store.keepable import as_json
from core.sweeps.observation import State
from core.sweeps.service import Key, ServiceState

BATCH = 50_000
STATEMENT_SECONDS = 60


SAMPLES = Table(
    "service_samples",
    Base.metadata,
    Column("service", BigInteger, ForeignKey(f"{SCHEMA}.service_states.id", ondelete="CASCADE"), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("state", Text, nullable=False),
    Column("seconds", REAL),
    Index("service_samples_of_service", "service", "at"),
    Index("service_samples_at", "at", postgresql_using="brin"),
)
"""How a service was at the end of a sweep; ``seconds``: how long its answer took. No row has a key that is worth an index."""


class HourRow(Base):
    """An hour in sweeps: how many found it in which state. ``seconds`` is the sum of ``answers`` answers' times."""

    __tablename__ = "service_hours"
    __table_args__ = (Index("service_hours_hour", "hour", postgresql_using="brin"),)

    service: Mapped[int] = mapped_column(
        BigInteger, ForeignKey(f"{SCHEMA}.service_states.id", ondelete="CASCADE"), primary_key=True
    )
    hour: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    up: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    degraded: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    down: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    unknown: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    answers: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    seconds: Mapped[float] = mapped_column(Float, server_default=text("0"))
    slowest: Mapped[float | None] = mapped_column(REAL)


@dataclass(frozen=True, slots=True)
class Sample:
    """How a service was at the end of one sweep. ``seconds``: of its answer, None where it gave none."""

    at: datetime
    state: State
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Uptime:
    """Sweeps of a time that found a service in which state; those in maintenance count as ``unknown``."""

    up: int = 0
    degraded: int = 0
    down: int = 0
    unknown: int = 0
    mean: float | None = None
    """Seconds of an answer."""
    slowest: float | None = None

    @property
    def share(self) -> float | None:
        """Of the sweeps that could tell, those that did not find it down: 0 to 1; None where none could."""
        told = self.up + self.degraded + self.down
        return (self.up + self.degraded) / told if told else None


_KEEP = text("""
    WITH r AS (
        SELECT s.id, r.state, r.seconds, r.quiet
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (topology text, name text, state text, seconds real, quiet boolean)
        JOIN pilothouse.service_states s ON s.topology = r.topology AND s.name = r.name
    ), kept AS (
        INSERT INTO pilothouse.service_samples (service, at, state, seconds) SELECT id, :at, state, seconds FROM r
    )
    INSERT INTO pilothouse.service_hours AS h (service, hour, up, degraded, down, unknown, answers, seconds, slowest)
    SELECT id, date_trunc('hour', CAST(:at AS timestamptz)), (state = 'up' AND NOT quiet)::int,
        (state = 'degraded' AND NOT quiet)::int, (state = 'down' AND NOT quiet)::int,
        (quiet OR state IN ('unknown', 'unreachable'))::int, (seconds IS NOT NULL)::int, coalesce(seconds, 0), seconds
    FROM r
    ON CONFLICT (service, hour) DO UPDATE SET up = h.up + EXCLUDED.up, degraded = h.degraded + EXCLUDED.degraded,
        down = h.down + EXCLUDED.down, unknown = h.unknown + EXCLUDED.unknown, answers = h.answers + EXCLUDED.answers,
        seconds = h.seconds + EXCLUDED.seconds, slowest = greatest(h.slowest, EXCLUDED.slowest)
""")
_SAMPLES = text("""
    SELECT s.topology, s.name, p.at, p.state, p.seconds FROM pilothouse.service_samples p
    JOIN pilothouse.service_states s ON s.id = p.service
    WHERE p.at >= :since AND s.gone_at IS NULL AND s.topology = coalesce(:topology, s.topology)
        AND s.name = coalesce(:name, s.name)
    ORDER BY p.at
""")
_UPTIME = text("""
    SELECT s.topology, s.name, sum(h.up) AS up, sum(h.degraded) AS degraded, sum(h.down) AS down, sum(h.unknown) AS unknown,
        sum(h.seconds) / nullif(sum(h.answers), 0) AS mean, max(h.slowest) AS slowest
    FROM pilothouse.service_hours h JOIN pilothouse.service_states s ON s.id = h.service
    WHERE h.hour >= date_trunc('hour', CAST(:since AS timestamptz)) AND s.gone_at IS NULL GROUP BY s.id
""")
_THIN_SAMPLES = """
    DELETE FROM pilothouse.service_samples WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM pilothouse.service_samples WHERE at < now() - make_interval(secs => :age) LIMIT :batch))
"""
_THIN_HOURS = """
    DELETE FROM pilothouse.service_hours WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM pilothouse.service_hours WHERE hour < now() - make_interval(secs => :age) LIMIT :batch))
"""
_FORGET = "DELETE FROM pilothouse.service_states WHERE gone_at < now() - make_interval(secs => :age)"


class Samples:
    """Questions about how services were."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def add(self, at: datetime, services: Iterable[ServiceState]) -> None:
        """Keep how each service is, once for a sweep; the services themselves have been saved."""
        rows = [
            {"topology": one.topology, "name": one.name, "state": one.state, "seconds": one.seconds, "quiet": one.maintenance}
            for one in services
        ]
        if rows:
            async with self._store.single() as connection:
                await connection.execute(_KEEP, {"rows": as_json(rows), "at": at})

    async def since(self, at: datetime, key: Key | None = None) -> dict[Key, list[Sample]]:
        """The samples from ``at`` on, oldest first, of one service or of all; no further back than they are kept."""
        topology, name = key or (None, None)
        found: dict[Key, list[Sample]] = {}
        async with self._store.single() as connection:
            rows = await connection.execute(_SAMPLES, {"since": at, "topology": topology, "name": name})
            for row in rows:
                found.setdefault(Key(row.topology, row.name), []).append(Sample(row.at, row.state, row.seconds))
        return found

    async def uptimes(self, since: datetime) -> dict[Key, Uptime]:
        """Of each service from the hour of ``since`` on."""
        async with self._store.single() as connection:
            rows = (await connection.execute(_UPTIME, {"since": since})).all()
        return {
            Key(row.topology, row.name): Uptime(row.up, row.degraded, row.down, row.unknown, row.mean, row.slowest)
            for row in rows
        }

    async def thin(self, keep_samples: float, keep_hours: float, batch: int = BATCH) -> int:
        """Delete a batch of what is older than so many days, services that left among it; how many rows, 0 at the end."""
        steps: Sequence[tuple[str, float]] = ((_THIN_SAMPLES, keep_samples), (_THIN_HOURS, keep_hours), (_FORGET, keep_hours))
        gone = 0
        for statement, days in steps:
            async with self._store.begin() as connection:
                await connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'"))
                gone += (await connection.execute(text(statement), {"age": days * 86_400, "batch": batch})).rowcount
        return gone
