"""Alerts: raised, resolved, and asked for. What is told of them, and when, is ``core.store.standings``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Select, Text, and_, cast, func, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from core.alerts.alert import Alert, Link, Origin
from core.audit.entry import OURSELVES
from core.errors import Conflict, NotFound
from core.ids import new_id
from core.settings_services import Severity
from core.store.alert_tables import AlertRow, StandingRow
from core.store.audit import noted
from core.store.base import Store, own
from core.store.keepable import as_json, keepable
from core.workspaces import inner, outer

Status = Literal["open", "resolved"]
FORGET_BATCH = 1000
TOLD = ("fingerprint", "severity", "origin", "service", "platform")
"""Of a new alert, in the audit log."""


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """An alert as it stands at ``read_at``. ``times``: how often it was raised while it held.

    ``told`` and ``channels`` are of its fingerprint: what was said last, and who is owed the end.
    """

    id: str
    workspace: str
    fingerprint: str
    status: Status
    title: str
    text: str
    severity: Severity
    origin: Origin
    service: str
    platform: str
    group: str
    facts: tuple[tuple[str, str], ...]
    links: tuple[Link, ...]
    lasting: bool
    times: int
    raised_at: datetime
    resolved_at: datetime | None
    resolved_words: str
    told: str
    channels: tuple[str, ...]
    flapping: bool
    read_at: datetime

    @property
    def is_open(self) -> bool:
        return self.status == "open"


# Raised again it is the same alert with new words; there is something to say only where it is new or has grown worse.
# In one order, so that no two of us wait for each other.
_RAISE = text("""
    WITH kept AS (
        INSERT INTO pilothouse.alerts AS a (id, workspace, fingerprint, status, title, text, severity, origin, service, platform,
            grp, facts, links, lasting, request_key)
        SELECT id, workspace, fingerprint, 'open', title, text, severity, origin, service, platform, grp, facts, links, lasting,
            request_key
        FROM jsonb_to_recordset(CAST(:alerts AS jsonb)) AS r (id text, workspace text, fingerprint text, title text, text text,
            severity text, origin text, service text, platform text, grp text, facts jsonb, links jsonb, lasting boolean,
            request_key text)
        ORDER BY fingerprint
        ON CONFLICT (fingerprint) WHERE status = 'open' DO UPDATE SET title = EXCLUDED.title, text = EXCLUDED.text,
            severity = EXCLUDED.severity, service = EXCLUDED.service, platform = EXCLUDED.platform, grp = EXCLUDED.grp,
            facts = EXCLUDED.facts, links = EXCLUDED.links, times = a.times + 1,
            request_key = coalesce(EXCLUDED.request_key, a.request_key)
        RETURNING a.id, a.workspace, a.fingerprint, a.grp, a.severity
    ), stood AS (
        INSERT INTO pilothouse.alert_standings AS s (workspace, fingerprint, grp, alert_id, open, severity, look_at)
        SELECT workspace, fingerprint, grp, id, true, severity, now() FROM kept ORDER BY fingerprint
        ON CONFLICT (fingerprint) DO UPDATE SET grp = EXCLUDED.grp, alert_id = EXCLUDED.alert_id, open = true,
            severity = EXCLUDED.severity,
            changed_at = CASE WHEN s.open AND s.alert_id = EXCLUDED.alert_id THEN s.changed_at ELSE now() END,
            look_at = CASE WHEN s.open AND s.alert_id = EXCLUDED.alert_id AND s.severity = EXCLUDED.severity THEN s.look_at
                ELSE now() END
    )
    SELECT id FROM kept
""")
_RESOLVE = text("""
    WITH holding AS (
        SELECT id FROM pilothouse.alerts WHERE fingerprint = ANY(:fingerprints) AND status = 'open'
        ORDER BY fingerprint FOR UPDATE
    ), ended AS (
        UPDATE pilothouse.alerts a SET status = 'resolved', resolved_at = now(), resolved_words = :words
        FROM holding WHERE a.id = holding.id AND a.status = 'open' RETURNING a.id, a.fingerprint
    ), stood AS (
        UPDATE pilothouse.alert_standings s SET open = false, changed_at = now(), look_at = now()
        FROM ended WHERE s.fingerprint = ended.fingerprint
    )
    SELECT ended.id, ended.fingerprint FROM ended
