"""Heartbeats: when a job elsewhere last said that it is well."""

from datetime import datetime

from sqlalchemy import DateTime, Text, func, select, text
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import Base, Store
from core.store.keepable import keepable


class Heartbeat(Base):
    """The last one of a name, by the database's clock."""

    __tablename__ = "heartbeats"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Heartbeats:
    """Questions about heartbeats."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def beat(self, name: str) -> datetime:
        """Note one that came now; the moment."""
        statement = text(
            "INSERT INTO pilothouse.heartbeats (name) VALUES (:name)"
            " ON CONFLICT (name) DO UPDATE SET at = greatest(now(), heartbeats.at) RETURNING at"
        )
        async with self._store.single() as connection:
            moment: datetime = (await connection.execute(statement, {"name": keepable(name)})).scalar_one()
        return moment

    async def last(self, name: str) -> datetime | None:
        """When the last one came; None: never."""
        async with self._store.single() as connection:
            return (await connection.execute(select(Heartbeat.at).where(Heartbeat.name == keepable(name)))).scalar_one_or_none()
