"""Tools over HTTP: which there are, and runs of them."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response, Security

from api.auth import require
from api.bodies import StrictBody
from api.parts import TheParts
from api.runs import IdempotencyKey, accepted
from api.turns import checked
from core.errors import InputInvalid
from core.store.access import Principal
from core.tools.calls import ToolCall
from core.tools.configured import shelf_for
from core.tools.tool import Tool

router = APIRouter(prefix="/tools", tags=["tools"])
Caller = Annotated[Principal, Security(require("tools"))]

PATIENCE = 120.0
"""Seconds that a request waits for a run; after them it is answered as if it had not waited."""


class NewToolRun(StrictBody):
    """What a tool is given."""

    inputs: dict[str, Any]
    wait: bool = False


@router.get("", summary="Tools that may be run")
async def list_tools(caller: Caller, parts: TheParts, language: Literal["en", "zh"] = "en") -> dict[str, Any]:
    """Each tool with the JSON schema of its inputs, described in `language`, and what it gives."""
    return {"tools": [_shown(tool, language) for tool in shelf_for(parts.settings).tools]}


@router.post("/{tool_id:path}/runs", status_code=202, response_model=None, summary="Run a tool")
async def run(
    tool_id: str,
    body: NewToolRun,
    response: Response,
    parts: TheParts,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """202 as for flows. With `wait`, 200 `{runId, output}` once the tool has ended, or its error; after two minutes 202 all the
    same. With an `Idempotency-Key`, the same request again gives the same run."""
    checked(body.inputs, "inputs")
    asked = ToolCall(tool_id, body.inputs, "api", token_id=caller.token_id)
    try:
        requested = await parts.tool_requests.trigger(asked, idempotency_key)
    except InputInvalid as error:
        raise InputInvalid(error.message, field=f"inputs.{error.field}" if error.field else "inputs") from error
    answer = accepted(requested.view, response, parts.settings)
    if body.wait and (result := await parts.tool_requests.result(requested, PATIENCE)) is not None:
        response.status_code = 200
        return {"runId": requested.view.run_id, "output": result.output}
    return answer


def _shown(tool: Tool, language: Literal["en", "zh"]) -> dict[str, Any]:
    return {
        "id": tool.id,
        "version": tool.version,
        "name": {"zh": tool.name.zh, "en": tool.name.en},
        "description": {"zh": tool.description.zh, "en": tool.description.en},
        "inputs": tool.schema(language),
        "outputs": [
            {
                "key": output.key,
                "type": output.type,
                "label": {"zh": output.label.zh, "en": output.label.en},
                "description": {"zh": output.description.zh, "en": output.description.en},
            }
            for output in tool.outputs
        ],
    }