""")
# What has been told of a fingerprint is kept for as long as any of its alerts is.
_FORGET = text("""
    WITH gone AS (
        DELETE FROM pilothouse.alerts WHERE id IN (
            SELECT id FROM pilothouse.alerts
            WHERE status = 'resolved' AND resolved_at < now() - make_interval(secs => :age)
            ORDER BY resolved_at LIMIT :batch FOR UPDATE SKIP LOCKED)
        RETURNING id
    ), forgotten AS (
        DELETE FROM pilothouse.alert_standings WHERE NOT open AND alert_id IN (SELECT id FROM gone)
    )
    SELECT count(*) FROM gone
""")
_COLUMNS = (
    *(getattr(AlertRow, name) for name in AlertRecord.__dataclass_fields__ if name in AlertRow.__table__.columns),
    AlertRow.grp.label("group"),
    func.coalesce(StandingRow.told, "").label("told"),
    func.coalesce(StandingRow.channels, cast(literal("{}"), StandingRow.channels.type)).label("channels"),
    StandingRow.flapping_since.is_not(None).label("flapping"),
    func.now().label("read_at"),
)
_IS_OPEN = AlertRow.status == "open"


class Alerts:
    """Questions about alerts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def raise_(self, alert: Alert) -> bool:
        """Say that it holds; True when it is new, False when it held already and has now got these words."""
        return await self.raise_all([alert]) == 1

    async def raise_all(self, alerts: Iterable[Alert]) -> int:
        """The same for many at once; how many are new. Of one fingerprint the last counts."""
        async with self._store.begin() as connection:
            return sum(new for _, new in await _raised(connection, alerts))

    async def raise_once(self, alert: Alert, request: str | None = None) -> tuple[str, bool]:
        """The same, with the alert's id. A ``request`` that was made before changes nothing, even if its alert is over by now.

        Raises ``Conflict`` where that was about another alert.
        """
        async with self._store.begin() as connection:
            if request is not None:
                request = inner(request)
                await connection.execute(
                    text("SELECT pg_advisory_xact_lock(hashtextextended(:request, 0))"), {"request": request}
                )
                asked = select(AlertRow.id, AlertRow.fingerprint).where(AlertRow.request_key == request)
                before = (await connection.execute(asked)).one_or_none()
                if before is not None and before.fingerprint != _kept_as(alert.fingerprint, alert.workspace):
                    raise Conflict("This Idempotency-Key was used for another alert; use a new key.")
                if before is not None:
                    return before.id, False
            return (await _raised(connection, [alert], request))[0]

    async def resolve(self, fingerprint: str, words: str = "") -> bool:
        """Say that it is over, and perhaps why; True when it held until now."""
        return await self.resolve_all([fingerprint], words) == 1

    async def resolve_all(self, fingerprints: Iterable[str], words: str = "") -> int:
        """The same for many at once; how many held until now."""
        values = {"fingerprints": sorted({_kept_as(each) for each in fingerprints}), "words": keepable(words)}
        async with self._store.begin() as connection:
            ended = (await connection.execute(_RESOLVE, values)).all()
            over = (OURSELVES.entry("alert.resolved", "success", row.id, fingerprint=row.fingerprint) for row in ended)
            await noted(connection, *over)
        return len(ended)

    async def get(self, alert_id: str) -> AlertRecord:
        """Raises ``NotFound``."""
        found = await self._found(_asked().where(AlertRow.id == keepable(alert_id)))
        if not found:
            raise NotFound("There is no such alert, or no longer; `pilothouse alerts list` shows those there are.")
        return found[0]

    async def current(self, fingerprint: str) -> AlertRecord | None:
        """The alert of a fingerprint that holds now."""
        found = await self._found(_asked().where(AlertRow.fingerprint == _kept_as(fingerprint), _IS_OPEN))
        return found[0] if found else None

    async def open_(self, limit: int = 1000) -> list[AlertRecord]:
        """Those that hold now, the newest first."""
        return await self._found(_asked().where(_IS_OPEN).order_by(AlertRow.raised_at.desc(), AlertRow.id.desc()).limit(limit))

    async def page(self, limit: int, before: str | None = None, status: Status | None = None) -> list[AlertRecord]:
        """Up to ``limit`` alerts after the one of id ``before``: open ones first, each half newest first.

        Raises ``NotFound`` when that is gone.
        """
        statement = _asked().order_by(_IS_OPEN.desc(), AlertRow.raised_at.desc(), AlertRow.id.desc()).limit(limit)
        if status is not None:
            statement = statement.where(AlertRow.status == status)
        if before is not None:
            last = await self.get(before)
            place = tuple_(literal(last.is_open), literal(last.raised_at), cast(literal(last.id), Text))
            statement = statement.where(tuple_(_IS_OPEN, AlertRow.raised_at, AlertRow.id) < place)
        return await self._found(statement)

    async def counts(self, since: datetime) -> Mapping[str, int]:
        """``open`` now; ``raised`` and ``resolved`` since a moment."""
        statement = select(
            func.count().filter(_IS_OPEN).label("open"),
            func.count().filter(AlertRow.raised_at >= since).label("raised"),
            func.count().filter(AlertRow.resolved_at >= since).label("resolved"),
        )
        async with self._store.single() as connection:
            return dict((await connection.execute(statement.where(own(AlertRow)))).mappings().one())

    async def forget(self, days: float, batch: int = FORGET_BATCH) -> int:
        """Delete a batch of those that have been over for ``days``; how many."""
        async with self._store.single() as connection:
            return int((await connection.execute(_FORGET, {"age": days * 86_400, "batch": batch})).scalar_one())

    async def _found(self, statement: Select[Any]) -> list[AlertRecord]:
        async with self._store.single() as connection:
            return [record_of(dict(row)) for row in (await connection.execute(statement)).mappings()]


