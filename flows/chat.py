"""Conversations as flow runs, turns as task runs inside them.

Opening a flow run costs the server some 40 ms of CPU a call, a task run in an open flow costs it none. So a session's run is
opened beside its first turn, holds the turns that follow, and is closed when the session falls silent; no turn waits for it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar, copy_context
from typing import Any

import structlog
from prefect import flow, tags
from prefect.context import FlowRunContext, TagsContext

from core.config import ChatSettings, load_settings
from core.errors import InputInvalid, TurnInterrupted
from core.store.runs import Runs
from core.turns import RunningTurn
from flows.answering import answering
from flows.presence import Presence
from tasks.chat import answer_turn
from tasks.retrying import NOWHERE
from tasks.runs import keep_result

log = structlog.get_logger(__name__)

SESSIONLESS = "without-session"
HEAD_START = 0.25
"""Seconds that tracking waits for a turn's first token."""
OPENING_AT_ONCE = 4
"""Flow runs in the course of opening: a server that is asked for more opens none of them in time."""
OPENING = 2.0
"""Seconds that tracking (never the answer) waits for a flow run to open before the turn is tracked as a run of its own."""


class OpenConversation:
    """The inbox of one open flow run: turns put in, until it has been silent too long or has held enough."""

    def __init__(self, key: str, idle: float, items: int) -> None:
        self.key = key
        self.flow_run_id: str | None = None
        self.opened = asyncio.Event()
        self.full = False
        self._idle = idle
        self._room = items
        self._inbox: asyncio.Queue[RunningTurn | None] = asyncio.Queue()

    def put(self, turn: RunningTurn) -> None:
        self._room -= 1
        self.full = self._room <= 0
        self._inbox.put_nowait(turn)
        if self.full:
            self._inbox.put_nowait(None)

    def close(self) -> None:
        """Take no more; the run ends once its turns have."""
        self.full = True
        self._inbox.put_nowait(None)

    def left(self) -> list[RunningTurn]:
        """Turns that the run did not take out before it ended."""
        turns = [self._inbox.get_nowait() for _ in range(self._inbox.qsize())]
        return [turn for turn in turns if turn is not None]

    async def next(self) -> RunningTurn | None:
        """The next turn; None when no further one will come."""
        try:
            async with asyncio.timeout(self._idle):
                return await self._inbox.get()
        except TimeoutError:
            self.full = True
            return None


current: ContextVar[OpenConversation | None] = ContextVar("conversation", default=None)


@flow(
    name="conversation",
    flow_run_name="{session_id}",
    persist_result=False,
    result_storage=NOWHERE,
    validate_parameters=False,
)
async def conversation(session_id: str) -> int:
    """Hold a session's turns as task runs while they come; returns their number.

    Opened by the API process that answers them; started by hand there is nothing for it to hold, and it ends at once.
    """
    inbox = current.get()
    context = FlowRunContext.get()
    if inbox is None or context is None or context.flow_run is None:
        return 0
    inbox.flow_run_id = str(context.flow_run.id)
    inbox.opened.set()
    held = 0
    # A task run with tags asks the server for a concurrency slot of each: two calls a turn for nothing.
    with TagsContext(current_tags=set()):
        async with asyncio.TaskGroup() as turns:
            while (turn := await inbox.next()) is not None:
                held += 1
                turns.create_task(_answered(turn))
    return held


async def _answered(turn: RunningTurn) -> None:
    # A failed turn is its own task run's failure, told to its reader; the conversation goes on.
    try:
        await answer_turn(turn, return_state=True)  # type: ignore[misc]  # Prefect types the state, not its future
    finally:
        await turn.give_up()
        turn.tracking.set()  # also where Prefect failed before the run had an id: nobody waits for one any more


