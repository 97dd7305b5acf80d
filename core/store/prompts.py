"""What was asked before, to be asked again: a turn without a whole answer, or one message of a user."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from core.errors import Conflict, NotFound
from core.store.base import Store
from core.store.turns import Begun, NewTurn


@dataclass(frozen=True, slots=True)
class Reopened:
    """A turn as it was asked the first time, waiting in its session's queue again."""

    turn: NewTurn
    begun: Begun


_REOPEN = text("""
    UPDATE pilothouse.turns t SET status = 'queued', owner = :owner, answer = '', marks = '{}', usage = NULL, error = NULL,
        finish_reason = NULL, finished_at = NULL, cancel_requested = false, flow_run_id = NULL, task_run_id = NULL, tracked = NULL
    WHERE t.id = :id AND t.status IN ('interrupted', 'failed', 'cancelled')
    RETURNING t.seq, t.session_id, t.options, t.token_id
""")
_MESSAGE = text("""
    SELECT t.session_id, t.options, m.body || jsonb_build_object('role', m.role) AS message
    FROM pilothouse.messages m JOIN pilothouse.turns t ON t.seq = m.turn_seq
    WHERE t.id = :turn AND m.position = :position AND m.role = 'user'
""")


class Prompts:
    """Questions about what was asked."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def reopen(self, turn_id: str, owner: str) -> Reopened:
        """Queue an ended turn again, without what came of it. Raises ``NotFound``, and ``Conflict`` when it needs no answer."""
        async with self._store.begin() as connection:
            row = (await connection.execute(_REOPEN, {"id": turn_id, "owner": owner})).one_or_none()
            if row is None:
                known = text("SELECT status FROM pilothouse.turns WHERE id = :id")
                status = (await connection.execute(known, {"id": turn_id})).scalar_one_or_none()
                if status is None:
                    raise NotFound("No such turn.")
                raise Conflict(f"This turn is {status}; only one that failed, was cancelled or interrupted is answered again.")
            of_turn = {"seq": row.seq, "id": row.session_id}
            await connection.execute(
                text("DELETE FROM pilothouse.messages WHERE turn_seq = :seq AND status IN ('interrupted', 'cancelled')"), of_turn
            )
            asked = await connection.execute(
                text(
                    "UPDATE pilothouse.messages SET status = 'done' WHERE turn_seq = :seq"
                    " RETURNING position, body || jsonb_build_object('role', role)"
                ),
                of_turn,
            )
            messages = [message for _, message in sorted(asked.tuples())]
            session = await connection.execute(text("SELECT system, model FROM pilothouse.sessions WHERE id = :id"), of_turn)
            found = session.one_or_none()
        turn = NewTurn(turn_id, row.session_id, owner, messages, row.options, token_id=row.token_id)
        return Reopened(turn, Begun(turn_id, None, *(found or (None, None))))

    async def message(self, message_id: str) -> tuple[str | None, Mapping[str, Any], Mapping[str, Any]]:
        """Session id, message and options of the user's message ``<turn id>.<position>``. Raises ``NotFound``."""
        turn_id, _, position = message_id.rpartition(".")
        row = None
        if turn_id and position.isdigit() and len(position) < 5:
            async with self._store.single() as connection:
                row = (await connection.execute(_MESSAGE, {"turn": turn_id, "position": int(position)})).one_or_none()
        if row is None:
            raise NotFound("No such message of a user; take an id from /history.")
        return row.session_id, row.message, row.options
