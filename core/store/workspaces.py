"""Workspaces: which there are, who is in them, and which groups of a directory are invited."""

from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from sqlalchemy import Boolean, DateTime, ForeignKey, Index, Text, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from core.errors import Conflict, InputInvalid, NotFound
from core.store.base import Base, Store
from core.store.users import UserRow
from core.workspaces import NAME


class WorkspaceRow(Base):
    """A workspace. What belongs to it bears its name."""

    __tablename__ = "workspaces"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Member(Base):
    """Somebody in a workspace. ``by_group``: because a group of theirs is invited, and for as long as they are in it."""

    __tablename__ = "members"
    __table_args__ = (Index("members_by_user", "user_id"),)

    workspace: Mapped[str] = mapped_column(ForeignKey(WorkspaceRow.name, ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(UserRow.id, ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(Text)
    by_group: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))


class Invitation(Base):
    """A group of a directory or provider, whoever is in which is in the workspace. Compared in lower case."""

    __tablename__ = "invitations"

    workspace: Mapped[str] = mapped_column(ForeignKey(WorkspaceRow.name, ondelete="CASCADE"), primary_key=True)
    group_name: Mapped[str] = mapped_column(Text, primary_key=True)
    role: Mapped[str] = mapped_column(Text)


@dataclass(frozen=True, slots=True)
class Workspace:
    """What may be shown of a workspace."""

    name: str
    title: str
    created_at: datetime


_COLUMNS = tuple(getattr(WorkspaceRow, name) for name in Workspace.__dataclass_fields__)
_FRESH_SECONDS = 5.0


class Workspaces:
    """Questions about workspaces."""

    def __init__(self, store: Store) -> None:
        self._store = store.system
        self._known: dict[str, float] = {}
        """When each was last seen to be there (monotonic)."""

    async def known(self, name: str) -> None:
        """Raises ``NotFound`` where there is no such workspace."""
        if self._known.get(name, -_FRESH_SECONDS) + _FRESH_SECONDS < monotonic():
            async with self._store.single() as connection:
                asked = select(WorkspaceRow.name).where(WorkspaceRow.name == name)
                if (await connection.execute(asked)).one_or_none() is None:
                    raise no_such_workspace()
            self._known[name] = monotonic()

    async def create(self, name: str, title: str = "") -> Workspace:
        """A new one. Raises ``InputInvalid`` and ``Conflict``."""
        if NAME.fullmatch(name) is None:
            raise InputInvalid("A workspace's name has small letters, digits and hyphens, at most 39.", field="name")
        made = insert(WorkspaceRow).values(name=name, title=title.strip()[:200] or name).on_conflict_do_nothing()
        async with self._store.single() as connection:
            row = (await connection.execute(made.returning(*_COLUMNS))).one_or_none()
        if row is None:
            raise Conflict("There is a workspace of this name already.", field="name")
        return Workspace(*row)

    async def list(self) -> list[Workspace]:
        """All of them, by name."""
        async with self._store.single() as connection:
            rows = await connection.execute(select(*_COLUMNS).order_by(WorkspaceRow.name))
            return [Workspace(*row) for row in rows]


def no_such_workspace() -> NotFound:
    """What is said of one that is not there, or not the asker's."""
    return NotFound("No such workspace; `pilothouse workspace list` shows those there are.")
