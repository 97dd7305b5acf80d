"""Services as the status page asks for them: how many, which are in trouble, a page of them, and how they were."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, text

from core.store.base import Store
from core.store.services import ServiceRow
from core.sweeps.observation import State
from core.sweeps.service import Key, ServiceState

DAYS = 90
HOURS = 24
_COLUMNS = tuple(getattr(ServiceRow, name) for name in ServiceState.__dataclass_fields__)
_PLATFORM: ColumnElement[str] = case(
    (ServiceRow.platform != "", ServiceRow.platform), (ServiceRow.topology == "services", ""), else_=ServiceRow.topology
)
"""What a service is listed under: its platform, else its topology, nothing where that is only the configuration's."""
_RANK = case({"down": 0, "degraded": 1, "unreachable": 2, "unknown": 3}, value=ServiceRow.state, else_=4)
_THERE = ServiceRow.gone_at.is_(None)
_TROUBLED = and_(_THERE, ServiceRow.state.in_(("down", "degraded")))
_ORDER = (ServiceRow.topology, ServiceRow.position, ServiceRow.name)
# Days are counted back from now, so that the first of them is the last 24 hours.
_DAYS = text("""
    SELECT s.topology, s.name, CAST(floor(extract(epoch FROM CAST(:hour AS timestamptz) - h.hour) / 86400) AS int) AS day,
        sum(h.up + h.degraded) AS good, sum(h.up + h.degraded + h.down) AS told
    FROM pilothouse.service_states s JOIN pilothouse.service_hours h ON h.service = s.id
    WHERE (s.topology, s.name) IN (SELECT * FROM unnest(CAST(:topologies AS text[]), CAST(:names AS text[])))
        AND h.hour > CAST(:hour AS timestamptz) - make_interval(days => :days) AND h.hour <= CAST(:hour AS timestamptz)
    GROUP BY s.id, 3
""")
_HOURS = text("""
    SELECT s.topology, s.name, CAST(extract(epoch FROM CAST(:hour AS timestamptz) - h.hour) / 3600 AS int) AS hour,
        h.seconds / h.answers AS mean
    FROM pilothouse.service_states s JOIN pilothouse.service_hours h ON h.service = s.id
    WHERE (s.topology, s.name) IN (SELECT * FROM unnest(CAST(:topologies AS text[]), CAST(:names AS text[])))
        AND h.hour > CAST(:hour AS timestamptz) - make_interval(hours => :hours) AND h.hour <= CAST(:hour AS timestamptz)
        AND h.answers > 0
""")


@dataclass(frozen=True, slots=True)
class History:
    """How a service was. ``good`` and ``told`` by day, the last 24 hours first: sweeps that found it working, and all that
    could tell. ``latency``: mean seconds of each of the last 24 hours, the oldest first."""

    good: tuple[int, ...] = (0,) * DAYS
    told: tuple[int, ...] = (0,) * DAYS
    latency: tuple[float | None, ...] = (None,) * HOURS

    def share(self, days: int) -> float | None:
        """Of the sweeps of so many days, those that found it working; None where none could tell."""
        told = sum(self.told[:days])
        return sum(self.good[:days]) / told if told else None

    @property
    def days(self) -> tuple[float | None, ...]:
        """The share of each day, the oldest first."""
        return tuple(good / told if told else None for good, told in zip(self.good[::-1], self.told[::-1], strict=True))


@dataclass(frozen=True, slots=True)
class Listed:
    """A service and the platform that it is listed under."""

    state: ServiceState
    platform: str


class Brief(NamedTuple):
    """A service in a line. ``seconds``: its last latency."""

    topology: str
    name: str
    platform: str
    state: State
    seconds: float | None


