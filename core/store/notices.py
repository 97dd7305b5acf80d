"""The outbox: messages on their way to channels, each kept until its channel took it or it was given up.

One process at a time sends to a channel (a lease), and always the oldest message first. Whoever dies in mid-send leaves the
message waiting, so it is sent again under the same id.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, DateTime, Identity, Index, Integer, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Mapped, mapped_column

from core.alerts.alert import Link
from core.alerts.message import Answer, Message
from core.alerts.storms import Waiting, joinable
from core.alerts.wording import passed_on
from core.ids import new_id
from core.store.base import Base, Store
from core.store.keepable import as_json

LEASE_SECONDS = 15.0
LOOK_AHEAD = 200
"""Messages of a channel that are looked at to see whether they go out as one."""
FORGET_BATCH = 1000


class NoticeRow(Base):
    """A message to one channel. ``key`` is the same for the same news to other channels; ``batch`` is the id under which it goes
    out together with others; ``via`` are the channels that could not take it. ``due_at``: not tried before."""

    __tablename__ = "notices"
    __table_args__ = (
        Index("notices_once", "channel", "key", unique=True),
        Index("notices_waiting", "channel", "seq", postgresql_where=text("status = 'waiting'")),
        Index("notices_done", "done_at", postgresql_where=text("status <> 'waiting'")),
    )

    seq: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    id: Mapped[str] = mapped_column(Text, unique=True)
    channel: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)
    alert_ids: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    status: Mapped[str] = mapped_column(Text, server_default=text("'waiting'"))
    batch: Mapped[str | None] = mapped_column(Text)
    via: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    fell_back: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    tries: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    tried_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    done_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class ChannelLease(Base):
    """Which process sends to a channel. ``lease_until`` is the database's clock."""

    __tablename__ = "channel_leases"

    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    owner: Mapped[str] = mapped_column(Text)
    lease_until: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class NewNotice:
    """A message to be sent to a channel. A second one of the same ``key`` to the same channel is not kept."""

    channel: str
    key: str
    message: Message
    alert_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sending:
    """What goes out next, as one message: the ``messages`` of one row or of several, whose ids are ``notices``.

    ``age`` is seconds since the oldest was written, ``tries`` how often this was tried, this time included.
    """

    id: str
    channel: str
    notices: tuple[str, ...]
    messages: tuple[Message, ...]
    tries: int
    age: float
    fell_back: bool


@dataclass(frozen=True, slots=True)
class Outbox:
    """How it stands with a channel: what waits, what was given up lately, and what came back last.

    ``error`` is of the oldest that waits, else of the last that was given up.
    """

    channel: str
    waiting: int
    oldest_at: datetime | None
    due_at: datetime | None
    given_up: int
    sent_at: datetime | None
    error: Mapping[str, Any] | None


