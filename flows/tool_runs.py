"""One tool run as a flow run of its own: from the API, Prefect's own page, or a schedule."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact

from core.config import Settings, load_settings
from core.errors import InputInvalid, PilothouseError, QuotaSpent, told
from core.ids import new_id
from core.keeping import Keeper
from core.quotas.gate import Gate
from core.store.base import Store
from core.store.runs import Runs
from core.store.tool_runs import CallOutcome, ToolRuns
from core.tools.running import RunningCall
from core.tools.shelf import shelf
from core.tools.tool import Bench
from flows.auditing import AuditNotes
from flows.files import files_for
from flows.ledger import TurnLedger
from flows.quotas import gate_for
from flows.workbench import bench_for
from tasks.retrying import NOWHERE
from tasks.runs import keep_result
from tasks.tools import keep_file, run_tool


@dataclass(frozen=True)
class Tooling:
    """What a process needs that runs one tool; ``ledger`` holds the lease under which the run is its own."""

    boot_id: str
    store: Store
    runs: ToolRuns
    keeper: Keeper
    bench: Bench
    ledger: TurnLedger
    notes: AuditNotes
    gate: Gate

    async def taken(self, tool_id: str, input_id: str) -> RunningCall:
        """The kept inputs as a call of this process. Raises what ``ToolRuns.take`` raises, and ``QuotaSpent``."""
        tool = shelf().find(tool_id)
        run = await self.runs.take(input_id, tool_id, self.boot_id)
        try:
            inputs = tool.checked(run.inputs)
            await self.gate.tool_run(run.id, run.workspace, run.token_id)
        except (InputInvalid, QuotaSpent) as error:  # kept for an earlier release of the tool, or there is no more
            await self.runs.finish(run.id, self.boot_id, CallOutcome("failed", error=told(error)))
            raise
        return RunningCall(run, tool=tool, inputs=inputs, bench=self.bench, keeper=self.keeper, runs=self.runs, told=self._ended)

    async def _ended(self, call: RunningCall) -> None:
        await self.notes.call(call)
        await self.gate.settle(call.id, tool_runs=int(not call.failed))


@asynccontextmanager
async def tooling(settings: Settings) -> AsyncGenerator[Tooling, None]:
    """The parts, under a lease, until the block ends. Raises ``ConfigurationInvalid``, ``DatabaseUnavailable``."""
    boot_id = new_id()
    async with AsyncExitStack() as stack:
        store = Store.from_settings(settings.database, "pilothouse tool_run")
        stack.push_async_callback(store.aclose)
        ledger = TurnLedger(boot_id, "flow", store, {})
        await ledger.start()
        stack.push_async_callback(ledger.stop)
        bench = await stack.enter_async_context(bench_for(settings, workers=1))
        notes = AuditNotes(store, settings.audit.content, "flow:tool_run")
        gate = gate_for(settings, store, boot_id)
        stack.push_async_callback(gate.aclose)
        keeper = files_for(settings, store, gate).keeper
        yield Tooling(boot_id, store, ToolRuns(store), keeper, bench, ledger, notes, gate)


@flow(name="tool_run", flow_run_name="{tool_id}", persist_result=False, result_storage=NOWHERE, timeout_seconds=900)
async def tool_run(tool_id: str, input_id: str) -> dict[str, Any]:
    """Runs a tool with inputs that were kept before, and shows what files it made.

    The inputs are those of a call that waits for this flow, or of any earlier run of the tool, which is run once more. Returns
    the run's id and the addresses of its files; its whole output is kept in Pilothouse's database.

    Args:
        tool_id: The tool, as GET /tools lists it.
        input_id: The id of the tool run whose inputs are taken.
    """
    async with tooling(load_settings()) as here:
        call = await here.taken(tool_id, input_id)
        try:
            await run_tool(call, whole=False)
            for kept in call.files:
                call.noted_file(kept, await keep_file(here.keeper, kept))
            await call.attempt()
        except PilothouseError as error:
            await call.give_up(error)
            raise
        finally:
            await call.give_up()
            here.ledger.keep_later(call)
        files = [(link.name, link.url, link.media_type) for link in call.result().links]
        result = {"toolRunId": call.id, "toolId": tool_id, "files": [url for _, url, _ in files]}
        await keep_result(Runs(here.store), result)
        if files:
            await acreate_markdown_artifact(_shown(files), key="tool-run", description=f"What the tool run {call.id} made.")
    return result


def _shown(files: list[tuple[str, str, str]]) -> str:
    """Pictures as pictures, and a link to every file."""
    pictures = [f"![{name}]({url})\n" for name, url, media_type in files if media_type.startswith("image/")]
    return "\n".join([*pictures, *(f"- [{name}]({url})" for name, url, _ in files)])
