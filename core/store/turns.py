"""Turns: begun in order, claimed one at a time per session, finished in one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import RowMapping, text

from core.errors import Conflict, NotFound, SessionBusy
from core.settings_quotas import PriceSettings
from core.store.base import Store
from core.store.keepable import as_json
from core.store.turn_ends import END, end_values
from core.usage import cost_of
from core.workspaces import current_workspace, home

ACTIVE: tuple[str, ...] = ("queued", "running")
Status = Literal["queued", "running", "done", "interrupted", "failed", "cancelled"]
HISTORY_LIMIT = 400
"""Messages read as history of a turn; what fits of them is decided by the model's context window."""


@dataclass(frozen=True, slots=True)
class NewTurn:
    """What a caller asks. ``messages`` are OpenAI messages; ``options`` the model's name and parameters; ``owner`` a boot id."""

    id: str
    session_id: str | None
    owner: str
    messages: Sequence[Mapping[str, Any]]
    options: Mapping[str, Any]
    idempotency_key: str | None = None
    body_hash: bytes | None = None
    workspace: str = field(default_factory=home)
    token_id: str | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A turn that now has a row. ``history`` is None while it waits behind another turn of its session."""

    turn_id: str
    history: list[dict[str, Any]] | None
    system: str | None = None
    model: str | None = None
    repeated: bool = False
    """The Idempotency-Key was seen before: ``turn_id`` is the earlier turn."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a turn ended. ``message`` is the assistant's message, None when nothing came."""

    status: Status
    answer: str = ""
    marks: Sequence[int] = ()
    message: Mapping[str, Any] | None = None
    provider: str | None = None
    model: str | None = None
    usage: Mapping[str, Any] | None = None
    finish_reason: str | None = None
    error: Mapping[str, Any] | None = None
    first_token_ms: int | None = None
    duration_ms: int | None = None
    attempts: Sequence[Mapping[str, Any]] | None = None
    """The models with which something went wrong; see ``core.model_calls.Attempt``."""
    model_first_ms: int | None = None
    """From the question to the model that answered until its first token, without what came before."""
    model_ms: int | None = None
    """In which ``model_tokens`` came."""
    model_tokens: int | None = None
    prompt_tokens: int = 0
    """Of all calls together, estimated where no server counted them; so is ``completion_tokens``."""
    completion_tokens: int = 0

    @property
    def answered(self) -> bool:
        """Something was said, if not all: the turn counts."""
        return self.status == "done" or self.message is not None


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """A turn as it stands."""

    id: str
    session_id: str | None
    status: Status
    owner: str
    options: dict[str, Any]
    answer: str
    marks: list[int]
    message: dict[str, Any] | None
    provider: str | None
    model: str | None
    usage: dict[str, Any] | None
    finish_reason: str | None
    error: dict[str, Any] | None
    created_at: datetime
    first_token_ms: int | None
    duration_ms: int | None
    finished_at: datetime | None
    flow_run_id: str | None
    task_run_id: str | None
    tracked: bool | None


