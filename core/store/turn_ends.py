"""The end of a turn in the database: its row, its message and its line in the ledger of usage, in one statement."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from core.store.keepable import as_json, keepable
from core.store.usage import TURN_USED
from core.usage import Cost

if TYPE_CHECKING:
    from core.store.turns import Outcome

END = text(f"""
    WITH turn AS (
        UPDATE pilothouse.turns SET status = :status, answer = :answer, marks = :marks, provider = :provider, model = :model,
            usage = CAST(:usage AS jsonb), finish_reason = :finish_reason, error = CAST(:error AS jsonb),
            first_token_ms = :first_token_ms, duration_ms = :duration_ms, finished_at = now(),
            attempts = CAST(:attempts AS jsonb), model_first_ms = :model_first_ms, model_ms = :model_ms,
            model_tokens = :model_tokens
        WHERE id = :id AND owner = :owner AND status IN ('queued', 'running', 'interrupted') RETURNING seq, workspace, token_id
    ), kept AS (
        INSERT INTO pilothouse.messages (workspace, turn_seq, position, role, body, status)
        SELECT turn.workspace, turn.seq, :position, 'assistant', CAST(:message AS jsonb), :status
        FROM turn WHERE CAST(:message AS jsonb) IS NOT NULL
        ON CONFLICT (turn_seq, position) DO UPDATE SET body = EXCLUDED.body, status = EXCLUDED.status
    ), dropped AS (
        UPDATE pilothouse.messages SET status = 'failed' FROM turn WHERE turn_seq = turn.seq AND :status = 'failed'
    ), used AS ({TURN_USED}    )
    SELECT seq FROM turn
""")  # noqa: S608  (our own text)
_FIGURES = ("first_token_ms", "duration_ms", "model_first_ms", "model_ms", "model_tokens", "prompt_tokens", "completion_tokens")


def end_values(turn_id: str, owner: str, position: int, outcome: "Outcome", cost: Cost) -> dict[str, Any]:
    """What ``END`` is asked with. A turn that failed or broke off is an error."""
    return {
        "id": turn_id,
        "owner": owner,
        "position": position,
        "status": outcome.status,
        "answer": keepable(outcome.answer),
        "marks": list(outcome.marks),
        "message": None if outcome.message is None else as_json({k: v for k, v in outcome.message.items() if k != "role"}),
        "provider": outcome.provider,
        "model": outcome.model,
        "usage": as_json(outcome.usage),
        "finish_reason": outcome.finish_reason,
        "error": as_json(outcome.error),
        "attempts": as_json(outcome.attempts),
        "answered": int(outcome.answered),
        "errors": int(outcome.status in ("failed", "interrupted")),
        "cost": cost.amount,
        "currency": cost.currency,
    } | {name: getattr(outcome, name) for name in _FIGURES}
