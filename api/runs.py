"""Flows over HTTP: what may be triggered, and runs triggered, read, followed and cancelled."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Request, Response
from fastapi.responses import StreamingResponse

from api.auth import require
from core.config import Settings
from core.errors import Forbidden
from core.runs import Cursor, RunEvent, RunView
from core.store.access import Principal
from flows.belonging import require_own_work
from flows.catalogue import CATALOGUE, deployable, triggerable
from flows.runs import FlowRuns

flows = APIRouter(prefix="/flows", tags=["flows"])
runs = APIRouter(prefix="/runs", tags=["runs"])

EVENT_STREAM = {
    "content": {"text/event-stream": {}},
    "description": "Named events `state`, `log`, `progress`, `result`, `error`.",
}


def the_runs(request: Request) -> FlowRuns:
    """The process's own."""
    found: FlowRuns = request.app.state.parts.runs
    return found


def the_settings(request: Request) -> Settings:
    """Likewise."""
    found: Settings = request.app.state.parts.settings
    return found


Caller = Annotated[Principal, Depends(require())]
TheRuns = Annotated[FlowRuns, Depends(the_runs)]
TheSettings = Annotated[Settings, Depends(the_settings)]
Parameters = Annotated[dict[str, Any] | None, Body(embed=True, description="By name, as the flow's schema says.")]
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255)]


@flows.get("", summary="Flows that may be triggered")
async def list_flows(caller: Caller, settings: TheSettings) -> dict[str, Any]:
    """Each flow with the JSON schema of its parameters and its schedule; known without asking any server."""
    return {
        "flows": [
            {
                "name": entry.name,
                "description": entry.description,
                "parameters": entry.schema,
                "schedule": {"cron": entry.schedule.cron, "timezone": settings.timezone} if entry.schedule else None,
            }
            for entry in deployable()
            if caller.allows("read") or caller.allows(f"flows:{entry.name}")
        ]
    }


@flows.post("/{name}/runs", status_code=202, summary="Trigger a flow")
async def trigger(
    name: str,
    request: Request,
    response: Response,
    caller: Annotated[Principal, Depends(require("flows:{name}"))],
    found: TheRuns,
    settings: TheSettings,
    parameters: Parameters = None,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, str]:
    """Starts a run. With an `Idempotency-Key`, the same request again gives the same run."""
    entry = triggerable(name)
    checked = entry.checked(parameters or {})
    await require_own_work(entry, checked, settings, request.app.state.parts.store)
    entry.require_configured(checked, settings)
    view = await found.trigger(entry, parameters or {}, caller=caller.token_id, key=idempotency_key)
    return accepted(view, response, settings)


def accepted(view: RunView, response: Response, settings: Settings) -> dict[str, str]:
    """What a 202 says of the run that it began."""
    address = f"{settings.address.rstrip('/')}{settings.api_prefix}/runs/{view.run_id}"
    response.headers["Location"] = address
    return {"runId": view.run_id, "events": f"{address}/events", "prefectUrl": view.prefect_url}


@runs.get("/{run_id}", summary="A run's state and result")
async def read(run_id: str, caller: Caller, found: TheRuns) -> dict[str, Any]:
    """The result is what the flow returned: counts and ids; null until it has ended."""
    return _shown(_allowed(await found.read(run_id), caller, "read"))


@runs.post("/{run_id}/cancel", status_code=202, summary="Cancel a run")
async def cancel(run_id: str, caller: Caller, found: TheRuns) -> dict[str, Any]:
    """Returns the run as it is then; a running one is `CANCELLING` until its process has stopped. An ended one stays so."""
    _allowed(await found.read(run_id), caller)
    return _shown(await found.cancel(run_id))


@runs.get("/{run_id}/events", response_class=StreamingResponse, responses={200: EVENT_STREAM}, summary="Follow a run")
async def events(
    run_id: str, caller: Caller, found: TheRuns, settings: TheSettings, last_event_id: Annotated[str | None, Header()] = None
) -> StreamingResponse:
    """What happened so far, then what happens, until the run has ended. `Last-Event-ID` resumes after that event."""
    _allowed(await found.read(run_id), caller, "read")
    batches = found.follow(run_id, Cursor.parse(last_event_id), settings.chat.ping)
    headers = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
    return StreamingResponse(_framed(batches), media_type="text/event-stream", headers=headers)


def _allowed(view: RunView, caller: Principal, *other: str) -> RunView:
    if not any(caller.allows(scope) for scope in (f"flows:{view.flow}", *CATALOGUE[view.flow].scopes, *other)):
        raise Forbidden(f"This token lacks the scope flows:{view.flow}.")
    return view


def _shown(view: RunView) -> dict[str, Any]:
    return {
        "runId": view.run_id,
        "flow": view.flow,
        "state": {"type": view.state.type, "name": view.state.name, "message": view.state.message},
        "result": view.result,
        "startTime": view.start_time,
        "endTime": view.end_time,
        "prefectUrl": view.prefect_url,
    }


async def _framed(batches: AsyncGenerator[list[RunEvent], None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(batches):
        async for batch in batches:
            yield b"".join(_frame(event) for event in batch) or b": ping\n\n"


def _frame(event: RunEvent) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event.id.encode(), event.kind.encode(), event.data)
