"""Which files are kept, for whom and until when; the bytes lie in the object store."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Index, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import Base


class StoredFile(Base):
    """A file. One with a session lives as long as the session does, any other until ``expires_at``."""

    __tablename__ = "files"
    __table_args__ = (
        Index("files_expiring", "expires_at"),
        Index("files_of_session", "session_id", postgresql_where=text("session_id IS NOT NULL")),
    )

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    media_type: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger)
    session_id: Mapped[str | None] = mapped_column(Text)
    tool_run_id: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
