"""What a flow run tells the audit log: that it begins to change something, and how that ended."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prefect import get_run_logger
from prefect.context import FlowRunContext

from core.audit.entry import By, Outcome
from core.errors import DatabaseUnavailable, PilothouseError
from core.store.audit import Audit


@asynccontextmanager
async def audited(audit: Audit, action: str, about: str, **said: object) -> AsyncIterator[dict[str, object]]:
    """An entry ``ACTION.begun`` before the block, which is not entered without it, and ``ACTION`` after it; what the block puts
    into the mapping is told in the second. Raises ``DatabaseUnavailable`` before the block only.
    """
    who, said = runner(action), said | _run()
    await audit.note(who.entry(f"{action}.begun", "unknown", about, **said))
    ended: dict[str, object] = {}
    try:
        yield ended
    except BaseException as error:
        code = error.code if isinstance(error, PilothouseError) else type(error).__name__
        await told(audit, action, "failure", about, **said, **ended, error=code)
        raise
    outcome: Outcome = "failure" if ended.pop("outcome", "success") == "failure" else "success"
    await told(audit, action, outcome, about, **said, **ended)


async def told(audit: Audit, action: str, outcome: Outcome, about: str, **said: object) -> None:
    """An entry of what has happened already, which is not undone because the database is away: then the run's log has it."""
    entry = runner(action).entry(action, outcome, about, **(said | _run()))
    try:
        await audit.note(entry)
    except DatabaseUnavailable as error:
        get_run_logger().error("The audit log has no entry %s of %s: %s", action, about, error.message)


def runner(action: str) -> By:
    """The run's flow; who asked for it is in the entry of the request with the same flow run id."""
    run = FlowRunContext.get()
    return By(f"flow:{run.flow.name}" if run is not None and run.flow is not None else f"flow:{action}")


def _run() -> dict[str, object]:
    run = FlowRunContext.get()
    return {"flowRunId": str(run.flow_run.id)} if run is not None and run.flow_run is not None else {}