_ADD = text("""
    INSERT INTO pilothouse.notices (id, channel, key, kind, body, alert_ids)
    VALUES (:id, :channel, :key, :kind, CAST(:body AS jsonb), :alert_ids) ON CONFLICT (channel, key) DO NOTHING
""")
_HOLD = text("""
    INSERT INTO pilothouse.channel_leases AS l (channel, owner, lease_until)
    VALUES (:channel, :owner, now() + make_interval(secs => :lease))
    ON CONFLICT (channel) DO UPDATE SET owner = EXCLUDED.owner, lease_until = EXCLUDED.lease_until
        WHERE l.owner = EXCLUDED.owner OR l.lease_until < now()
    RETURNING owner
""")
_HELD = "SELECT 1 FROM pilothouse.channel_leases WHERE channel = :channel AND owner = :owner AND lease_until > now() FOR UPDATE"
_WAITING = text("""
    SELECT id, batch, body, octet_length(body ->> 'title') AS size, kind, tries, fell_back, via,
        extract(epoch FROM now() - created_at) AS age,
        due_at <= now() AS due
    FROM pilothouse.notices WHERE channel = :channel AND status = 'waiting' ORDER BY seq LIMIT :ahead
""")
_TRY = text("UPDATE pilothouse.notices SET tries = tries + 1, tried_at = now(), batch = :batch WHERE id = ANY(:ids)")
_SENT = text("""
    UPDATE pilothouse.notices SET status = 'sent', done_at = now(), answer = CAST(:answer AS jsonb), error = NULL
    WHERE id = ANY(:ids) AND status = 'waiting'
""")
_LATER = text("""
    UPDATE pilothouse.notices SET due_at = now() + make_interval(secs => :seconds), error = CAST(:error AS jsonb)
    WHERE id = ANY(:ids) AND status = 'waiting'
""")
_GIVE_UP = text("""
    UPDATE pilothouse.notices SET status = 'given_up', done_at = now(), error = CAST(:error AS jsonb)
    WHERE id = ANY(:ids) AND status = 'waiting'
""")
# What it got already, by its own rules, does not go to it a second time: the key is the same.
_FALL_BACK = text("""
    WITH taken AS (
        UPDATE pilothouse.notices SET fell_back = true WHERE id = ANY(:ids) AND NOT fell_back AND NOT (:to = ANY(via || channel))
        RETURNING seq, channel, key, kind, body, alert_ids, via
    )
    INSERT INTO pilothouse.notices (id, channel, key, kind, body, alert_ids, via)
    SELECT gen_random_uuid()::text, :to, key, kind, body, alert_ids, via || channel FROM taken ORDER BY seq
    ON CONFLICT (channel, key) DO NOTHING
""")
_OUTBOXES = text("""
    SELECT channel, count(*) FILTER (WHERE status = 'waiting') AS waiting,
        min(created_at) FILTER (WHERE status = 'waiting') AS oldest_at,
        min(due_at) FILTER (WHERE status = 'waiting') AS due_at,
        count(*) FILTER (WHERE status = 'given_up' AND done_at > now() - interval '1 day') AS given_up,
        max(done_at) FILTER (WHERE status = 'sent') AS sent_at,
        (array_agg(error ORDER BY (status = 'waiting') DESC, seq) FILTER (WHERE error IS NOT NULL
            AND (status = 'waiting' OR done_at > now() - interval '1 day')))[1] AS error
    FROM pilothouse.notices WHERE status = 'waiting' OR done_at > now() - interval '7 days' GROUP BY channel ORDER BY channel
""")
_FORGET = text("""
    DELETE FROM pilothouse.notices WHERE seq IN (
        SELECT seq FROM pilothouse.notices WHERE status <> 'waiting' AND done_at < now() - make_interval(secs => :age)
        ORDER BY done_at LIMIT :batch FOR UPDATE SKIP LOCKED)
""")


