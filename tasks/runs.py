"""What a flow tells of itself while it runs and when it ends: progress and a small result."""

from collections.abc import Mapping
from typing import Any

from prefect.context import FlowRunContext
from prefect.events import emit_event

from core.store.runs import Runs
from tasks.retrying import retried

PROGRESS = "pilothouse.progress"
"""The Prefect event that carries ``{"done", "total", "what"}`` about a flow run; the API's followers get it within a second."""


def report_progress(done: int, total: int, what: str, **more: float) -> None:
    """Say how far the current flow run is; returns at once, and does nothing outside a run or while Prefect is away.

    ``what`` is the unit in the plural (``turns``); never a message's content. ``more`` may tell the ``rate`` (in units a second)
    and how many ``tables`` it is about.
    """
    run = FlowRunContext.get()
    if run is None or run.flow_run is None:
        return
    resource = {"prefect.resource.id": f"prefect.flow-run.{run.flow_run.id}", "prefect.resource.name": run.flow_run.name}
    emit_event(PROGRESS, resource=resource, payload={"done": done, "total": total, "what": what} | more)


@retried
async def keep_result(runs: Runs, result: Mapping[str, Any]) -> None:
    """Keep the small result (counts and ids) of the current flow run, for whoever asks the API; the last thing a flow does.

    Prefect's own persisted results lie on one machine's disk; the API may run on another.
    """
    run = FlowRunContext.get()
    if run is not None and run.flow_run is not None:
        await runs.keep_result(str(run.flow_run.id), run.flow.name if run.flow else "", result)
