"""Calls of tools: each a row of ours and a task run of Prefect's, whoever asked for it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import structlog

from core.errors import PilothouseError, ToolInterrupted
from core.ids import new_id
from core.keeping import Keeper
from core.quotas.gate import Gate
from core.store.tool_runs import NewToolRun, ToolRunRecord, ToolRuns
from core.tools.calls import CallResult, ToolCall
from core.tools.running import CANCELLED, STOPPED, RunningCall, Told
from core.tools.shelf import Shelf, shelf
from core.tools.tool import Bench
from core.workspaces import inner
from flows.holding import SESSIONLESS, OpenRuns, conversation, tool_calls
from tasks.tools import run_tool

log = structlog.get_logger(__name__)

OPENING = 0.25
"""Seconds that a call waits for a flow run to open before it is tracked as a run of its own."""
LOOK = 0.05
LONGEST_LOOK = 1.0
"""Seconds between two looks at a run of another process, growing from the one to the other."""


class ToolCalls:
    """The calls of this process, whose ``boot_id`` owns their rows.

    They are tracked in flow runs of ``open_runs``; without it, in the flow run or task run that a call is made from. ``told`` is
    as ``RunningCall`` takes it.
    """

    def __init__(
        self,
        boot_id: str,
        runs: ToolRuns,
        bench: Bench,
        keeper: Keeper,
        open_runs: OpenRuns | None = None,
        tools: Shelf | None = None,
        told: Told | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._boot_id = boot_id
        self._gate = gate
        self._store = runs
        self.bench = bench
        self._keeper = keeper
        self._open_runs = open_runs
        self._shelf = tools or shelf()
        self._told = told
        self._same: dict[bytes, asyncio.Future[RunningCall | ToolRunRecord]] = {}
        """By digest, the calls that the same call joins."""
        self._gates = {tool.id: asyncio.Semaphore(tool.at_once) for tool in self._shelf.tools}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        self.calls: dict[str, RunningCall] = {}
        """The calls that run, by id."""
        self.on_end: list[Callable[[RunningCall], None]] = []
        """Each is called with every call that ended."""

    async def call(self, asked: ToolCall) -> CallResult:
        """Run a tool to its end, even if the caller leaves; only a turn that is stopped takes its calls with it.

        Raises ``NotFound``, ``InputInvalid``, ``QuotaSpent`` and ``DatabaseUnavailable`` before anything runs; then
        ``ToolFailed``, ``ToolTimedOut``, ``ToolInterrupted``, ``StoreUnavailable``, ``StoreRefused`` and whatever else it says.
        """
        while True:
            if self._closing is not None:
                raise ToolInterrupted(STOPPED, retry_after=2)
            begun = await self._begun(asked)
            if isinstance(begun, RunningCall):
                return await self._result(begun, asked)
            record = await self._ended(begun)
            if record.status != "interrupted":
                return CallResult(record.id, record.given())

    async def aclose(self, grace: float) -> None:
        """Take no more calls, let those that run end for ``grace`` seconds, and end the others as interrupted.

        Called again, it waits for the same.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(grace), name="tool calls close")
        await asyncio.shield(self._closing)

    async def _close(self, grace: float) -> None:
        if self.calls:
            await asyncio.wait([asyncio.create_task(call.ended.wait()) for call in self.calls.values()], timeout=grace)
        await asyncio.gather(*(call.stop(STOPPED) for call in list(self.calls.values())))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)

    async def _begun(self, asked: ToolCall) -> RunningCall | ToolRunRecord:
        tool = self._shelf.find(asked.tool_id)
        inputs = tool.checked(asked.inputs)
        run = NewToolRun(
            id=new_id(),
            tool_id=tool.id,
            tool_version=tool.version,
            source=asked.source,
            owner=self._boot_id,
            digest=asked.digest(),
            inputs=asked.inputs,
            token_id=asked.token_id,
            session_id=asked.session_id,
            turn_id=asked.turn_id,
            repeatable=asked.source == "fastgpt",
            workspace=asked.workspace,
        )
        call = RunningCall(
            run, tool=tool, inputs=inputs, bench=self.bench, keeper=self._keeper, runs=self._store, told=self._ended_call
        )
        if self._gate is not None:
            await self._gate.tool_run(run.id, run.workspace, run.token_id)
        begun: RunningCall | ToolRunRecord | None = None
        try:
            begun = await self._begun_once(call) if run.repeatable else await self._begun_alone(call)
        finally:
            if begun is not call and self._gate is not None:
                await asyncio.shield(self._gate.settle(run.id))
        return begun

    async def _begun_alone(self, call: RunningCall) -> RunningCall:
        await self._store.begin(call.run)
        self._start(call)
        return call

    async def _ended_call(self, call: RunningCall) -> None:
        told = [self._told(call)] if self._told is not None else []
        if self._gate is not None:
            told.append(self._gate.settle(call.id, tool_runs=int(not call.failed)))
        await asyncio.gather(*told)

    async def _begun_once(self, call: RunningCall) -> RunningCall | ToolRunRecord:
        """``call``, or what the same call began before it: here, or in another process of which the row tells."""
        digest = call.run.digest
        while (beginning := self._same.get(digest)) is not None:
            await asyncio.wait([beginning])
            if beginning.cancelled():
                continue
            begun = beginning.result()
            if isinstance(begun, ToolRunRecord) or not begun.failed:
                return begun
            self._forget(begun)
        self._same[digest] = beginning = asyncio.get_running_loop().create_future()
        try:
            found = await self._store.begin(call.run) or call
        except BaseException:
            del self._same[digest]
            beginning.cancel()  # whoever waits for it begins anew
            raise
        beginning.set_result(found)
        if found is call:
            self._start(call)
        else:
            del self._same[digest]
        return found

    def _start(self, call: RunningCall) -> None:
        self.calls[call.id] = call
        if self._open_runs is not None:
            self._open_runs.spawn(self._track(self._open_runs, call))
        else:
            task = asyncio.create_task(self._run(call), name=f"call {call.id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _track(self, open_runs: OpenRuns, call: RunningCall) -> None:
        if call.run.source == "chat":
            key = call.run.session_id or inner(SESSIONLESS, call.run.workspace)
            inbox = await open_runs.place(conversation, key, OPENING)
        else:
            inbox = await open_runs.place(tool_calls, inner(self._boot_id, call.run.workspace), OPENING)
        if inbox is not None:
            inbox.put(partial(self._run, call))
        else:
            await self._run(call)

    async def _run(self, call: RunningCall) -> None:
        try:
            async with self._gates[call.run.tool_id]:
                await run_tool(call, return_state=True)  # type: ignore[misc]  # Prefect types the state, not its future
        except Exception:
            # Prefect's own failure: of what the call raises, the task run's state tells.
            log.exception("tool_run_not_tracked", tool_run_id=call.id)
            with suppress(PilothouseError):
                await call.attempt()
        finally:
            await call.give_up()
            del self.calls[call.id]
            self._forget(call)
            for told in self.on_end:
                told(call)

    def _forget(self, call: RunningCall) -> None:
        beginning = self._same.get(call.run.digest)
        if beginning is not None and beginning.done() and beginning.result() is call:
            del self._same[call.run.digest]

    async def _result(self, call: RunningCall, asked: ToolCall) -> CallResult:
        try:
            await call.ended.wait()
        except asyncio.CancelledError:
            if asked.source == "chat":
                await asyncio.shield(call.stop(CANCELLED))
            raise
        return call.result()

    async def _ended(self, run: ToolRunRecord) -> ToolRunRecord:
        """The run of another process once it has ended."""
        pause = LOOK
        while not run.ended:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_LOOK)
            run = await self._store.get(run.id)
        return run
