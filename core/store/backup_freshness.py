"""How fresh the backups are: for every source its newest good one, the newest attempt, and the newest drill."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from core.store.base import Store

_NEWEST = text("""
    WITH good AS (
        SELECT DISTINCT ON (source) source, started_at, finished_at, size FROM pilothouse.backups
        WHERE status = 'good' ORDER BY source, started_at DESC, id DESC
    ), tried AS (
        SELECT DISTINCT ON (source) source, engine, started_at, status, error ->> 'message' AS error FROM pilothouse.backups
        WHERE status IN ('good', 'bad') ORDER BY source, started_at DESC, id DESC
    ), drilled AS (
        SELECT DISTINCT ON (source) source, result, at, seconds FROM pilothouse.drills ORDER BY source, at DESC, id DESC
    )
    SELECT coalesce(t.source, d.source) AS source, coalesce(t.engine, '') AS engine, g.started_at AS good_at,
        extract(epoch FROM g.finished_at - g.started_at)::float AS seconds, g.size, t.started_at AS tried_at,
        coalesce(t.status = 'bad', false) AS failed, coalesce(t.error, '') AS error,
        coalesce(d.result, '') AS drill, d.at AS drill_at, d.seconds AS drill_seconds
    FROM tried t LEFT JOIN good g USING (source) FULL JOIN drilled d ON d.source = t.source ORDER BY 1
""")


@dataclass(frozen=True, slots=True)
class Freshness:
    """A source's backups. ``good_at``, ``seconds`` and ``size`` are the newest good one's, ``failed`` and ``error`` of the newest
    attempt that is over; ``drill`` is the newest drill's result in one word, empty where there was none."""

    source: str
    engine: str
    good_at: datetime | None
    seconds: float | None
    size: int | None
    tried_at: datetime | None
    failed: bool
    error: str
    drill: str
    drill_at: datetime | None
    drill_seconds: float | None


async def freshness(store: Store) -> list[Freshness]:
    """Every source that was ever saved or drilled, by name."""
    async with store.single() as connection:
        return [Freshness(**dict(row)) for row in (await connection.execute(_NEWEST)).mappings()]
