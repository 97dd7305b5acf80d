"""How the messages about alerts fared, channel by channel; and how many alerts are open."""

from collections.abc import Sequence

from sqlalchemy import text

from core.status.view import Delivery
from core.store.base import Store

_NEWEST = text("""
    SELECT DISTINCT ON (alert, channel) alert, channel, tries, coalesce(done_at, tried_at, created_at) AS at,
        CASE WHEN status = 'given_up' AND fell_back THEN 'passed_on' ELSE status END AS status,
        coalesce(error ->> 'message', '') AS words
    FROM pilothouse.notices, unnest(alert_ids) AS alert
    WHERE alert = ANY(:alerts) AND (status = 'waiting' OR done_at > now() - interval '30 days')
    ORDER BY alert, channel, (status = 'waiting') DESC, seq DESC
""")


async def deliveries(store: Store, alerts: Sequence[str]) -> dict[str, list[Delivery]]:
    """For each of these alerts (by id) the newest message to every channel; one that waits counts before those that are over."""
    found: dict[str, list[Delivery]] = {}
    if alerts:
        async with store.system.single() as connection:
            for row in await connection.execute(_NEWEST, {"alerts": list(alerts)}):
                found.setdefault(row.alert, []).append(Delivery(row.channel, row.status, row.at, row.tries, row.words))
    return found


async def open_alerts(store: Store) -> dict[str, int]:
    """How many alerts hold now, by severity."""
    async with store.single() as connection:
        rows = await connection.execute(
            text("SELECT severity, count(*) AS n FROM pilothouse.alerts WHERE status = 'open' GROUP BY 1")
        )
        return {row.severity: row.n for row in rows}
