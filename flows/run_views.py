"""Prefect's runs and states in our own shapes."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, State

from core.errors import NotFound
from core.runs import RunState, RunView
from core.store.runs import Runs
from flows.catalogue import CATALOGUE
from flows.prefect_link import PrefectLink, asked


def parsed_id(text: str) -> UUID:
    """A run's id. Raises ``NotFound`` for anything else."""
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound("There is no such run.") from error


def plain(at: datetime) -> datetime:
    """Prefect's own kind of datetime as the standard one, in UTC."""
    return datetime.fromisoformat(at.isoformat()).astimezone(UTC)


def state_of(state: State[Any] | None) -> RunState:
    """A run that has no state yet is about to be scheduled."""
    if state is None:
        return RunState("SCHEDULED", "Scheduled", None, None)
    return RunState(state.type.value, state.name or state.type.value.title(), state.message or None, plain(state.timestamp))


def is_final(run: FlowRun) -> bool:
    """Whether the run has ended, in whatever way."""
    return run.state is not None and run.state.is_final()


async def read_run(link: PrefectLink, run_id: UUID) -> FlowRun:
    """Raises ``NotFound``, ``PrefectNotReady``."""
    return await asked(lambda: link.client.read_flow_run(run_id))


async def viewed(link: PrefectLink, kept: Runs, run: FlowRun) -> RunView:
    """The run with the result that its flow kept. Raises ``NotFound`` for a flow that is not ours."""
    flow = await link.flow_name(run.flow_id)
    if flow not in CATALOGUE:
        raise NotFound("There is no such run.")
    final = is_final(run)
    return RunView(
        run_id=str(run.id),
        flow=flow,
        state=state_of(run.state),
        final=final,
        result=await kept.result_of(str(run.id)) if final else None,
        start_time=plain(run.start_time) if run.start_time else None,
        end_time=plain(run.end_time) if run.end_time else None,
        prefect_url=link.run_url(str(run.id)),
    )