class Notices:
    """Questions about the outbox."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def add(self, notices: Iterable[NewNotice]) -> None:
        """Put messages into it, in this order."""
        async with self._store.begin() as connection:
            await added(connection, notices)

    async def hold(self, channel: str, owner: str) -> bool:
        """Take or renew the lease on a channel, for ``LEASE_SECONDS``; False while another process has it."""
        values = {"channel": channel, "owner": owner, "lease": LEASE_SECONDS}
        async with self._store.single() as connection:
            return (await connection.execute(_HOLD, values)).scalar_one_or_none() is not None

    async def release(self, owner: str) -> None:
        """Give back every lease at a clean stop."""
        async with self._store.single() as connection:
            await connection.execute(text("DELETE FROM pilothouse.channel_leases WHERE owner = :owner"), {"owner": owner})

    async def take(self, channel: str, owner: str) -> Sending | None:
        """What goes out next, noted as tried; None while nothing is due, or the lease is no longer this owner's."""
        async with self._store.begin() as connection:
            held = await connection.execute(text(_HELD), {"channel": channel, "owner": owner})
            if held.scalar_one_or_none() is None:
                return None
            found = await connection.execute(_WAITING, {"channel": channel, "ahead": LOOK_AHEAD})
            rows = [dict(row) for row in found.mappings()]
            if not rows or not rows[0]["due"]:
                return None
            many = joinable([Waiting(row["kind"], row["size"], row["tries"], row["batch"]) for row in rows])
            taken = rows[:many]
            batch = (taken[0]["batch"] or new_id()) if many > 1 else taken[0]["batch"]
            ids = tuple(row["id"] for row in taken)
            await connection.execute(_TRY, {"ids": list(ids), "batch": batch})
        messages = tuple(_given(row) for row in taken)
        age = float(max(row["age"] for row in taken))
        fell_back = all(row["fell_back"] for row in taken)
        return Sending(batch or ids[0], channel, ids, messages, taken[0]["tries"] + 1, age, fell_back)

    async def sent(self, sending: Sending, answer: Answer) -> None:
        """The channel took it."""
        await self._note(_SENT, sending, answer=as_json({"status": answer.status, "words": answer.words}))

    async def later(self, sending: Sending, seconds: float, error: Mapping[str, Any]) -> None:
        """Try again, not before so many ``seconds`` have passed; ``error`` as ``told`` tells it."""
        await self._note(_LATER, sending, seconds=seconds, error=as_json(dict(error)))

    async def give_up(self, sending: Sending, error: Mapping[str, Any]) -> None:
        """It will not be sent."""
        await self._note(_GIVE_UP, sending, error=as_json(dict(error)))

    async def fall_back(self, sending: Sending, to: str) -> int:
        """Put copies into another channel's outbox, once; how many. A channel that could not take it itself gets none."""
        async with self._store.single() as connection:
            return (await connection.execute(_FALL_BACK, {"ids": list(sending.notices), "to": to})).rowcount

    async def outboxes(self) -> list[Outbox]:
        """How it stands with each channel that has had a message within a week."""
        async with self._store.single() as connection:
            return [Outbox(**dict(row)) for row in (await connection.execute(_OUTBOXES)).mappings()]

    async def waiting(self) -> Mapping[str, int]:
        """How many wait, by channel."""
        statement = text("SELECT channel, count(*) AS waiting FROM pilothouse.notices WHERE status = 'waiting' GROUP BY channel")
        async with self._store.single() as connection:
            return {row.channel: row.waiting for row in await connection.execute(statement)}

    async def forget(self, days: float, batch: int = FORGET_BATCH) -> int:
        """Delete a batch of those that were sent or given up ``days`` ago; how many."""
        async with self._store.single() as connection:
            return (await connection.execute(_FORGET, {"age": days * 86_400, "batch": batch})).rowcount

    async def _note(self, statement: Any, sending: Sending, **values: Any) -> None:
        async with self._store.single() as connection:
            await connection.execute(statement, {"ids": list(sending.notices), **values})


async def added(connection: AsyncConnection, notices: Iterable[NewNotice]) -> None:
    """Put messages into the outbox, within somebody's transaction."""
    rows = [
        {
            "id": notice.message.id,
            "channel": notice.channel,
            "key": notice.key,
            "kind": notice.message.kind,
            "body": as_json(asdict(notice.message)),
            "alert_ids": list(notice.alert_ids),
        }
        for notice in notices
    ]
    if rows:
        await connection.execute(_ADD, rows)


def _given(row: Mapping[str, Any]) -> Message:
    message = message_of(row["body"])
    return passed_on(message, row["via"][-1]) if row["via"] else message


def message_of(body: Mapping[str, Any]) -> Message:
    """The message that was kept."""

    def pairs(name: str) -> Sequence[Sequence[str]]:
        found: Sequence[Sequence[str]] = body[name]
        return found

    plain = {name: tuple(body[name]) for name in ("lines", "entries", "mentions", "alerts")}
    facts = tuple((name, value) for name, value in pairs("facts"))
    links = tuple(Link(**link) for link in body["links"])
    return Message(**dict(body) | plain | {"facts": facts, "links": links})