_LOCK = text("SELECT system, model FROM pilothouse.sessions WHERE id = :session AND expires_at > now() FOR UPDATE")
_ACTIVE = text("SELECT count(*) FROM pilothouse.turns WHERE session_id = :session AND status IN ('queued', 'running')")
_REPEATED = text("SELECT id, body_hash FROM pilothouse.turns WHERE session_id = :session AND idempotency_key = :key")
_HISTORY = """
    SELECT coalesce(jsonb_agg(h.body || jsonb_build_object('role', h.role) ORDER BY h.turn_seq, h.position), '[]')
    FROM (
        SELECT m.role, m.body, m.turn_seq, m.position
        FROM pilothouse.messages m JOIN pilothouse.turns t ON t.seq = m.turn_seq
        WHERE t.session_id = :session AND m.status <> 'failed' {before}
        ORDER BY m.turn_seq DESC, m.position DESC LIMIT :limit
    ) h
"""
# One statement for the row, its messages and the session's new expiry; the history it returns is from before them.
_INSERT = text(f"""
    WITH turn AS (
        INSERT INTO pilothouse.turns (id, workspace, session_id, status, options, owner, idempotency_key, body_hash, token_id)
        VALUES (:id, :workspace, :session, :status, CAST(:options AS jsonb), :owner, :key, :hash, :token) RETURNING seq
    ), added AS (
        INSERT INTO pilothouse.messages (workspace, turn_seq, position, role, body)
        SELECT :workspace, turn.seq, m.ordinality - 1, m.value->>'role', m.value - 'role'
        FROM turn, jsonb_array_elements(CAST(:messages AS jsonb)) WITH ORDINALITY AS m
    ), touched AS (
        UPDATE pilothouse.sessions SET last_turn_at = now(),
            expires_at = CASE WHEN CAST(:idle AS float8) IS NULL THEN expires_at ELSE now() + make_interval(secs => :idle) END
        WHERE id = :session
    )
    SELECT ({_HISTORY.format(before="")}) FROM turn
""")  # noqa: S608  (our own text)
_CLAIM = text(f"""
    UPDATE pilothouse.turns t SET status = 'running'
    WHERE t.id = :id AND t.status = 'queued' AND NOT EXISTS (
        SELECT FROM pilothouse.turns e WHERE e.session_id = t.session_id AND e.seq < t.seq AND e.status IN ('queued', 'running'))
    RETURNING ({_HISTORY.format(before="AND t.seq < (SELECT seq FROM pilothouse.turns WHERE id = :id)")})
""")  # noqa: S608  (our own text)
_RECORD = """
    SELECT t.id, t.session_id, t.status, t.owner, t.options, t.answer, t.marks, t.provider, t.model, t.usage, t.finish_reason,
        t.error, t.created_at, t.first_token_ms, t.duration_ms, t.finished_at, t.flow_run_id, t.task_run_id, t.tracked,
        (SELECT m.body || jsonb_build_object('role', m.role) FROM pilothouse.messages m
         WHERE m.turn_seq = t.seq AND m.role = 'assistant' ORDER BY m.position DESC LIMIT 1) AS message
    FROM pilothouse.turns t
"""


