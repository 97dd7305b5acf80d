"""Conversations as flow runs, turns as task runs inside them; a turn may be answered again in a flow run of its own."""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from prefect import flow

from core.config import load_settings
from core.errors import InputInvalid, TurnInterrupted
from core.store.runs import Runs
from core.store.turns import Turns
from core.turns import RunningTurn
from core.workspaces import inner, within
from flows.answering import answering
from flows.holding import SESSIONLESS, OpenRuns, conversation
from tasks.chat import answer_turn
from tasks.retrying import NOWHERE
from tasks.runs import keep_result

HEAD_START = 0.25
"""Seconds that tracking waits for a turn's first token."""
OPENING = 2.0
"""Seconds that tracking (never the answer) waits for a flow run to open before the turn is tracked as a run of its own."""


async def _answered(turn: RunningTurn) -> None:
    # A failed turn is its own task run's failure, told to its reader; the conversation goes on.
    try:
        await answer_turn(turn, return_state=True)  # type: ignore[misc]  # Prefect types the state, not its future
    finally:
        await turn.give_up()
        turn.tracking.set()  # also where Prefect failed before the run had an id: nobody waits for one any more


class Conversations:
    """The turns that this process answers, tracked in flow runs of ``runs``."""

    def __init__(self, runs: OpenRuns) -> None:
        self._runs = runs
        self._closing: asyncio.Task[None] | None = None
        self.turns: dict[str, RunningTurn] = {}
        """The turns being answered, by id, the oldest first."""
        self.on_end: list[Callable[[RunningTurn], None]] = []
        """Each is called with every turn that ended."""

    def take(self, turn: RunningTurn) -> None:
        """Answer ``turn`` from now on, tracked in its session's conversation (calls without a session share one)."""
        turn.behind = next((one.ended for one in reversed(self.turns.values()) if one.session_id == turn.session_id), None)
        self.turns[turn.id] = turn
        turn.start()
        self._runs.spawn(self._track(turn.session_id or inner(SESSIONLESS, turn.workspace), turn))

    async def aclose(self, grace: float) -> None:
        """Let running turns end for ``grace`` seconds, and keep what the others have so far.

        Called again, it waits for the same.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(grace), name="conversations close")
        await asyncio.shield(self._closing)

    async def _close(self, grace: float) -> None:
        if self.turns:
            await asyncio.wait([asyncio.create_task(turn.ended.wait()) for turn in self.turns.values()], timeout=grace)
        await asyncio.gather(*(turn.stop("interrupted") for turn in list(self.turns.values())))

    async def _track(self, key: str, turn: RunningTurn) -> None:
        # The bookkeeping of a run takes milliseconds of CPU; the first token goes first.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEAD_START):
                await turn.spoke.wait()
        try:
            if (inbox := await self._runs.place(conversation, key, OPENING)) is not None:
                inbox.put(partial(_answered, turn))
                await turn.ended.wait()
                await turn.tracking.wait()
            else:
                await _answered(turn)
        finally:
            del self.turns[turn.id]
            for told in self.on_end:
                told(turn)


@flow(name="chat_turn", persist_result=False, result_storage=NOWHERE)
async def chat_turn(turn_id: str | None = None, message_id: str | None = None) -> dict[str, Any]:
    """Answers one turn outside any open conversation: from Prefect's own page, a schedule, or the API.

    Give one of the two ids. Returns the turn's id, status and model.

    Args:
        turn_id: A turn that failed, was cancelled or interrupted: it is answered again.
        message_id: A user's message, by its id in /history: it is asked again as a new turn.
    """
    if (turn_id is None) == (message_id is None):
        raise InputInvalid("Give either turn_id or message_id.", field="parameters.turn_id")
    async with answering(load_settings()) as here:
        workspace = await Turns(here.store).workspace_of(turn_id or (message_id or "").rpartition(".")[0])
        with within(workspace):
            running = await here.desk.again(turn_id) if turn_id else await here.desk.repeat(message_id or "")
            here.turns[running.id] = running
            try:
                await _answered(running)
            finally:
                here.ledger.note(running)
        result = {"turnId": running.id, "status": running.outcome.status if running.outcome else "failed"}
        await keep_result(Runs(here.store), result)
    if result["status"] != "done":
        raise TurnInterrupted(f"The turn ended {result['status']}; its own record says why.")
    return result
