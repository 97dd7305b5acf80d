"""Which files are kept, for whom and until when; the bytes lie in the object store."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Index, Text, delete, exists, func, or_, select, text
from sqlalchemy.orm import Mapped, mapped_column

from core.errors import NotFound, StorageSpent
from core.store.base import Base, OfWorkspace, Store
from core.store.chats import Session

BATCH = 500


class StoredFile(OfWorkspace, Base):
    """A file. One with a session lives as long as the session does, any other until ``expires_at``."""

    __tablename__ = "files"
    __table_args__ = (
        Index("files_expiring", "expires_at"),
        Index("files_of_workspace", "workspace"),
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


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file that may be read now. ``size`` in bytes."""

    key: str
    name: str
    media_type: str
    size: int
    created_at: datetime


_COLUMNS = (StoredFile.key, StoredFile.name, StoredFile.media_type, StoredFile.size, StoredFile.created_at)
_OF_SESSION = Session.id == StoredFile.session_id
# Between a session's expiry and its purge nobody reads its files, and they wait for the purge as its messages do.
_LIVE = or_(
    StoredFile.session_id.is_(None) & (StoredFile.expires_at > func.now()),
    exists().where(_OF_SESSION, Session.expires_at > func.now()),
)
_OVER = or_(
    StoredFile.session_id.is_(None) & (StoredFile.expires_at <= func.now()),
    StoredFile.session_id.is_not(None) & ~exists().where(_OF_SESSION),
)

# As text, because SQLAlchemy would compile this statement anew each time.
_WHOSE = """coalesce((SELECT workspace FROM pilothouse.tool_runs WHERE id = :tool_run_id),
            (SELECT workspace FROM pilothouse.sessions WHERE id = :session_id), pilothouse.current_workspace(), 'default')"""
_ADD = text(f"""
    INSERT INTO pilothouse.files (key, workspace, name, media_type, size, session_id, tool_run_id, expires_at)
    VALUES (:key, {_WHOSE},
        :name, :media_type, :size, :session_id, :tool_run_id, now() + make_interval(secs => :seconds))
    ON CONFLICT (key) DO NOTHING
""")  # noqa: S608  (our own text)
_OF = text(f"SELECT {_WHOSE}")
# Two files at once would each be let in by what the other has not added yet.
_ONE_BY_ONE = text("SELECT pg_advisory_xact_lock(hashtextextended('pilothouse files of ' || :of, 0))")
_USED = text("SELECT coalesce(sum(size), 0) FROM pilothouse.files WHERE workspace = :of AND key <> :key")


class Files:
    """Questions about files."""

    def __init__(self, store: Store, most: Callable[[str], Awaitable[int | None]] | None = None) -> None:
        """``most``: how many bytes a workspace may keep."""
        self._store = store
        self._most = most

    async def add(
        self,
        key: str,
        *,
        name: str,
        media_type: str,
        size: int,
        days: float,
        session_id: str | None = None,
        tool_run_id: str | None = None,
    ) -> None:
        """A new file, to be kept for ``days`` unless it is a session's. Added again, it stays as it was.

        It belongs to the workspace of its tool run or session. Raises ``StorageSpent`` where that may not keep so much more.
        """
        row = {
            "key": key,
            "name": name,
            "media_type": media_type,
            "size": size,
            "session_id": session_id,
            "tool_run_id": tool_run_id,
            "seconds": days * 86_400,
        }
        async with self._store.single() as connection:
            most = None
            if self._most is not None:
                row["of"] = workspace = str((await connection.execute(_OF, row)).scalar_one())
                most = await self._most(workspace)
            if most is None:
                await connection.execute(_ADD, row)
                return
        async with self._store.begin() as connection:
            await connection.execute(_ONE_BY_ONE, row)
            used = int((await connection.execute(_USED, row)).scalar_one())
            if used + size > most:
                raise StorageSpent(
                    f"The workspace keeps {used} of the {most} bytes that it may (storage_bytes), and this file has {size}:"
                    " delete conversations, or wait until older files expire."
                )
            await connection.execute(_ADD, row)

    async def get(self, key: str) -> FileRecord:
        """Raises ``NotFound`` when there is none, its time is over or its session has expired."""
        async with self._store.single() as connection:
            row = (await connection.execute(select(*_COLUMNS).where(StoredFile.key == key, _LIVE))).mappings().one_or_none()
        if row is None:
            raise NotFound("There is no such file, or no longer.")
        return FileRecord(**dict(row))

    async def count_over(self) -> int:
        """How many files' time is over."""
        async with self._store.single() as connection:
            return int(await connection.scalar(select(func.count()).select_from(StoredFile).where(_OVER)) or 0)

    async def over(self, limit: int = BATCH) -> list[str]:
        """Keys of files whose time is over or whose session is gone, the oldest first."""
        statement = select(StoredFile.key).where(_OVER).order_by(StoredFile.expires_at).limit(limit)
        async with self._store.single() as connection:
            return list((await connection.execute(statement)).scalars())

    async def of_session(self, session_id: str, limit: int = BATCH) -> list[str]:
        """Keys of a session's files."""
        statement = select(StoredFile.key).where(StoredFile.session_id == session_id).limit(limit)
        async with self._store.single() as connection:
            return list((await connection.execute(statement)).scalars())

    async def known(self, keys: Iterable[str]) -> set[str]:
        """Those of ``keys`` that belong to a file, over or not."""
        statement = select(StoredFile.key).where(StoredFile.key == func.any(list(keys)))
        async with self._store.single() as connection:
            return set((await connection.execute(statement)).scalars())

    async def forget(self, keys: Sequence[str]) -> None:
        """Delete the rows, once the bytes are gone."""
        async with self._store.single() as connection:
            await connection.execute(delete(StoredFile).where(StoredFile.key == func.any(list(keys))))
