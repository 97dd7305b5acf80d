"""Tool runs asked for as flow runs: their inputs kept first, so that a run's parameters are ids alone."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from uuid import NAMESPACE_OID, uuid5

from core.errors import ToolInterrupted
from core.ids import new_id
from core.quotas.gate import Gate
from core.runs import Cursor, RunView
from core.store.tool_runs import NewToolRun, ToolRuns
from core.tools.calls import CallResult, ToolCall
from core.tools.shelf import Shelf, shelf
from core.workspaces import inner
from flows.catalogue import CATALOGUE
from flows.prefect_link import PrefectLink
from flows.runs import FlowRuns

LOOK = 0.25
"""Seconds between two looks at a run that somebody waits for."""
BEAT = 10.0


@dataclass(frozen=True, slots=True)
class Requested:
    """A flow run and the tool run that it will do."""

    view: RunView
    tool_run_id: str


class ToolRequests:
    """What the API does with runs of the flow ``tool_run``."""

    def __init__(
        self, link: PrefectLink, flow_runs: FlowRuns, runs: ToolRuns, tools: Shelf | None = None, gate: Gate | None = None
    ) -> None:
        self._link = link
        self._gate = gate
        self._flow_runs = flow_runs
        self._runs = runs
        self._shelf = tools or shelf()

    async def trigger(self, asked: ToolCall, key: str | None = None) -> Requested:
        """Start a run. With ``key``, the same caller gets the same run again.

        Raises ``NotFound``, ``InputInvalid`` and ``QuotaSpent`` before anything exists, ``Conflict`` for a key used with other
        inputs, ``PrefectNotReady`` while the server is away or has not got the deployment yet.
        """
        tool = self._shelf.find(asked.tool_id)
        tool.checked(asked.inputs)
        run = NewToolRun(
            id=new_id() if key is None else str(uuid5(NAMESPACE_OID, f"{inner(asked.token_id or '')} {key}")),
            tool_id=tool.id,
            tool_version=tool.version,
            source=asked.source,
            owner="",
            digest=asked.digest(),
            inputs=asked.inputs,
            token_id=asked.token_id,
            workspace=asked.workspace,
        )
        self._link.require_up()
        if self._gate is not None:
            await self._gate.may_run_tool(run.workspace, run.token_id)
        await self._runs.queue(run)
        parameters = {"tool_id": tool.id, "input_id": run.id}
        view = await self._flow_runs.trigger(CATALOGUE["tool_run"], parameters, caller=asked.token_id or "", key=key)
        return Requested(view, run.id)

    async def result(self, requested: Requested, within: float) -> CallResult | None:
        """What the tool gave; None when it takes longer than ``within`` seconds.

        Raises what the tool run ended with, and ``ToolInterrupted`` when the flow run ended before it.
        """
        following = asyncio.create_task(self._ends(requested.view.run_id), name=f"end of run {requested.view.run_id}")
        try:
            async with asyncio.timeout(within):
                while True:
                    over = following.done() and following.result()
                    record = await self._runs.get(requested.tool_run_id)
                    if record.ended:
                        return CallResult(record.id, record.given())
                    if over:
                        raise ToolInterrupted(f"The run ended before the tool had; GET /runs/{requested.view.run_id} says why.")
                    await (asyncio.sleep(LOOK) if following.done() else asyncio.wait([following], timeout=LOOK))
        except TimeoutError:
            return None
        finally:
            following.cancel()

    async def _ends(self, run_id: str) -> bool:
        """True once the flow run has ended, False when following it failed, which says nothing of the run."""
        last = None
        async with aclosing(self._flow_runs.follow(run_id, Cursor(), BEAT)) as batches:
            async for batch in batches:
                last = batch[-1].kind if batch else last
        return last == "result"
