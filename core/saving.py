"""Keeping an answer through a database restart."""

import asyncio
import random

import structlog

from core.errors import DatabaseUnavailable
from core.store.turns import NewTurn, Outcome, Turns

log = structlog.get_logger(__name__)

TRIES = 6
"""About half a minute in all: long enough for a database restart."""


async def save(turns: Turns, turn: NewTurn, outcome: Outcome) -> None:
    """Finish the turn in the store. Raises ``DatabaseUnavailable`` when it stayed away."""
    for tried in range(TRIES):
        try:
            kept = await turns.finish(turn.id, turn.owner, len(turn.messages), outcome)
        except DatabaseUnavailable:
            if tried == TRIES - 1:
                log.error("answer_not_saved", turn_id=turn.id)
                raise
            await asyncio.sleep(2**tried * random.uniform(0.5, 1.0))  # noqa: S311  (jitter)  # nosec B311
        else:
            if not kept:
                log.warning("answer_without_turn", turn_id=turn.id)
            return
