"""Long-lived flow runs that hold work as task runs: the turns of a conversation, the tool calls of a process.

Opening a flow run costs the server some 40 ms of CPU a call, a task run in an open flow costs it none. So a run is opened beside
the first piece of its work, holds what follows, and is closed when nothing comes for long; no work waits for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextvars import Context, ContextVar, copy_context
from typing import Protocol

import httpx
import structlog
from prefect import flow, tags
from prefect.context import FlowRunContext, TagsContext

from core.workspaces import workspace_of
from flows.belonging import workspace_tag
from flows.presence import Presence
from tasks.retrying import NOWHERE

log = structlog.get_logger(__name__)

SESSIONLESS = "without-session"
"""Key of the conversation that turns without a session share."""
OPENING_AT_ONCE = 4
"""Flow runs in the course of opening: a server that is asked for more opens none of them in time."""
CLOSING = 3.0
"""Seconds that flow runs get to end when the process does."""

Work = Callable[[], Awaitable[None]]
"""A piece of work: runs as a task run, inside a flow run or on its own, and raises nothing that concerns the others."""


class Inbox:
    """The inbox of one open flow run: work put in, until it has been silent too long or has been closed.

    ``room`` says how much it should still hold; it takes more for as long as there is no other run to go on with.
    """

    def __init__(self, key: str, idle: float, items: int) -> None:
        self.key = key
        self.flow_run_id: str | None = None
        self.opened = asyncio.Event()
        self.closed = False
        self.room = items
        self.few_left = items // 3
        """With less ``room`` than this another run is opened, to be there when none is left."""
        self._idle = idle
        self._queue: asyncio.Queue[Work | None] = asyncio.Queue()

    def put(self, work: Work) -> None:
        self.room -= 1
        self._queue.put_nowait(work)

    def close(self) -> None:
        """Take no more; the run ends once its work has."""
        self.closed = True
        self._queue.put_nowait(None)

    def left(self) -> list[Work]:
        """What the run did not take out before it ended."""
        found = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        return [work for work in found if work is not None]

    async def next(self) -> Work | None:
        """The next piece; None when no further one will come."""
        try:
            async with asyncio.timeout(self._idle):
                return await self._queue.get()
        except TimeoutError:
            self.closed = True
            return None

    async def opens(self, within: float) -> bool:
        """Whether it has a flow run that takes work, ``within`` that many seconds."""
        try:
            async with asyncio.timeout(within):
                await self.opened.wait()
        except TimeoutError:
            return False
        return not self.closed


current: ContextVar[Inbox | None] = ContextVar("inbox", default=None)


class HoldingFlow(Protocol):
    """A flow whose run takes work out of the ``current`` inbox; called with a key it runs until no more comes."""

    name: str

    def __call__(self, key: str, /) -> Awaitable[int]: ...


@flow(
    name="conversation",
    flow_run_name="{session_id}",
    persist_result=False,
    result_storage=NOWHERE,
    validate_parameters=False,
)
async def conversation(session_id: str) -> int:
    """Hold a session's turns and the tool calls of these turns as task runs while they come; returns their number.

    Opened by the API process that answers them; started by hand there is nothing for it to hold, and it ends at once.
    """
    return await _held()


@flow(
    name="tool_calls",
    flow_run_name="{process}",
    persist_result=False,
    result_storage=NOWHERE,
    validate_parameters=False,
)
async def tool_calls(process: str) -> int:
    """Hold a process's tool calls as task runs while they come; returns their number.

    Opened by the API process that is asked for them, as a conversation is.
    """
    return await _held()


@flow(
    name="notices",
    flow_run_name="{process}",
    persist_result=False,
    result_storage=NOWHERE,
    validate_parameters=False,
)
async def notices(process: str) -> int:
    """Hold the messages that a process sends to channels as task runs while they come; returns their number.

    Opened by the API process that sends them, as a conversation is.
    """
    return await _held()


async def _held() -> int:
    inbox = current.get()
    context = FlowRunContext.get()
    if inbox is None or context is None or context.flow_run is None:
        return 0
    inbox.flow_run_id = str(context.flow_run.id)
    inbox.opened.set()
    held = 0
    # A task run with tags asks the server for a concurrency slot of each: two calls a task run for nothing.
    with TagsContext(current_tags=set()):
        async with asyncio.TaskGroup() as group:
            while (work := await inbox.next()) is not None:
                held += 1
                group.create_task(_done(work))
    return held


async def _done(work: Work) -> None:
    try:
        await work()
    except Exception:  # else it would end its neighbours
        log.exception("held_work_failed")


class OpenRuns:
    """The open flow runs of this process, each of a flow and a key.

    Made inside the Prefect client context and settings that its runs shall have: they are kept and used for each run. A run is
    closed after ``idle`` seconds without work or ``items`` pieces of it. ``tagged`` are the tags of the flow runs.
    """

    def __init__(self, presence: Presence, *, idle: float, items: int, tagged: Iterable[str] = ()) -> None:
        self._presence = presence
        self._idle = idle
        self._items = items
        self._tags = tuple(tagged)
        self._context: Context = copy_context()
        self._open: dict[tuple[str, str], Inbox] = {}
        self._next: dict[tuple[str, str], Inbox] = {}
        self._held: set[Inbox] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: "asyncio._CoroutineLike[None]") -> "asyncio.Task[None]":
        """Run ``work`` in a task that has this process's Prefect client around it, and nothing of the caller's context."""
        task = asyncio.get_running_loop().create_task(work, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def place(self, flow: HoldingFlow, key: str, within: float) -> Inbox | None:
        """An open run to put one piece of work into; None where none has opened ``within`` that many seconds."""
        inbox = self.inbox(flow, key) if self._presence.up else None
        return inbox if inbox is not None and await inbox.opens(within) else None

    def inbox(self, flow: HoldingFlow, key: str) -> Inbox | None:
        """The open run of that key, else one that is opened from now on; None while enough others are opening."""
        place = flow.name, key
        inbox = self._open.get(place)
        if inbox is None or inbox.closed:
            inbox = self._next.pop(place, None) or self._opened(flow, key)
        elif inbox.room < inbox.few_left:
            following = self._next.pop(place, None) or self._opened(flow, key)
            if following is not None and following.opened.is_set() and inbox.room <= 0:
                inbox.close()
                inbox = following
            elif following is not None:
                self._next[place] = following
        if inbox is not None:
            self._open[place] = inbox
        return inbox

    def _opened(self, flow: HoldingFlow, key: str) -> Inbox | None:
        if sum(not inbox.opened.is_set() and not inbox.closed for inbox in self._held) >= OPENING_AT_ONCE:
            return None
        inbox = Inbox(key, self._idle, self._items)
        self._held.add(inbox)
        self.spawn(self._hold(flow, inbox))
        return inbox

    def ids(self) -> set[str]:
        """Ids of the flow runs that are open now."""
        return {inbox.flow_run_id for inbox in self._held if inbox.flow_run_id is not None}

    def opening(self) -> bool:
        """Whether a flow run is being opened, whose id is not known yet."""
        return any(inbox.flow_run_id is None for inbox in self._held)

    async def aclose(self) -> None:
        """Let the flow runs end; what they hold has ended already."""
        for inbox in self._held:
            inbox.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSING)

    async def _hold(self, flow: HoldingFlow, inbox: Inbox) -> None:
        current.set(inbox)
        try:
            with tags(*self._tags, workspace_tag(workspace_of(inbox.key))):
                try:
                    await flow(inbox.key)
                except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                    if inbox.flow_run_id is not None:
                        raise
                    await flow(inbox.key)  # the server had just closed the kept connection
        except Exception as error:  # noqa: BLE001  (whatever Prefect raises: the work is done all the same)
            log.warning("flow_run_lost", flow=flow.name, flow_run_id=inbox.flow_run_id, reason=type(error).__name__)
        finally:
            inbox.closed = True
            inbox.opened.set()  # nobody waits for it any more
            self._held.discard(inbox)
            for runs in (self._open, self._next):
                if runs.get((flow.name, inbox.key)) is inbox:
                    del runs[flow.name, inbox.key]
            for work in inbox.left():
                self.spawn(_done(work))
