"""A call while it runs: the tool, its files, the outcome into the store.

Knows nothing of HTTP or Prefect: whoever runs ``attempt`` decides when to try again, and is told by the error's ``permanent``.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import structlog
from pydantic import BaseModel

from core.errors import DatabaseUnavailable, PilothouseError, ToolFailed, ToolInterrupted, ToolTimedOut, told
from core.keeping import Keeper, Keeping
from core.store.keepable import as_json
from core.store.tool_runs import CallOutcome, NewToolRun, ToolRuns
from core.tools.calls import CallResult, Link
from core.tools.tool import Bench, File, Tool

log = structlog.get_logger(__name__)

LIMIT = 120.0
"""Seconds that a tool may take; what it uses (drawing, a database) has a shorter limit of its own."""
STOPPED = "The server was stopped while the tool ran; call it again."
CANCELLED = "The turn that called the tool was stopped."
BROKE = "Something went wrong inside the tool; Pilothouse's log has the details under its run."
Told = Callable[["RunningCall"], Awaitable[None]]


class RunningCall:
    """One call of this process, from its row to its outcome. A later attempt goes on where the one before failed.

    ``told`` is awaited with the call once it has ended, before whoever called hears of the end.
    """

    def __init__(
        self,
        run: NewToolRun,
        *,
        tool: Tool,
        inputs: BaseModel,
        bench: Bench,
        keeper: Keeper,
        runs: ToolRuns,
        told: Told | None = None,
    ) -> None:
        self.id = run.id
        self.run = run
        self.outcome: CallOutcome | None = None
        self.ended = asyncio.Event()
        self.unkept = False
        """The outcome is not in the store, which still believes the call to be running; see ``keep``."""
        self._tool = tool
        self._inputs = inputs
        self._bench = bench
        self._keeper = keeper
        self._runs = runs
        self._told = told
        self._made: Mapping[str, Any] | None = None
        self._taken: dict[File, Keeping] = {}
        self._urls: dict[File, str] = {}
        self._error: PilothouseError | None = None
        self._tracked: tuple[str | None, str | None] = (None, None)
        self._work: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._born = time.monotonic()

    def __str__(self) -> str:
        return self.id

    @property
    def failed(self) -> bool:
        """It has ended without a result."""
        return self.outcome is not None and self.outcome.status != "done"

    def noted(self, task_run_id: str, flow_run_id: str | None) -> None:
        """Say by which runs the call is tracked."""
        self._tracked = flow_run_id, task_run_id

    async def attempt(self) -> None:
        """Run the tool and keep its files, except for what an earlier attempt did; then the call has ended.

        Raises the error that ended the call, or one that is not permanent: then another attempt makes sense.
        """
        await self._tried(self._made_and_kept)
        await self._end()
        if self._error is not None:
            raise self._error

    async def make(self) -> None:
        """Run the tool alone: ``files`` are to be kept and ``noted_file``, before an attempt ends the call. Raises as it does."""
        await self._tried(self._make)
        if self._error is not None:
            await self._end()
            raise self._error

    async def _tried(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._ending is not None:
            return
        self._error = None
        # A task of its own, so that stopping it is not taken for the end of whoever runs the attempt.
        self._work = asyncio.create_task(work(), name=f"tool run {self.id}")
        try:
            await self._work
        except asyncio.CancelledError:
            if self._error is None:  # not ``stop``: whoever runs the attempt is ended
                self._error = ToolInterrupted(STOPPED)
                await self._end()
                raise
        except PilothouseError as error:
            self._error = error
            if not error.permanent:
                raise
        except Exception as error:
            log.exception("tool_broke", tool=self._tool.id, tool_run_id=self.id)
            self._error = ToolFailed(BROKE)
            self._error.__cause__ = error

    async def stop(self, why: str) -> None:
        """End the call, because its turn was stopped or because the process ends."""
        if self._ending is None:
            self._error = ToolInterrupted(why)
            if self._work is not None:
                self._work.cancel()
            await self._end()

    async def give_up(self, error: PilothouseError | None = None) -> None:
        """End a call that nobody will attempt again, with its own last error or ``error``; does nothing when it has ended."""
        if self._ending is None:
            self._error = self._error or error or ToolFailed("The tool could not be run; Pilothouse's log has the reason.")
        await self._end()

    async def keep(self) -> None:
        """Save the outcome that could not be saved when the call ended. Raises ``DatabaseUnavailable``."""
        if self.unkept and self.outcome is not None:
            await self._runs.finish(self.id, self.run.owner, self.outcome)
            self.unkept = False

    def result(self) -> CallResult:
        """What the tool gave, once the call has ended. Raises what it ended with."""
        if self._error is not None:
            raise self._error
        assert self.outcome is not None
        assert self.outcome.output is not None
        links = (Link(url, file.name, file.media_type, file.alt) for file, url in self._urls.items())
        return CallResult(self.id, dict(self.outcome.output), tuple(links))

    @property
    def files(self) -> list[Keeping]:
        """What the tool made that is not kept yet. Raises ``ToolFailed`` when it is too large."""
        for value in (self._made or {}).values():
            if isinstance(value, File) and value not in self._taken:
                self._taken[value] = self._keeper.taken(value, self.run.session_id, self.id)
        return [kept for file, kept in self._taken.items() if file not in self._urls]

    def noted_file(self, kept: Keeping, url: str) -> None:
        """Say where a file is kept."""
        self._urls[kept.file] = url

    async def _made_and_kept(self) -> None:
        await self._make()
        for kept in self.files:
            self.noted_file(kept, await self._keeper.keep(kept))
        as_json(self._output())  # what cannot be kept is the tool's mistake, found here

    async def _make(self) -> None:
        if self._made is not None:
            return
        try:
            async with asyncio.timeout(LIMIT) as limit:
                self._made = await self._tool.run(self._inputs, self._bench)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ToolTimedOut(f"The tool took longer than {LIMIT:g} seconds.") from error

    def _output(self) -> dict[str, Any]:
        made = {output.key: (self._made or {})[output.key] for output in self._tool.outputs}
        return {key: self._urls[value] if isinstance(value, File) else value for key, value in made.items()}

    async def _end(self) -> None:
        # A task of its own: whoever is cancelled meanwhile, the outcome is saved, once.
        if self._ending is None:
            self._ending = asyncio.create_task(self._conclude(), name=f"end of tool run {self.id}")
        await asyncio.shield(self._ending)

    async def _conclude(self) -> None:
        self.outcome = self._as_it_ended()
        try:
            if not await self._runs.finish(self.id, self.run.owner, self.outcome):
                log.warning("outcome_without_tool_run", tool_run_id=self.id)
        except DatabaseUnavailable:
            self.unkept = True
        except Exception:  # whatever the database refuses of it, the call still ends
            log.exception("outcome_refused", tool_run_id=self.id)
            self._error, self.unkept = ToolFailed(BROKE), True
            self.outcome = self._as_it_ended()
        finally:
            try:
                if self._told is not None:
                    await self._told(self)
            finally:
                self.ended.set()

    def _as_it_ended(self) -> CallOutcome:
        flow_run_id, task_run_id = self._tracked
        error = self._error
        return CallOutcome(
            status="done" if error is None else "interrupted" if isinstance(error, ToolInterrupted) else "failed",
            output=self._output() if error is None else None,
            error=None if error is None else told(error),
            duration_ms=round((time.monotonic() - self._born) * 1000),
            flow_run_id=flow_run_id,
            task_run_id=task_run_id,
        )
