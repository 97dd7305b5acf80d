"""The tables of alerts, and of what has been told of each."""

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, DateTime, Index, Integer, Text, func
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import Base, OfWorkspace


class AlertRow(OfWorkspace, Base):
    """One time that an alert held, from raised to resolved. ``facts`` are pairs, since their order matters."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index("alerts_open", "fingerprint", unique=True, postgresql_where=sql("status = 'open'")),
        Index("alerts_of_request", "request_key", unique=True, postgresql_where=sql("request_key IS NOT NULL")),
        Index("alerts_newest", "raised_at", "id"),
        Index("alerts_of_fingerprint", "fingerprint", "raised_at"),
        Index("alerts_ended", "resolved_at", postgresql_where=sql("status = 'resolved'")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text, server_default=sql("''"))
    severity: Mapped[str] = mapped_column(Text)
    origin: Mapped[str] = mapped_column(Text)
    service: Mapped[str] = mapped_column(Text, server_default=sql("''"))
    platform: Mapped[str] = mapped_column(Text, server_default=sql("''"))
    grp: Mapped[str] = mapped_column(Text)
    facts: Mapped[list[Any]] = mapped_column(JSONB, server_default=sql("'[]'"))
    links: Mapped[list[Any]] = mapped_column(JSONB, server_default=sql("'[]'"))
    lasting: Mapped[bool] = mapped_column(Boolean, server_default=sql("true"))
    times: Mapped[int] = mapped_column(Integer, server_default=sql("1"))
    request_key: Mapped[str | None] = mapped_column(Text)
    raised_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    resolved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    resolved_words: Mapped[str] = mapped_column(Text, server_default=sql("''"))


class StandingRow(OfWorkspace, Base):
    """Where a fingerprint stands, over all the times that it held: what is so, what was told last, and to whom.

    ``told`` is empty, ``firing``, ``flapping`` or ``resolved``; ``channels`` those that were told that it holds, and are owed
    the end; ``told_since`` is when what they were told of began. ``look_at``: when there may be something to say; None: not
    before it changes.
    """

    __tablename__ = "alert_standings"
    __table_args__ = (
        Index("alert_standings_due", "look_at", postgresql_where=sql("look_at IS NOT NULL")),
        Index("alert_standings_of_group", "grp"),
    )

    fingerprint: Mapped[str] = mapped_column(Text, primary_key=True)
    grp: Mapped[str] = mapped_column(Text)
    alert_id: Mapped[str] = mapped_column(Text)
    open: Mapped[bool] = mapped_column(Boolean)
    severity: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    told: Mapped[str] = mapped_column(Text, server_default=sql("''"))
    told_severity: Mapped[str | None] = mapped_column(Text)
    told_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    told_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    channels: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=sql("'{}'"))
    flapping_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    look_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
