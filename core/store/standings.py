"""What has been told of alerts: looked at whenever there may be something to say, by one process at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from core.alerts.alert import Alert, Link
from core.alerts.silencing import Silence
from core.alerts.telling import Held, Outcome
from core.store.base import Store
from core.store.notices import NewNotice, added
from core.store.silences import holding

LOCK = 0x616C657274  # any fixed number: "alert"
GROUPS_AT_ONCE = 500

Decide = Callable[[Sequence[Held], Sequence[Silence], datetime], Outcome]
"""What to tell of one group at a moment, while these silences hold."""

_DUE = text("""
    SELECT grp FROM pilothouse.alert_standings WHERE look_at <= now() GROUP BY grp ORDER BY min(changed_at), grp LIMIT :groups
""")
# Of a group all that may have something to say, and whatever was told lately: it counts for how often the group speaks.
# What somebody is raising at this moment is left for the next time: who waits for nobody's rows stands in nobody's way.
_HELD = text("""
    SELECT s.fingerprint, s.alert_id AS id, s.grp, s.open, s.changed_at, s.told, s.told_severity, s.told_at, s.told_since,
        s.channels, s.flapping_since, a.title, a.text, a.severity, a.origin, a.service, a.platform, a.facts, a.links, a.lasting,
        a.raised_at, a.resolved_at, a.resolved_words, a.times, a.workspace
    FROM pilothouse.alert_standings s JOIN pilothouse.alerts a ON a.id = s.alert_id
    WHERE s.grp = ANY(:groups) AND (s.look_at IS NOT NULL OR s.told_at > now() - make_interval(secs => :interval))
    ORDER BY s.changed_at, s.fingerprint FOR UPDATE OF a, s SKIP LOCKED
""")
_FLIPS = text("""
    SELECT fingerprint, raised_at, resolved_at FROM pilothouse.alerts
    WHERE fingerprint = ANY(:fingerprints) AND (raised_at >= :since OR resolved_at >= :since)
""")
_REMEMBER = text("""
    UPDATE pilothouse.alert_standings SET told = :told, told_severity = :told_severity, told_at = :told_at,
        told_since = :told_since, channels = :channels, flapping_since = :flapping_since, look_at = :look_at,
        open = open AND NOT :over
    WHERE fingerprint = :fingerprint
""")
_OVER = text("""
    UPDATE pilothouse.alerts SET status = 'resolved', resolved_at = now() WHERE fingerprint = ANY(:fingerprints)
        AND status = 'open'
""")


class Standings:
    """What there is to say of alerts."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def settle(self, decide: Decide, interval: float, flap_minutes: float) -> list[Outcome]:
        """Look at every group that is due, and put what is told of it into the outbox, all of it or nothing.

        Returns what was told; empty while another process is at it. ``interval``: seconds that a group is silent after a message.
        """
        async with self._store.begin() as connection:
            locked = await connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock), now()"), {"lock": LOCK})
            mine, now = locked.one()
            groups = list((await connection.execute(_DUE, {"groups": GROUPS_AT_ONCE})).scalars()) if mine else []
            if not groups:
                return []
            held = await _held(connection, groups, now, interval, flap_minutes)
            silences = await holding(connection, now)
            outcomes = [decide(held[group], silences, now) for group in groups if group in held]
            await _remember(connection, outcomes)
        return [outcome for outcome in outcomes if outcome.told is not None]


async def _held(
    connection: AsyncConnection, groups: Sequence[str], now: datetime, interval: float, flap_minutes: float
) -> Mapping[str, list[Held]]:
    rows = [dict(row) for row in (await connection.execute(_HELD, {"groups": groups, "interval": interval})).mappings()]
    window = timedelta(minutes=flap_minutes)
    since = min([now, *(row["flapping_since"] for row in rows if row["flapping_since"] is not None)]) - window
    asked = {"fingerprints": [row["fingerprint"] for row in rows], "since": since}
    flips: dict[str, list[datetime]] = {}
    for flip in await connection.execute(_FLIPS, asked):
        flips.setdefault(flip.fingerprint, []).extend(at for at in (flip.raised_at, flip.resolved_at) if at and at >= since)
    found: dict[str, list[Held]] = {}
    for row in rows:
        found.setdefault(row["grp"], []).append(_of(row, flips.get(row["fingerprint"], [])))
    return found


async def _remember(connection: AsyncConnection, outcomes: Iterable[Outcome]) -> None:
    told = [each for outcome in outcomes for each in outcome.remembered]
    values = [
        {name: getattr(each, name) for name in each.__dataclass_fields__} | {"channels": list(each.channels)} for each in told
    ]
    if values:
        await connection.execute(_REMEMBER, values)
    over = [each.fingerprint for each in told if each.over]
    if over:
        await connection.execute(_OVER, {"fingerprints": over})
    messages = [each for outcome in outcomes for each in outcome.messages]
    await added(connection, [NewNotice(each.channel, each.key, each.message, each.alert_ids) for each in messages])


def _of(row: Mapping[str, Any], flips: Sequence[datetime]) -> Held:
    alert = Alert(
        fingerprint=row["fingerprint"],
        title=row["title"],
        severity=row["severity"],
        text=row["text"],
        origin=row["origin"],
        service=row["service"],
        platform=row["platform"],
        group=row["grp"],
        facts=dict(row["facts"]),
        links=tuple(Link(title, url) for title, url in row["links"]),
        lasting=row["lasting"],
        workspace=row["workspace"],
    )
    same = ("id", "open", "raised_at", "resolved_at", "resolved_words", "times", "changed_at", "told", "told_severity", "told_at")
    plain = {name: row[name] for name in (*same, "told_since", "flapping_since")}
    return Held(alert=alert, channels=tuple(row["channels"]), flips=tuple(sorted(flips)), **plain)