class Turns:
    """Questions about turns."""

    def __init__(
        self,
        store: Store,
        *,
        queue: int = 4,
        idle_seconds: float | None = 30 * 86400.0,
        prices: Mapping[str, PriceSettings] | None = None,
    ) -> None:
        """``queue`` turns may wait in a session; each turn moves its expiry to ``idle_seconds`` from now (None: never moved)."""
        self._store = store
        self._prices = prices or {}
        self._queue = queue
        self._idle = idle_seconds

    async def begin(self, turn: NewTurn) -> Begun:
        """Write the turn and its messages.

        Raises ``NotFound`` for an unknown or expired session, ``SessionBusy`` when its queue is full and ``Conflict`` for an
        Idempotency-Key that was used for another request.
        """
        values = _insert_values(turn, self._idle)
        if turn.session_id is None:
            async with self._store.single() as connection:
                await connection.execute(_INSERT, values)
            return Begun(turn.id, history=[])
        async with self._store.begin() as connection:
            session = (await connection.execute(_LOCK, values)).one_or_none()
            if session is None:
                raise NotFound("No such session; create one with POST /chat/sessions.")
            if turn.idempotency_key is not None:
                earlier = (await connection.execute(_REPEATED, values)).one_or_none()
                if earlier is not None and bytes(earlier.body_hash) != turn.body_hash:
                    raise Conflict("This Idempotency-Key was used for another request of this session; choose a new one.")
                if earlier is not None:
                    return Begun(earlier.id, history=None, repeated=True)
            active = (await connection.execute(_ACTIVE, values)).scalar_one()
            if active > self._queue:
                raise SessionBusy(f"{active} turns of this session are unanswered; wait for one to end.", retry_after=5)
            waits = active > 0
            found = (await connection.execute(_INSERT, values | {"status": "queued" if waits else "running"})).scalar_one()
        return Begun(turn.id, history=None if waits else found, system=session.system, model=session.model)

    async def claim(self, turn_id: str) -> list[dict[str, Any]] | None:
        """The history, once no earlier turn of the session is unanswered; the turn is then running. None means: wait on."""
        async with self._store.begin() as connection:
            await connection.execute(
                text(
                    "SELECT FROM pilothouse.sessions"
                    " WHERE id = (SELECT session_id FROM pilothouse.turns WHERE id = :id) FOR UPDATE"
                ),
                {"id": turn_id},
            )
            session = text("SELECT session_id FROM pilothouse.turns WHERE id = :id")
            values = {
                "id": turn_id,
                "limit": HISTORY_LIMIT,
                "session": (await connection.execute(session, {"id": turn_id})).scalar(),
            }
            found = (await connection.execute(_CLAIM, values)).scalar_one_or_none()
        return None if found is None else list(found)

    async def finish(self, turn_id: str, owner: str, position: int, outcome: Outcome) -> bool:
        """Keep how the turn ended; ``position`` is where the answer comes among the turn's messages.

        False when the turn is no longer this owner's (its session was deleted, or it was answered elsewhere).
        """
        cost = cost_of(self._prices, outcome.provider, outcome.model, outcome.prompt_tokens, outcome.completion_tokens)
        values = end_values(turn_id, owner, position, outcome, cost)
        async with self._store.single() as connection:
            return (await connection.execute(END, values)).scalar_one_or_none() is not None

    async def get(self, turn_id: str, session_id: str | None = None) -> TurnRecord:
        """The turn as it stands. Raises ``NotFound``, also when its session is another one or has expired."""
        where = (
            " WHERE t.id = :id AND (t.session_id IS NULL OR EXISTS (SELECT FROM pilothouse.sessions s"
            " WHERE s.id = t.session_id AND s.expires_at > now()))"
            " AND (CAST(:session AS text) IS NULL OR t.session_id = :session) AND :workspace IN ('*', t.workspace)"
        )
        asked = {"id": turn_id, "session": session_id, "workspace": current_workspace()}
        async with self._store.single() as connection:
            row = (await connection.execute(text(_RECORD + where), asked)).mappings().one_or_none()
        if row is None:
            raise NotFound("No such turn in this session.")
        return _record(row)

    async def workspace_of(self, turn_id: str) -> str:
        """Whose it is. Raises ``NotFound``."""
        asked = text("SELECT workspace FROM pilothouse.turns WHERE id = :id")
        async with self._store.single() as connection:
            found: str | None = (await connection.execute(asked, {"id": turn_id})).scalar_one_or_none()
        if found is None:
            raise NotFound("No such turn.")
        return found

    async def asked_by(self, turn_id: str) -> str | None:
        """The token that asked it, where that is known."""
        asked = text("SELECT token_id FROM pilothouse.turns WHERE id = :id")
        async with self._store.single() as connection:
            found: str | None = (await connection.execute(asked, {"id": turn_id})).scalar_one_or_none()
        return found

    async def request_cancel(self, turn_id: str) -> None:
        """Ask the turn's owner, whichever process that is, to stop."""
        async with self._store.single() as connection:
            await connection.execute(
                text("UPDATE pilothouse.turns SET cancel_requested = true WHERE id = :id AND status IN ('queued', 'running')"),
                {"id": turn_id},
            )

    async def active(self, session_id: str) -> list[str]:
        """Ids of the session's unanswered turns."""
        async with self._store.single() as connection:
            rows = await connection.execute(
                text("SELECT id FROM pilothouse.turns WHERE session_id = :id AND status IN ('queued', 'running')"),
                {"id": session_id},
            )
            return list(rows.scalars())


def _insert_values(turn: NewTurn, idle: float | None) -> dict[str, Any]:
    return {
        "id": turn.id,
        "workspace": turn.workspace,
        "session": turn.session_id,
        "status": "running",
        "options": as_json(turn.options),
        "owner": turn.owner,
        "key": turn.idempotency_key,
        "hash": turn.body_hash,
        "token": turn.token_id,
        "messages": as_json(list(turn.messages)),
        "idle": idle,
        "limit": HISTORY_LIMIT,
    }


def _record(row: RowMapping) -> TurnRecord:
    return TurnRecord(**dict(row))
