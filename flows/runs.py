"""Flow runs for whoever holds no Prefect client: trigger one, read it, cancel it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelling

from core.errors import NotFound, PrefectNotReady
from core.runs import RunState, RunView
from core.store.runs import Runs
from flows.catalogue import CATALOGUE, TAG, CatalogueEntry
from flows.prefect_link import RETRY_AFTER, PrefectLink, in_our_words


def parsed_id(text: str) -> UUID:
    """A run's id. Raises ``NotFound`` for anything else."""
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound("There is no such run.") from error


async def trigger(
    link: PrefectLink, runs: Runs, entry: CatalogueEntry, parameters: Mapping[str, Any], caller: str, key: str | None = None
) -> str:
    """Start a run of the entry's deployment; its id. With ``key``, the same caller gets the same run again.

    Raises ``InputInvalid`` before anything exists, ``Conflict`` for a key used with other parameters, ``PrefectNotReady`` while the
    server is away or has not got the deployment yet.
    """
    checked = entry.checked(parameters)
    link.require_up()
    scoped = None if key is None else _digest([caller, entry.name, key]).hex()
    if scoped is not None and (known := await runs.reserve(scoped, entry.name, _digest(checked))):
        return known
    try:
        with in_our_words():
            deployment = await link.client.read_deployment_by_name(entry.deployment)
            run = await link.client.create_flow_run_from_deployment(
                deployment.id, parameters=checked, tags=[TAG], idempotency_key=scoped
            )
    except NotFound as error:
        raise PrefectNotReady(
            f"Prefect does not know the flow {entry.name} yet: it is registered when `pilothouse serve flows` starts.",
            retry_after=RETRY_AFTER,
        ) from error
    if scoped is not None:
        await runs.confirm(scoped, str(run.id))
    return str(run.id)


async def read(link: PrefectLink, runs: Runs, run_id: str) -> RunView:
    """The run as it is now. Raises ``NotFound`` for other people's runs too, ``PrefectNotReady``."""
    found = parsed_id(run_id)
    with in_our_words():
        run = await link.client.read_flow_run(found)
    return await viewed(link, runs, run)


async def viewed(link: PrefectLink, runs: Runs, run: FlowRun) -> RunView:
    """The run in our own shape, with the result that the flow kept."""
    flow = await link.flow_name(run.flow_id)
    if flow not in CATALOGUE:
        raise NotFound("There is no such run.")
    final = run.state is not None and run.state.is_final()
    return RunView(
        run_id=str(run.id),
        flow=flow,
        state=state_of(run.state),
        final=final,
        result=await runs.result_of(str(run.id)) if final else None,
        start_time=run.start_time,
        end_time=run.end_time,
        prefect_url=link.run_url(str(run.id)),
    )


def state_of(state: State[Any] | None) -> RunState:
    """Prefect's state in our own shape; a run that has none yet is about to be scheduled."""
    if state is None:
        return RunState("SCHEDULED", "Scheduled", None, None)
    return RunState(state.type.value, state.name or state.type.value.title(), state.message, state.timestamp)


async def cancel(link: PrefectLink, runs: Runs, run_id: str) -> RunView:
    """Ask for the run's end: at once when it has not started, else when its process has stopped. A run that ended stays as it is."""
    view = await read(link, runs, run_id)
    if not view.final:
        with in_our_words():
            await link.client.set_flow_run_state(parsed_id(run_id), Cancelling())
        view = await read(link, runs, run_id)
    return view


def _digest(value: object) -> bytes:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).digest()
