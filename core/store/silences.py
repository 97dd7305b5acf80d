"""Silences: made, listed, ended."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Index, Text, and_, func, insert, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Mapped, mapped_column

from core.alerts.silencing import Silence
from core.errors import NotFound
from core.store.base import Base, OfWorkspace, Store, own
from core.store.keepable import keepable
from core.workspaces import current_workspace

_NONE = text("'{}'")


class SilenceRow(OfWorkspace, Base):
    """A silence; one that is ended early gets another end."""

    __tablename__ = "silences"
    __table_args__ = (Index("silences_end", "ends_at"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    services: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=_NONE)
    platforms: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=_NONE)
    severities: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=_NONE)
    fingerprints: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=_NONE)
    starts_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    ends_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    made_by: Mapped[str] = mapped_column(Text)
    comment: Mapped[str] = mapped_column(Text, server_default=text("''"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


_COLUMNS = tuple(getattr(SilenceRow, name) for name in Silence.__dataclass_fields__)
# Whatever waits is looked at again: it may be silenced now, or no longer.
_LOOK = text("UPDATE pilothouse.alert_standings SET look_at = now() WHERE look_at IS NOT NULL")
_END = text(
    "UPDATE pilothouse.silences SET ends_at = now() WHERE id = :id AND ends_at > now()"
    " AND :workspace IN ('*', workspace) RETURNING id"
)


class Silences:
    """Questions about silences."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, silence: Silence) -> None:
        """Keep a new one; it holds from its start on."""
        values = {name: getattr(silence, name) for name in Silence.__dataclass_fields__}
        values |= {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
        async with self._store.begin() as connection:
            await connection.execute(insert(SilenceRow).values(**values))
            await connection.execute(_LOOK)

    async def end(self, silence_id: str) -> None:
        """End one now. Raises ``NotFound`` where there is none that holds or is to come."""
        async with self._store.begin() as connection:
            if (
                await connection.execute(_END, {"id": keepable(silence_id), "workspace": current_workspace()})
            ).scalar_one_or_none() is None:
                raise NotFound("There is no such silence, or it is over; `pilothouse silence list` shows those that hold.")
            await connection.execute(_LOOK)

    async def page(self, limit: int, before: str | None = None, over: bool = False) -> list[Silence]:
        """Up to ``limit`` silences made before the one of id ``before``, newest first: those that hold or are to come.

        With ``over`` also those that no longer do. ``before`` may name any of them.
        """
        statement = select(*_COLUMNS).where(own(SilenceRow)).order_by(SilenceRow.id.desc()).limit(limit)
        if not over:
            statement = statement.where(SilenceRow.ends_at > func.now())
        if before is not None:
            statement = statement.where(SilenceRow.id < keepable(before))
        async with self._store.single() as connection:
            return _silences((await connection.execute(statement)).mappings())

    async def forget(self, days: float) -> int:
        """Delete those that have been over for ``days``; how many."""
        statement = text("DELETE FROM pilothouse.silences WHERE ends_at < now() - make_interval(secs => :age)")
        async with self._store.single() as connection:
            return (await connection.execute(statement, {"age": days * 86_400})).rowcount


async def holding(connection: AsyncConnection, now: datetime) -> list[Silence]:
    """Those that hold at a moment, within somebody's transaction."""
    statement = select(*_COLUMNS).where(and_(SilenceRow.starts_at <= now, SilenceRow.ends_at > now))
    return _silences((await connection.execute(statement)).mappings())


def _silences(rows: Iterable[Mapping[Any, Any]]) -> list[Silence]:
    return [Silence(**{name: _tuple(value) for name, value in row.items()}) for row in rows]


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
