"""Drills: what restoring a backup for proof has shown, and how long it took."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Float, Index, Text, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import Base, OfWorkspace, Store, own
from core.store.keepable import as_json
from core.workspaces import home


class DrillRow(OfWorkspace, Base):
    """One drill. ``seconds`` is the measured recovery time."""

    __tablename__ = "drills"
    __table_args__ = (Index("drills_of_source", "source", "at"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    backup_id: Mapped[str | None] = mapped_column(Text)
    result: Mapped[str] = mapped_column(Text)
    rows: Mapped[int | None] = mapped_column(BigInteger)
    seconds: Mapped[float | None] = mapped_column(Float)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    flow_run_id: Mapped[str | None] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))


@dataclass(frozen=True, slots=True)
class NewDrill:
    """How a drill ended. ``result`` is one word (``good``, ``differs``, ``nothing_to_drill``…), ``details`` is for people."""

    id: str
    source: str
    result: str
    backup_id: str | None = None
    rows: int | None = None
    seconds: float | None = None
    flow_run_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    workspace: str = field(default_factory=home)


@dataclass(frozen=True, slots=True)
class DrillRecord:
    """A drill as it is kept."""

    id: str
    source: str
    backup_id: str | None
    result: str
    rows: int | None
    seconds: float | None
    at: datetime
    flow_run_id: str | None
    details: Mapping[str, Any]


_COLUMNS = tuple(getattr(DrillRow, name) for name in DrillRecord.__dataclass_fields__)
_ADD = text("""
    WITH kept AS (
        INSERT INTO pilothouse.drills (id, workspace, source, backup_id, result, rows, seconds, flow_run_id, details)
        VALUES (:id, :workspace, :source, :backup_id, :result, :rows, :seconds, :flow_run_id, CAST(:details AS jsonb))
        ON CONFLICT (id) DO NOTHING RETURNING backup_id, result, at
    )
    UPDATE pilothouse.backups b SET verified_at = kept.at, verified_result = kept.result FROM kept WHERE b.id = kept.backup_id
""")


class Drills:
    """Questions about drills."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, drill: NewDrill) -> None:
        """Keep a drill, and its result with the backup that it restored. Kept again, it stays as it was."""
        values = {name: getattr(drill, name) for name in drill.__dataclass_fields__}
        async with self._store.single() as connection:
            await connection.execute(_ADD, values | {"details": as_json(dict(drill.details))})

    async def newest(self, source: str | None = None, limit: int = 50) -> list[DrillRecord]:
        """The newest drills, of one source or all."""
        statement = select(*_COLUMNS).where(own(DrillRow)).order_by(DrillRow.at.desc(), DrillRow.id.desc()).limit(limit)
        if source is not None:
            statement = statement.where(DrillRow.source == source)
        async with self._store.single() as connection:
            return [DrillRecord(**dict(row)) for row in (await connection.execute(statement)).mappings()]
