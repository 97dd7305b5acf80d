"""Events on their way to Prefect: kept small while it is away, sent in order when it is back, dropped and counted beyond a bound.

Prefect's own queue holds an event with the whole context it was made in, some 12 kB each; here it is a compressed line, under
1 kB. Prefect lets its events go to a client of its choosing among few; one of them, made for process pools, hands each event to
a queue's ``put``, and that queue is this relay.
"""

import asyncio
import time
import zlib
from collections import deque

import structlog
from prefect.events.clients import PrefectEventsClient
from prefect.events.schemas.events import Event
from prefect.events.worker import EventsWorker, ProcessPoolForwardingEventsClient

log = structlog.get_logger(__name__)

FOREVER = 1_000_000_000
"""Reconnection attempts, one a second."""
WARN_EVERY = 60.0
REFUSED_PAUSE = 15.0
AS_THEY_COME = 500
"""Events held as they are, which costs no CPU; those behind them wait for a server that is away."""
TASK_RUN = "prefect.task-run."


class EventRelay:
    """A bounded backlog of events and the one connection that sends it.

    ``put`` and the sending both run in the loop of Prefect's events worker, which is another thread's.
    """

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self.dropped_runs: deque[str] = deque()
        """Ids of the task runs of which an event was dropped; whoever notes them takes them off."""
        self._limit = limit
        self._backlog: deque[Event | bytes] = deque()
        self._more = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._warned = -WARN_EVERY

    def install(self) -> None:
        """Make this process's events come here; call before the first event."""
        EventsWorker.set_client_override(ProcessPoolForwardingEventsClient, event_queue=self)

    def __len__(self) -> int:
        return len(self._backlog)

    def put(self, item: tuple[str, Event]) -> None:
        """Take an event from Prefect's worker."""
        event = item[1]
        if len(self._backlog) >= self._limit:
            self._drop(event)
            return
        small = len(self._backlog) >= AS_THEY_COME
        self._backlog.append(zlib.compress(event.model_dump_json().encode(), 1) if small else event)
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send(), name="events to prefect")
        self._more.set()

    async def drain(self, within: float) -> bool:
        """Wait until everything was sent; False when it was not ``within`` that many seconds."""
        deadline = time.monotonic() + within
        while self._backlog and time.monotonic() < deadline:  # noqa: ASYNC110  (another thread's loop empties it)
            await asyncio.sleep(0.05)
        return not self._backlog

    async def _send(self) -> None:
        while True:
            try:
                await self._send_on()
            except Exception:
                # Refused credentials, a proxy's answer: whatever it is may be mended while the backlog waits.
                log.exception("prefect_events_not_taken", backlog=len(self._backlog))
                await asyncio.sleep(REFUSED_PAUSE)

    async def _send_on(self) -> None:
        async with PrefectEventsClient(reconnection_attempts=FOREVER, checkpoint_interval=5.0) as client:
            while True:
                while self._backlog:
                    # Taken off only once sent, so that the backlog's length says what Prefect has not got yet.
                    held = self._backlog[0]
                    event = held if isinstance(held, Event) else Event.model_validate_json(zlib.decompress(held))
                    await client.emit(event)
                    self._backlog.popleft()
                self._more.clear()
                await self._more.wait()

    def _drop(self, event: Event) -> None:
        self.dropped += 1
        run = event.resource.id
        if run.startswith(TASK_RUN):
            self.dropped_runs.append(run.removeprefix(TASK_RUN))
        if time.monotonic() - self._warned > WARN_EVERY:
            self._warned = time.monotonic()
            log.warning("prefect_events_dropped", dropped=self.dropped, backlog=len(self._backlog))
