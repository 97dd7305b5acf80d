"""Tables of the chat: sessions, turns, messages."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import SCHEMA, Base, OfWorkspace


class Session(OfWorkspace, Base):
    """A conversation. Past ``expires_at`` it no longer exists for anyone, whether or not it was purged yet."""

    __tablename__ = "sessions"
    __table_args__ = (Index("sessions_of_workspace", "workspace", "seq"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    title: Mapped[str | None] = mapped_column(Text)
    system: Mapped[str | None] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    last_turn_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


class Turn(OfWorkspace, Base):
    """One question and its answer. ``seq`` orders the turns of a session; ``owner`` is the boot id of the process answering.

    ``marks[i]`` is the length of ``answer`` after chunk ``i + 1``, which is what makes a stream resumable after its log is gone.
    ``attempts``: the models with which something went wrong; ``model_first_ms``, ``model_ms`` and ``model_tokens``: how fast the
    one was that answered (see ``core.model_calls``).
    """

    __tablename__ = "turns"
    __table_args__ = (
        UniqueConstraint("session_id", "idempotency_key"),
        Index("turns_of_session", "session_id", "seq"),
        Index("turns_active", "owner", postgresql_where=text("status IN ('queued', 'running')")),
        Index("turns_untracked", "seq", postgresql_where=text("tracked IS NULL AND task_run_id IS NOT NULL")),
        Index("turns_created", "created_at"),
        Index(
            "turns_of_model",
            *("provider", "model", "finished_at"),
            postgresql_include=["model_first_ms", "model_ms", "model_tokens", "workspace"],
            postgresql_where=text("provider IS NOT NULL AND finished_at IS NOT NULL"),
        ),
        Index("turns_troubled", "finished_at", postgresql_where=text("attempts IS NOT NULL")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    session_id: Mapped[str | None] = mapped_column(ForeignKey(f"{SCHEMA}.sessions.id", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(Text)
    options: Mapped[dict[str, Any]] = mapped_column(JSONB)
    provider: Mapped[str | None] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)
    answer: Mapped[str] = mapped_column(Text, server_default="")
    marks: Mapped[list[int]] = mapped_column(ARRAY(Integer), server_default="{}")
    usage: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    finish_reason: Mapped[str | None] = mapped_column(Text)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    owner: Mapped[str] = mapped_column(Text)
    idempotency_key: Mapped[str | None] = mapped_column(Text)
    body_hash: Mapped[bytes | None] = mapped_column(BYTEA)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    first_token_ms: Mapped[int | None] = mapped_column(Integer)
    duration_ms: Mapped[int | None] = mapped_column(Integer)
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    flow_run_id: Mapped[str | None] = mapped_column(Text)
    task_run_id: Mapped[str | None] = mapped_column(Text)
    tracked: Mapped[bool | None]
    attempts: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)
    model_first_ms: Mapped[int | None] = mapped_column(Integer)
    model_ms: Mapped[int | None] = mapped_column(Integer)
    model_tokens: Mapped[int | None] = mapped_column(Integer)
    token_id: Mapped[str | None] = mapped_column(Text)


class Message(OfWorkspace, Base):
    """One message of a turn; its public id is ``<turn id>.<position>``. ``body`` is the OpenAI message without its role."""

    __tablename__ = "messages"

    turn_seq: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.turns.seq", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    role: Mapped[str] = mapped_column(Text)
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)
    status: Mapped[str] = mapped_column(Text, server_default="done")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
