"""A tool run as FastGPT follows it: comments while it lasts, then one frame that always comes.

A client of generation A that loses its connection sends the same request again every second, for ever. So a run goes on
without its reader, and the same request joins it (see ``flows.tools``).
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from time import monotonic
from typing import Any

import orjson
import structlog

from api.fastgpt.wires import Wire
from api.sse import PING, EventStream
from core.errors import PilothouseError, ToolInterrupted, ToolTimedOut
from core.tools.calls import CallResult

log = structlog.get_logger(__name__)
Call = Callable[[], Coroutine[Any, Any, CallResult]]
Outcome = CallResult | PilothouseError
INTERNAL = "Something went wrong inside Pilothouse; its log has the details."
STOPPED = ToolInterrupted("The server was stopped while the tool ran; run it again.")
FIRST_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Cache-Control",
}
"""Generation A's, and B's."""


class Runs:
    """The runs of this process that FastGPT waits for; they go on when it leaves."""

    def __init__(self, ping: float, limit: float) -> None:
        self._ping = ping
        self._limit = limit
        self._running: set[asyncio.Task[Outcome]] = set()
        self._closing: asyncio.Future[None] | None = None

    def stream(self, wire: Wire, call: Call) -> EventStream:
        """The response that runs ``call`` and tells of it."""
        return stream_of(wire, self._frames(wire, self._start(call)))

    async def outcome(self, call: Call) -> Outcome:
        """What came of ``call``, within the limit."""
        work = self._start(call)
        await self._wait(work, self._limit)
        return self._so_far(work)

    async def aclose(self, grace: float) -> None:
        """Let what runs end by itself for ``grace`` seconds; then everyone who waits is told that the server stops."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=grace)
        if not self._end().done():
            self._end().set_result(None)

    def _start(self, call: Call) -> asyncio.Task[Outcome]:
        work = asyncio.create_task(_outcome(call))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        return work

    async def _frames(self, wire: Wire, work: asyncio.Task[Outcome]) -> AsyncGenerator[bytes, None]:
        until = monotonic() + self._limit
        while not work.done() and not self._end().done() and (left := until - monotonic()) > 0:
            await self._wait(work, min(self._ping, left))
            if not work.done():
                yield PING
        yield last_frame(wire, self._so_far(work))

    async def _wait(self, work: asyncio.Task[Outcome], seconds: float) -> None:
        ends: set[asyncio.Future[Any]] = {work, self._end()}
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    def _so_far(self, work: asyncio.Task[Outcome]) -> Outcome:
        if work.done():
            return STOPPED if work.cancelled() else work.result()
        return STOPPED if self._end().done() else ToolTimedOut(f"The tool did not end within {self._limit:g} s.")

    def _end(self) -> asyncio.Future[None]:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_future()
        return self._closing


def stream_of(wire: Wire, frames: AsyncGenerator[bytes, None]) -> EventStream:
    """The response with the headers of its generation."""
    return EventStream(frames, None if wire == "c" else FIRST_HEADERS)


def last_frame(wire: Wire, outcome: Outcome) -> bytes:
    """What a tool gave; C takes the outputs alone. In A a tool's failure is a kind of response, and only our own an error."""
    if isinstance(outcome, CallResult):
        return frame({"type": "response", "data": outcome.output if wire == "c" else {"output": outcome.output}})
    if wire == "a" and outcome.code != PilothouseError.code:
        return frame({"type": "response", "data": {"error": outcome.message}})
    return frame({"type": "error", "data": outcome.message})


def frame(message: Mapping[str, Any]) -> bytes:
    """One line of JSON in UTF-8, unescaped but for what cannot be UTF-8 (half of a surrogate pair)."""
    try:
        line = orjson.dumps(message)
    except TypeError:
        line = json.dumps(message).encode()
    return b"data: %b\n\n" % line


async def _outcome(call: Call) -> Outcome:
    """Raises nothing but the end of its own task."""
    try:
        return await call()
    except PilothouseError as error:
        return error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return STOPPED
    except Exception as error:
        log.error("tool run failed", exc_info=error)
        return PilothouseError(INTERNAL)