def record_of(row: dict[str, Any]) -> AlertRecord:
    """The record of a row of ``asked_columns``."""
    return AlertRecord(
        **row
        | {
            "facts": tuple((str(name), str(value)) for name, value in row["facts"]),
            "links": tuple(Link(str(title), str(url)) for title, url in row["links"]),
            "channels": tuple(row["channels"]),
            "fingerprint": outer(row["fingerprint"], row["workspace"]),
            "group": outer(row["group"], row["workspace"]),
        }
    )


def _asked() -> Select[Any]:
    # A row that is over and was followed by another says nothing of what is told now.
    standing = and_(StandingRow.fingerprint == AlertRow.fingerprint, StandingRow.alert_id == AlertRow.id)
    return select(*_COLUMNS).outerjoin(StandingRow, standing).where(own(AlertRow))


async def _raised(connection: AsyncConnection, alerts: Iterable[Alert], request: str | None = None) -> list[tuple[str, bool]]:
    """The id of each, and whether it is new."""
    rows = list({row["fingerprint"]: row for row in (_row(alert, request) for alert in alerts)}.values())
    new = {row["id"] for row in rows}
    found = list((await connection.execute(_RAISE, {"alerts": as_json(rows)})).scalars())
    there = set(found)
    raised = ((row["id"], {name: row[name] for name in TOLD}) for row in rows if row["id"] in there)
    await noted(connection, *(OURSELVES.entry("alert.raised", "success", about, **said) for about, said in raised))
    return [(alert_id, alert_id in new) for alert_id in found]


def _row(alert: Alert, request: str | None) -> dict[str, Any]:
    return {
        "id": new_id(),
        "workspace": alert.workspace,
        "fingerprint": _kept_as(alert.fingerprint, alert.workspace),
        "title": alert.title,
        "text": alert.text,
        "severity": alert.severity,
        "origin": alert.origin,
        "service": alert.service,
        "platform": alert.platform,
        "grp": _kept_as(alert.group or alert.fingerprint, alert.workspace),
        "facts": [[name, str(value)] for name, value in alert.facts.items()],
        "links": [[link.title, link.url] for link in alert.links],
        "lasting": alert.lasting,
        "request_key": request,
    }


def _kept_as(name: str, workspace: str | None = None) -> str:
    """A fingerprint or group, told apart from those of other workspaces."""
    return keepable(inner(name, workspace))
