"""Turns in flight: what came so far, who answers them, and whether Prefect has seen their runs."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from core.store.base import Store
from core.store.keepable import keepable
from core.store.usage import TURN_LOST

_REAP = text(f"""
    WITH dead AS (
        SELECT id, seq, workspace, answer, owner, token_id FROM pilothouse.turns
        WHERE status IN ('queued', 'running')
            AND owner NOT IN (SELECT boot_id FROM pilothouse.processes WHERE lease_until > now())
        FOR UPDATE SKIP LOCKED
    ), ended AS (
        UPDATE pilothouse.turns t SET status = 'interrupted', finished_at = now(),
            error = '{{"code": "turn_interrupted", "message": "The process that answered this turn ended."}}'
        FROM dead WHERE t.id = dead.id
    ), kept AS (
        INSERT INTO pilothouse.messages (workspace, turn_seq, position, role, body, status)
        SELECT dead.workspace, dead.seq, (SELECT count(*) FROM pilothouse.messages m WHERE m.turn_seq = dead.seq), 'assistant',
            jsonb_build_object('content', dead.answer), 'interrupted'
        FROM dead WHERE dead.answer <> '' ON CONFLICT DO NOTHING
    ), used AS ({TURN_LOST}    )
    SELECT id FROM dead
""")  # noqa: S608  (our own text)
_UNTRACKED = text("""
    SELECT id, seq, task_run_id, finished_at < now() - make_interval(secs => :late) AS late FROM pilothouse.turns
    WHERE tracked IS NULL AND task_run_id IS NOT NULL AND finished_at IS NOT NULL AND seq > :after ORDER BY seq LIMIT :limit
""")


class Tracking:
    """Questions that the upkeep of turns asks, each for many turns at once."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def keep_partials(self, partials: Sequence[tuple[str, str, Sequence[int]]]) -> None:
        """Keep ``(turn id, answer so far, marks)``, so that a crash loses half a second of an answer at most."""
        statement = text("UPDATE pilothouse.turns SET answer = :answer, marks = :marks WHERE id = :id AND status = 'running'")
        async with self._store.begin() as connection:
            await connection.execute(
                statement, [{"id": i, "answer": keepable(answer), "marks": list(marks)} for i, answer, marks in partials]
            )

    async def note_runs(self, runs: Sequence[tuple[str, str | None, str]]) -> None:
        """Keep ``(turn id, flow run id, task run id)``."""
        statement = text("UPDATE pilothouse.turns SET flow_run_id = :flow, task_run_id = :task WHERE id = :id")
        async with self._store.begin() as connection:
            await connection.execute(statement, [{"id": turn, "flow": flow, "task": task} for turn, flow, task in runs])

    async def cancel_requests(self, owner: str) -> list[str]:
        """Ids of this owner's unanswered turns that somebody wants stopped."""
        statement = text(
            "SELECT id FROM pilothouse.turns WHERE owner = :owner AND cancel_requested AND status IN ('queued', 'running')"
        )
        async with self._store.single() as connection:
            return list((await connection.execute(statement, {"owner": owner})).scalars())

    async def end_orphans(self) -> list[str]:
        """End the turns of dead processes as ``interrupted``, keeping what had come; returns their ids."""
        async with self._store.single() as connection:
            return list((await connection.execute(_REAP)).scalars())

    async def untracked(self, limit: int, late_seconds: float, after: int = 0) -> list[dict[str, Any]]:
        """Ended turns whose run has not been seen in Prefect: ``{"id", "seq", "task_run_id", "late"}``, the oldest first.

        ``after`` is the ``seq`` from behind which to look, so that runs never seen do not stand before the others.
        """
        async with self._store.single() as connection:
            rows = await connection.execute(_UNTRACKED, {"limit": limit, "late": late_seconds, "after": after})
            return [dict(row) for row in rows.mappings()]

    async def settle(self, task_run_ids: Sequence[str], *, tracked: bool) -> set[str]:
        """Say once whether these runs are in Prefect; returns those that a turn not settled before has."""
        statement = text(
            "UPDATE pilothouse.turns SET tracked = :tracked WHERE tracked IS NULL AND task_run_id = ANY(:ids)"
            " RETURNING task_run_id"
        )
        async with self._store.single() as connection:
            rows = await connection.execute(statement, {"ids": list(task_run_ids), "tracked": tracked})
            return set(rows.scalars())
