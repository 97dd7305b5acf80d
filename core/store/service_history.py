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
AT_ONCE = 100
"""Services whose hours one statement reads: some 200,000 rows."""
REMEMBERED = 3000
"""Services whose past is kept in memory, some kilobytes each."""
_NOTHING = ((0,) * (DAYS - 1), (0,) * (DAYS - 1))
_COLUMNS = tuple(getattr(ServiceRow, name) for name in ServiceState.__dataclass_fields__)
_PLATFORM: ColumnElement[str] = case(
    (ServiceRow.platform != "", ServiceRow.platform), (ServiceRow.topology == "services", ""), else_=ServiceRow.topology
)
"""What a service is listed under: its platform, else its topology, nothing where that is only the configuration's."""
_RANK = case({"down": 0, "degraded": 1, "unreachable": 2, "unknown": 3}, value=ServiceRow.state, else_=4)
_THERE = ServiceRow.gone_at.is_(None)
_TROUBLED = and_(_THERE, ServiceRow.state.in_(("down", "degraded")))
_ORDER = (ServiceRow.topology, ServiceRow.position, ServiceRow.name)
_OF = """
    FROM pilothouse.service_states s JOIN pilothouse.service_hours h ON h.service = s.id
    WHERE (s.topology, s.name) IN (SELECT * FROM unnest(CAST(:topologies AS text[]), CAST(:names AS text[])))
        AND h.hour > CAST(:hour AS timestamptz) - make_interval(hours => :most)
        AND h.hour <= CAST(:hour AS timestamptz) - make_interval(hours => :least)
"""
_DAYS = text(f"""
    SELECT s.topology, s.name, CAST(floor(extract(epoch FROM CAST(:hour AS timestamptz) - h.hour) / 86400) AS int) AS day,
        sum(h.up + h.degraded) AS good, sum(h.up + h.degraded + h.down) AS told {_OF} GROUP BY s.id, 3
""")  # noqa: S608  (our own text)
_HOURS = text(f"""
    SELECT s.topology, s.name, CAST(extract(epoch FROM CAST(:hour AS timestamptz) - h.hour) / 3600 AS int) AS hour,
        h.up + h.degraded AS good, h.up + h.degraded + h.down AS told, h.seconds / nullif(h.answers, 0) AS mean {_OF}
""")  # noqa: S608  (our own text)


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
    """Questions about many services at once. What it has read of days that are over it remembers for the hour."""

    def __init__(self, store: Store) -> None:
        self._store = store.system
        self._hour: datetime | None = None
        self._past: dict[Key, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    async def counts(self) -> dict[str, dict[State, int]]:
        """How many services of each platform are in which state; platforms by name, those of none last."""
        statement = select(_PLATFORM.label("platform"), ServiceRow.state, func.count().label("n")).where(_THERE)
        found: dict[str, dict[State, int]] = {}
        async with self._store.single() as connection:
            for row in await connection.execute(statement.group_by(_PLATFORM, ServiceRow.state)):
                found.setdefault(row.platform, {})[row.state] = row.n
        return dict(sorted(found.items(), key=lambda item: (not item[0], item[0])))

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
        hour = now.replace(minute=0, second=0, microsecond=0)
        if hour != self._hour or len(self._past) > REMEMBERED:
            self._hour = hour
            self._past = {}
        unknown = [key for key in keys if key not in self._past]
        for at in range(0, len(unknown), AT_ONCE):
            await self._remember(unknown[at : at + AT_ONCE], hour)
        good, told = dict.fromkeys(keys, 0), dict.fromkeys(keys, 0)
        latency: dict[Key, list[float | None]] = {}
        async with self._store.single() as connection:
            for row in await connection.execute(_HOURS, _asked_of(keys, hour, 0, HOURS)):
                key = Key(row.topology, row.name)
                good[key] += row.good
                told[key] += row.told
                latency.setdefault(key, [None] * HOURS)[HOURS - 1 - row.hour] = row.mean
        found: dict[Key, History] = {}
        for key in keys:
            past = self._past.get(key, _NOTHING)
            if key in latency or past is not _NOTHING:
                means = tuple(latency.get(key, [None] * HOURS))
                found[key] = History((good[key], *past[0]), (told[key], *past[1]), means)
        return found

    async def _remember(self, keys: Sequence[Key], hour: datetime) -> None:
        """The days before the last 24 hours, which stay what they are until the hour is over."""
        good: dict[Key, list[int]] = {key: [0] * (DAYS - 1) for key in keys}
        told: dict[Key, list[int]] = {key: [0] * (DAYS - 1) for key in keys}
        seen: set[Key] = set()
        async with self._store.single() as connection:
            for row in await connection.execute(_DAYS, _asked_of(keys, hour, HOURS, HOURS * DAYS)):
                key = Key(row.topology, row.name)
                seen.add(key)
                good[key][row.day - 1] = int(row.good)
                told[key][row.day - 1] = int(row.told)
        self._past |= {key: (tuple(good[key]), tuple(told[key])) if key in seen else _NOTHING for key in keys}

    async def _found(self, statement: Select[Any]) -> list[Listed]:
        async with self._store.single() as connection:
            rows = [dict(row) for row in (await connection.execute(statement)).mappings()]
        return [Listed(platform=row.pop("listed_under"), state=ServiceState(**row)) for row in rows]


def _asked() -> Select[Any]:
    return select(*_COLUMNS, _PLATFORM.label("listed_under"))


def _asked_of(keys: Sequence[Key], hour: datetime, least: int, most: int) -> dict[str, Any]:
    """Hours of these services that are over for at least so many hours and less than ``most``."""
    topologies, names = [key.topology for key in keys], [key.name for key in keys]
    return {"topologies": topologies, "names": names, "hour": hour, "least": least, "most": most}
