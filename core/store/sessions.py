"""Sessions and their history."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError

from core.errors import Conflict, NotFound
from core.store.base import Store, own
from core.store.chats import Session
from core.workspaces import current_workspace, home


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session that has not expired. ``seq`` orders sessions by creation."""

    id: str
    seq: int
    title: str | None
    system: str | None
    model: str | None
    created_at: datetime
    last_turn_at: datetime | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """One message; ``body`` is the OpenAI message without its role."""

    turn_seq: int
    position: int
    turn_id: str
    role: str
    body: Mapping[str, Any]
    status: str
    created_at: datetime


_COLUMNS = (
    Session.id,
    Session.seq,
    Session.title,
    Session.system,
    Session.model,
    Session.created_at,
    Session.last_turn_at,
    Session.expires_at,
)
_LIVE = Session.expires_at > func.now()
_MESSAGES = text("""
    SELECT m.turn_seq, m.position, t.id AS turn_id, m.role, m.body, m.status, m.created_at
    FROM pilothouse.messages m JOIN pilothouse.turns t ON t.seq = m.turn_seq
    WHERE t.session_id = :session AND :workspace IN ('*', t.workspace)
        AND (CAST(:seq AS bigint) IS NULL OR (m.turn_seq, m.position) < (:seq, :position))
    ORDER BY m.turn_seq DESC, m.position DESC LIMIT :limit
""")


class Sessions:
    """Questions about sessions."""

    def __init__(self, store: Store, idle_seconds: float) -> None:
        self._store = store
        self._idle = idle_seconds

    async def create(
        self, session_id: str, *, title: str | None = None, system: str | None = None, model: str | None = None
    ) -> SessionRecord:
        """A new session. Raises ``Conflict`` when the id is taken, also by one that has expired and is not purged yet."""
        expires_at = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, self._idle)
        row = {"id": session_id, "workspace": home(), "title": title, "system": system, "model": model, "expires_at": expires_at}
        statement = insert(Session).values(row).returning(*_COLUMNS)
        try:
            async with self._store.single() as connection:
                return SessionRecord(**dict((await connection.execute(statement)).mappings().one()))
        except IntegrityError as error:
            raise Conflict("This sessionId is taken; choose another or leave it out.", field="sessionId") from error

    async def get(self, session_id: str) -> SessionRecord:
        """Raises ``NotFound`` when there is none or it has expired."""
        statement = select(*_COLUMNS).where(Session.id == session_id, _LIVE, own(Session))
        async with self._store.single() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
        if row is None:
            raise NotFound("No such session; create one with POST /chat/sessions.")
        return SessionRecord(**dict(row))

    async def page(self, limit: int, before: int | None) -> list[SessionRecord]:
        """Up to ``limit`` sessions created before the one with sequence number ``before``, newest first."""
        statement = select(*_COLUMNS).where(_LIVE, own(Session)).order_by(Session.seq.desc()).limit(limit)
        if before is not None:
            statement = statement.where(Session.seq < before)
        async with self._store.single() as connection:
            rows = await connection.execute(statement)
            return [SessionRecord(**dict(row)) for row in rows.mappings()]

    async def delete(self, session_id: str) -> None:
        """Gone with its turns and messages. Raises ``NotFound``."""
        async with self._store.single() as connection:
            gone = await connection.execute(
                text(
                    "DELETE FROM pilothouse.sessions WHERE id = :id AND expires_at > now() AND :workspace IN ('*', workspace)"
                    " RETURNING id"
                ),
                {"id": session_id, "workspace": current_workspace()},
            )
            if gone.one_or_none() is None:
                raise NotFound("No such session.")

    async def messages(self, session_id: str, limit: int, before: tuple[int, int] | None) -> list[MessageRecord]:
        """The last ``limit`` messages before ``(turn sequence number, position)``, oldest first."""
        seq, position = before if before is not None else (None, None)
        asked = {"session": session_id, "seq": seq, "position": position, "limit": limit, "workspace": current_workspace()}
        async with self._store.single() as connection:
            rows = await connection.execute(_MESSAGES, asked)
            found = [MessageRecord(**dict(row)) for row in rows.mappings()]
        return found[::-1]
