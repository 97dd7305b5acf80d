"""Tool runs: what was asked, by whom, and what came of it."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, Index, Integer, Text, func, text
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import SCHEMA, Base


class ToolRun(Base):
    """One call of a tool. ``owner`` is the boot id of the process that runs it; ``digest`` is the same for the same call."""

    __tablename__ = "tool_runs"
    __table_args__ = (
        Index("tool_runs_same", "digest", "created_at"),
        Index("tool_runs_of_turn", "turn_id", postgresql_where=text("turn_id IS NOT NULL")),
        Index("tool_runs_active", "owner", postgresql_where=text("status IN ('queued', 'running')")),
        Index("tool_runs_created", "created_at"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    tool_id: Mapped[str] = mapped_column(Text)
    tool_version: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    token_id: Mapped[str | None] = mapped_column(Text)
    session_id: Mapped[str | None] = mapped_column(Text)
    turn_id: Mapped[str | None] = mapped_column(ForeignKey(f"{SCHEMA}.turns.id", ondelete="CASCADE"))
    owner: Mapped[str] = mapped_column(Text)
    digest: Mapped[bytes] = mapped_column(BYTEA)
    inputs: Mapped[dict[str, Any]] = mapped_column(JSONB)
    output: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    flow_run_id: Mapped[str | None] = mapped_column(Text)
    task_run_id: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    duration_ms: Mapped[int | None] = mapped_column(Integer)