class ServiceHistory:
    """Questions about many services at once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def counts(self) -> dict[str, dict[State, int]]:
        """How many services of each platform are in which state; platforms by name."""
        statement = select(_PLATFORM.label("platform"), ServiceRow.state, func.count().label("n")).where(_THERE)
        found: dict[str, dict[State, int]] = {}
        async with self._store.single() as connection:
            for row in await connection.execute(statement.group_by(_PLATFORM, ServiceRow.state)):
                found.setdefault(row.platform, {})[row.state] = row.n
        return dict(sorted(found.items()))

    async def listed(
        self, limit: int, offset: int = 0, platform: str | None = None, *, worst_first: bool = False
    ) -> list[Listed]:
        """Services in the order of their topologies, of one platform or all; with ``worst_first`` troubles before the rest."""
        statement = _asked().where(_THERE).order_by(*((_RANK, *_ORDER) if worst_first else _ORDER)).limit(limit).offset(offset)
        return await self._found(statement if platform is None else statement.where(_PLATFORM.in_([platform])))

    async def troubles(self, limit: int) -> list[Listed]:
        """Services that are down or degraded and that no other one's outage explains: the worst first, then the newest."""
        own = or_(ServiceRow.root.is_(None), ServiceRow.root == "")
        return await self._found(_asked().where(_TROUBLED, own).order_by(_RANK, ServiceRow.since.desc(), *_ORDER).limit(limit))

    async def folded(self, roots: Sequence[str], limit: int) -> list[Listed]:
        """Services in trouble that are explained by those of ``roots`` (as ``topology/name``)."""
        return await self._found(_asked().where(_TROUBLED, ServiceRow.root.in_(roots)).order_by(_RANK, *_ORDER).limit(limit))

    async def folded_counts(self) -> dict[str, int]:
        """How many services each root (as ``topology/name``) explains, and under ``""`` how many nothing explains."""
        root = func.coalesce(ServiceRow.root, "")
        async with self._store.single() as connection:
            rows = await connection.execute(select(root.label("root"), func.count().label("n")).where(_TROUBLED).group_by(root))
            return {row.root: row.n for row in rows}

    async def maintained(self, limit: int) -> list[Listed]:
        """Services in maintenance."""
        return await self._found(_asked().where(_THERE, ServiceRow.maintenance).order_by(*_ORDER).limit(limit))

    async def brief(self, limit: int) -> list[Brief]:
        """Every service in a line, in the order of their topologies."""
        columns = (ServiceRow.topology, ServiceRow.name, _PLATFORM, ServiceRow.state, ServiceRow.seconds)
        async with self._store.single() as connection:
            rows = await connection.execute(select(*columns).where(_THERE).order_by(*_ORDER).limit(limit))
            return [Brief(*row) for row in rows]

    async def histories(self, keys: Sequence[Key], now: datetime) -> dict[Key, History]:
        """How these services were; one that nobody looked at is left out."""
        if not keys:
            return {}
        asked: dict[str, Any] = {
            "topologies": [key.topology for key in keys],
            "names": [key.name for key in keys],
            "hour": now.replace(minute=0, second=0, microsecond=0),
        }
        good: dict[Key, list[int]] = {}
        told: dict[Key, list[int]] = {}
        latency: dict[Key, list[float | None]] = {}
        async with self._store.single() as connection:
            for row in await connection.execute(_DAYS, asked | {"days": DAYS}):
                key = Key(row.topology, row.name)
                good.setdefault(key, [0] * DAYS)[row.day] = row.good
                told.setdefault(key, [0] * DAYS)[row.day] = row.told
            for row in await connection.execute(_HOURS, asked | {"hours": HOURS}):
                latency.setdefault(Key(row.topology, row.name), [None] * HOURS)[HOURS - 1 - row.hour] = row.mean
        nothing: list[float | None] = [None] * HOURS
        return {key: History(tuple(good[key]), tuple(told[key]), tuple(latency.get(key, nothing))) for key in good}

    async def _found(self, statement: Select[Any]) -> list[Listed]:
        async with self._store.single() as connection:
            rows = [dict(row) for row in (await connection.execute(statement)).mappings()]
        return [Listed(platform=row.pop("listed_under"), state=ServiceState(**row)) for row in rows]


def _asked() -> Select[Any]:
    return select(*_COLUMNS, _PLATFORM.label("listed_under"))
