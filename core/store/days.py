"""What a day came to: alerts and backups, counted."""

from datetime import datetime, timedelta

from sqlalchemy import text

from core.alerts.digest import Day, OpenAlert
from core.store.base import Store

LISTED = 50
"""Alerts that still hold are named, so many at most."""

_COUNTS = text("""
    SELECT (SELECT count(*) FROM pilothouse.alerts WHERE raised_at >= :since AND raised_at < :until) AS raised,
        (SELECT count(*) FROM pilothouse.alerts WHERE resolved_at >= :since AND resolved_at < :until) AS resolved,
        (SELECT count(*) FROM pilothouse.alerts
            WHERE lasting AND raised_at < :until AND (status = 'open' OR resolved_at >= :until)) AS open_,
        (SELECT count(*) FROM pilothouse.backups
            WHERE status = 'good' AND finished_at >= :since AND finished_at < :until) AS backups_good,
        (SELECT count(*) FROM pilothouse.backups
            WHERE status = 'bad' AND finished_at >= :since AND finished_at < :until) AS backups_bad
""")
_OPEN = text("""
    SELECT title, severity, raised_at AS since FROM pilothouse.alerts
    WHERE lasting AND raised_at < :until AND (status = 'open' OR resolved_at >= :until) ORDER BY raised_at LIMIT :listed
""")


class Days:
    """Questions about days."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def until(self, moment: datetime) -> Day:
        """The 24 hours that end at a moment, and what held then."""
        asked = {"since": moment - timedelta(days=1), "until": moment}
        async with self._store.single() as connection:
            counts = dict((await connection.execute(_COUNTS, asked)).mappings().one())
            rows = (await connection.execute(_OPEN, {"until": moment, "listed": LISTED})).mappings()
            return Day(until=moment, alerts=[OpenAlert(**dict(row)) for row in rows], **counts)
