"""Workspaces: which there are, who is in them, and which groups of a directory are invited."""

from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from sqlalchemy import Boolean, DateTime, ForeignKey, Index, Text, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Mapped, mapped_column

from core.audit.entry import OURSELVES, By
from core.errors import Conflict, InputInvalid, NotFound
from core.store.audit import noted
from core.store.base import Base, Store
from core.store.users import UserRow
from core.workspaces import DEFAULT, NAME


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
# Every table whose rows belong to workspaces is under row-level security. What was used stays in the ledger, as a fact.
_APART = text("""
    SELECT quote_ident(relname) AS name FROM pg_class WHERE relnamespace = 'pilothouse'::regnamespace AND relrowsecurity
        AND NOT relispartition AND relname <> 'usage' ORDER BY relname
""")
_ENDED = "(revoked_at IS NOT NULL OR expires_at <= now())"
_END_TOKENS = text(f"DELETE FROM pilothouse.tokens WHERE workspace = :name AND {_ENDED}")  # noqa: S608 - the constant above


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

    async def create(self, name: str, title: str = "", by: By = OURSELVES) -> Workspace:
        """A new one. Raises ``InputInvalid`` and ``Conflict``."""
        if NAME.fullmatch(name) is None:
            raise InputInvalid("A workspace's name has small letters, digits and hyphens, at most 39.", field="name")
        values = {"name": name, "title": _checked_title(title) if title.strip() else name}
        made = insert(WorkspaceRow).values(values).on_conflict_do_nothing()
        async with self._store.begin() as connection:
            row = (await connection.execute(made.returning(*_COLUMNS))).one_or_none()
            if row is None:
                raise Conflict("There is a workspace of this name already.", field="name")
            await noted(connection, by.entry("workspace.created", "success", name, title=values["title"]))
        return Workspace(*row)

    async def rename(self, name: str, title: str, by: By = OURSELVES) -> Workspace:
        """Give it another title; its name stays. Raises ``NotFound`` and ``InputInvalid``."""
        changed = update(WorkspaceRow).where(WorkspaceRow.name == name).values(title=_checked_title(title))
        async with self._store.begin() as connection:
            row = (await connection.execute(changed.returning(*_COLUMNS))).one_or_none()
            if row is None:
                raise no_such_workspace()
            await noted(connection, by.entry("workspace.changed", "success", name, title=row.title))
        return Workspace(*row)

    async def delete(self, name: str, by: By = OURSELVES) -> None:
        """Delete an empty one, with its invitations and its tokens that have ended. Raises ``NotFound``, and ``Conflict`` that
        says what is in it."""
        if name == DEFAULT:
            raise Conflict("The default workspace stays: what names none belongs to it.")
        async with self._store.begin() as connection:
            row = await connection.execute(select(WorkspaceRow.name).where(WorkspaceRow.name == name).with_for_update())
            if row.one_or_none() is None:
                raise no_such_workspace()
            held = await _held(connection, name)
            if held:
                raise Conflict(f"The workspace is not empty: {', '.join(held)}. Delete these first.")
            await connection.execute(_END_TOKENS, {"name": name})
            await connection.execute(delete(WorkspaceRow).where(WorkspaceRow.name == name))
            await noted(connection, by.entry("workspace.deleted", "success", name))
        self._known.pop(name, None)

    async def list(self) -> list[Workspace]:
        """All of them, by name."""
        async with self._store.single() as connection:
            rows = await connection.execute(select(*_COLUMNS).order_by(WorkspaceRow.name))
            return [Workspace(*row) for row in rows]


def no_such_workspace() -> NotFound:
    """What is said of one that is not there, or not the asker's."""
    return NotFound("No such workspace; `pilothouse workspace list` shows those there are.")


async def _held(connection: AsyncConnection, name: str) -> list[str]:
    """``3 sessions``, ``1 member`` …"""
    counted = {"members": "members WHERE", "tokens": f"tokens WHERE NOT coalesce({_ENDED}, false) AND"}
    counted |= {table.name.replace("_", " "): f"{table.name} WHERE" for table in await connection.execute(_APART)}
    found = []
    for said, rows in counted.items():
        asked = text(f"SELECT count(*) FROM pilothouse.{rows} workspace = :name")  # noqa: S608 - names of tables of the schema
        count = (await connection.execute(asked, {"name": name})).scalar()
        if count:
            found.append(f"{count} {said if count > 1 else said.removesuffix('s')}")
    return found


def _checked_title(title: str) -> str:
    title = title.strip()
    if not 1 <= len(title) <= 200 or not title.isprintable():
        raise InputInvalid("A title has 1 to 200 printable characters.", field="title")
    return title