class Conversations:
    """The open conversations of this process.

    Made inside the Prefect client context and settings that its runs shall have: they are kept and used for each run.
    ``tagged`` are the tags of its flow runs.
    """

    def __init__(self, settings: ChatSettings, presence: Presence, tagged: Iterable[str] = ()) -> None:
        self._settings = settings
        self._tags = tuple(tagged)
        self._presence = presence
        self._context: Context = copy_context()
        self._open: dict[str, OpenConversation] = {}
        self._opening: set[OpenConversation] = set()
        self._runs: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        self.turns: dict[str, RunningTurn] = {}
        """The turns being answered, by id, the oldest first."""
        self.on_end: list[Callable[[RunningTurn], None]] = []
        """Each is called with every turn that ended."""

    def take(self, turn: RunningTurn) -> None:
        """Answer ``turn`` from now on, tracked in its session's conversation (calls without a session share one)."""
        key = turn.session_id or SESSIONLESS
        turn.behind = next((one.ended for one in reversed(self.turns.values()) if one.session_id == turn.session_id), None)
        self.turns[turn.id] = turn
        turn.start()
        self._spawn(self._track(key, turn))

    def runs(self) -> set[str]:
        """Ids of the flow runs that are open now."""
        return {inbox.flow_run_id for inbox in self._open.values() if inbox.flow_run_id is not None}

    def opening(self) -> bool:
        """Whether a flow run is being opened, whose id is not known yet."""
        return any(inbox.flow_run_id is None for inbox in self._open.values())

    async def aclose(self, grace: float) -> None:
        """Let running turns end for ``grace`` seconds, keep what the others have so far, and close the flow runs.

        Called again, it waits for the same.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(grace), name="conversations close")
        await asyncio.shield(self._closing)

    async def _close(self, grace: float) -> None:
        if self.turns:
            await asyncio.wait([asyncio.create_task(turn.ended.wait()) for turn in self.turns.values()], timeout=grace)
        await asyncio.gather(*(turn.stop("interrupted") for turn in list(self.turns.values())))
        for inbox in self._open.values():
            inbox.close()
        if self._runs:
            await asyncio.wait(self._runs, timeout=3.0)

    async def _track(self, key: str, turn: RunningTurn) -> None:
        # The bookkeeping of a run takes milliseconds of CPU; the first token goes first.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEAD_START):
                await turn.voice.spoke.wait()
        try:
            inbox = self.inbox(key) if self._presence.up else None
            if inbox is not None and await _opens(inbox):
                inbox.put(turn)
                await turn.ended.wait()
                await turn.tracking.wait()
            else:
                await _answered(turn)
        finally:
            del self.turns[turn.id]
            for told in self.on_end:
                told(turn)

    def inbox(self, key: str) -> OpenConversation | None:
        """The open conversation of that key, else one that is opened from now on; None while enough others are opening."""
        inbox = self._open.get(key)
        if inbox is None or inbox.full:
            self._opening = {other for other in self._opening if not other.opened.is_set() and not other.full}
            if len(self._opening) >= OPENING_AT_ONCE:
                return None
            inbox = OpenConversation(key, self._settings.run_idle, self._settings.run_items)
            self._open[key] = inbox
            self._opening.add(inbox)
            self._spawn(self._hold(inbox))
        return inbox

    async def _hold(self, inbox: OpenConversation) -> None:
        current.set(inbox)
        try:
            with tags(*self._tags):
                await conversation(inbox.key)
        except Exception as error:  # noqa: BLE001  (whatever Prefect raises: turns are answered all the same)
            log.warning("conversation_run_lost", flow_run_id=inbox.flow_run_id, reason=type(error).__name__)
        finally:
            inbox.full = True
            if self._open.get(inbox.key) is inbox:
                del self._open[inbox.key]
            for turn in inbox.left():
                self._spawn(_answered(turn))

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work, context=self._context.copy())
        self._runs.add(task)
        task.add_done_callback(self._runs.discard)


async def _opens(inbox: OpenConversation) -> bool:
    try:
        async with asyncio.timeout(OPENING):
            await inbox.opened.wait()
    except TimeoutError:
        return False
    return not inbox.full


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
