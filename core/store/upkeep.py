"""What may be deleted because nobody has used it for long: counted, or deleted a batch at a time."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from core.store.base import Store

BATCH = 500
STATEMENT_SECONDS = 60
"""One batch may hold long conversations; the pool's own limit is meant for requests."""

# An active turn keeps its session, however old.
IDLE_SESSION = """
    (s.expires_at < now() OR coalesce(s.last_turn_at, s.created_at) < now() - make_interval(secs => :age))
    AND NOT EXISTS (SELECT 1 FROM pilothouse.turns a WHERE a.session_id = s.id AND a.status IN ('queued', 'running'))
"""
IDLE_TURN = """
    t.session_id IS NULL AND t.created_at < now() - make_interval(secs => :age) AND t.status NOT IN ('queued', 'running')
"""
# Only the constants above are put into these statements (S608).
COUNT = f"""
    WITH idle AS (SELECT s.id FROM pilothouse.sessions s WHERE {IDLE_SESSION}),
    gone AS (
        SELECT t.seq FROM pilothouse.turns t WHERE t.session_id IN (SELECT id FROM idle)
        UNION ALL SELECT t.seq FROM pilothouse.turns t WHERE {IDLE_TURN}
    )
    SELECT (SELECT count(*) FROM idle) AS sessions, (SELECT count(*) FROM gone) AS turns,
        (SELECT count(*) FROM pilothouse.messages m WHERE m.turn_seq IN (SELECT seq FROM gone)) AS messages
"""  # noqa: S608
TAKE_SESSIONS = f"""
    SELECT s.id FROM pilothouse.sessions s WHERE {IDLE_SESSION} ORDER BY s.expires_at LIMIT :batch FOR UPDATE SKIP LOCKED
"""  # noqa: S608
TAKE_TURNS = f"""
    SELECT t.seq FROM pilothouse.turns t WHERE {IDLE_TURN} ORDER BY t.created_at LIMIT :batch FOR UPDATE SKIP LOCKED
"""  # noqa: S608
# Those of a turn go with it. One that never came to run waits for nobody any more.
DELETE_TOOL_RUNS = """
    DELETE FROM pilothouse.tool_runs WHERE id IN (
        SELECT id FROM pilothouse.tool_runs
        WHERE turn_id IS NULL AND created_at < now() - make_interval(secs => :age) AND status <> 'running'
        ORDER BY created_at LIMIT :batch FOR UPDATE SKIP LOCKED)
"""
DELETE_MESSAGES = "DELETE FROM pilothouse.messages WHERE turn_seq = ANY(:turns)"
DELETE_TURNS = "DELETE FROM pilothouse.turns WHERE seq = ANY(:turns)"


@dataclass(frozen=True, slots=True)
class Purged:
    """Rows counted or deleted."""

    sessions: int = 0
    turns: int = 0
    messages: int = 0

    def __add__(self, other: "Purged") -> "Purged":
        return Purged(self.sessions + other.sessions, self.turns + other.turns, self.messages + other.messages)

    def __bool__(self) -> bool:
        return bool(self.sessions or self.turns or self.messages)


class Upkeep:
    """Conversations idle for ``days``, or past their expiry, and turns without a session of that age."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def idle(self, days: float) -> Purged:
        """How much ``purge`` would delete in all."""
        async with self._store.begin() as connection:
            await _allow_time(connection)
            row = (await connection.execute(text(COUNT), {"age": days * 86_400})).one()
        return Purged(row.sessions, row.turns, row.messages)

    async def purge(self, days: float, batch: int = BATCH) -> Purged:
        """Delete one batch, sessions first; empty when nothing is left. Rows that a request holds are left for the next time."""
        age = days * 86_400
        async with self._store.begin() as connection:
            await _allow_time(connection)
            sessions = list((await connection.execute(text(TAKE_SESSIONS), {"age": age, "batch": batch})).scalars())
            if sessions:
                of_sessions = text("SELECT seq FROM pilothouse.turns WHERE session_id = ANY(:sessions)")
                turns = list((await connection.execute(of_sessions, {"sessions": sessions})).scalars())
            else:
                turns = list((await connection.execute(text(TAKE_TURNS), {"age": age, "batch": batch})).scalars())
            messages = await connection.execute(text(DELETE_MESSAGES), {"turns": turns})
            await connection.execute(text(DELETE_TURNS), {"turns": turns})
            await connection.execute(text("DELETE FROM pilothouse.sessions WHERE id = ANY(:sessions)"), {"sessions": sessions})
        return Purged(len(sessions), len(turns), messages.rowcount)

    async def purge_tool_runs(self, days: float, batch: int = BATCH) -> int:
        """Delete one batch of the tool runs older than ``days`` that no turn called; 0 when nothing is left."""
        async with self._store.begin() as connection:
            await _allow_time(connection)
            return (await connection.execute(text(DELETE_TOOL_RUNS), {"age": days * 86_400, "batch": batch})).rowcount

    async def forget_runs(self, days: float) -> int:
        """Delete trigger keys and results of runs older than ``days``; how many."""
        gone = 0
        async with self._store.begin() as connection:
            await _allow_time(connection)
            for table in ("trigger_keys", "run_results"):
                old = text(f"DELETE FROM pilothouse.{table} WHERE created_at < now() - make_interval(secs => :age)")  # noqa: S608
                gone += (await connection.execute(old, {"age": days * 86_400})).rowcount
        return gone


async def _allow_time(connection: AsyncConnection) -> None:
    await connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'"))
