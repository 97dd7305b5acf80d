"""Generation A (plugin releases 0.1 to 0.4): bare JSON under ``/tool``, ``/model`` and ``/workflow``."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from api.fastgpt import items
from api.fastgpt.brands import brands, channel_map
from api.fastgpt.calling import STREAM, Caller, TheService, call_of, unsupported
from api.fastgpt.model_items import model_item
from api.fastgpt.streams import frame, stream_of
from api.fastgpt.words import categories
from api.parts import TheParts
from core.errors import PilothouseError

router = APIRouter(tags=["fastgpt"])
Asked = Annotated[dict[str, Any], Body(description="`toolId`, `inputs`, and `systemVar`, which tells who asks.")]
NO_TOOL = {"error": "tool not found"}


@router.get("/tool/list", summary="Toolsets and tools, for FastGPT")
async def list_tools(caller: Caller, service: TheService) -> list[dict[str, Any]]:
    """Each toolset, followed by its tools; items hold the keys of every release."""
    return items.listed(service.shelf)


@router.get("/tool/get", response_model=None, summary="One toolset or tool, for FastGPT")
async def get_tool(caller: Caller, service: TheService, tool_id: Annotated[str | None, Query(alias="toolId")] = None) -> Response:
    """A value that reads as JSON is taken for what it says: `123` is a number, and refused."""
    value = _decoded(tool_id)
    if not isinstance(value, str):
        return JSONResponse(_issue("undefined" if tool_id is None else _kind(value)), 400)
    item = items.found(service.shelf, value)
    return JSONResponse({"error": "Tool not found"}, 404) if item is None else JSONResponse(item)


@router.post("/tool/runstream", response_model=None, responses=STREAM, summary="Run a tool for FastGPT, streamed")
async def run_stream(asked: Asked, request: Request, caller: Caller, service: TheService) -> Response:
    """What goes wrong in the tool is a `response` frame with an `error` in its data."""
    tool_id = asked.get("toolId")
    if service.is_toolset(tool_id):
        return stream_of("a", _nothing())
    if not service.is_tool(tool_id):
        return JSONResponse(NO_TOOL, 404)
    return service.runs.stream("a", call_of(request, caller, str(tool_id), asked.get("inputs"), asked.get("systemVar")))


@router.post("/tool/run", response_model=None, include_in_schema=False)
async def run(asked: Asked, request: Request, caller: Caller, service: TheService) -> Response:
    """As the first releases had it: one JSON answer, and 500 when the tool fails."""
    tool_id = asked.get("toolId")
    if not service.is_tool(tool_id):
        return JSONResponse({"output": {}}) if service.is_toolset(tool_id) else JSONResponse(NO_TOOL, 404)
    outcome = await service.runs.outcome(call_of(request, caller, str(tool_id), asked.get("inputs"), asked.get("systemVar")))
    if isinstance(outcome, PilothouseError):
        return JSONResponse({"error": outcome.message}, 500)
    return JSONResponse({"output": outcome.output})


@router.get("/tool/getType", summary="Categories of tools, for FastGPT")
async def types(caller: Caller) -> list[dict[str, Any]]:
    """As releases before 0.3 had them."""
    return categories("type")


@router.get("/tool/getTags", summary="The same, for later releases")
async def tags(caller: Caller) -> list[dict[str, Any]]:
    """FastGPT's twelve, with their names in its languages."""
    return categories("id")


@router.get("/model/list", summary="Models of the configured providers, for FastGPT")
async def models(caller: Caller, parts: TheParts) -> list[dict[str, Any]]:
    """Always an array, each name once. A provider that does not answer is listed as it last was."""
    return [model_item(model) for model in await parts.models.catalogue()]


@router.get("/model/getProviders", summary="Names of model providers, for FastGPT")
async def providers(caller: Caller, parts: TheParts) -> dict[str, Any]:
    """Ours come first, in their `order`."""
    return {"modelProviders": brands(parts.settings.providers), "aiproxyIdMap": channel_map()}


@router.get("/workflow/list", summary="Workflow templates, for FastGPT")
async def workflows(caller: Caller) -> list[dict[str, Any]]:
    """None: FastGPT's own templates are all it shows."""
    return []


@router.get("/openapi", include_in_schema=False)
async def documentation() -> RedirectResponse:
    """Where upstream has its description."""
    return RedirectResponse("docs")


@router.api_route("/tool/upload/{what:path}", methods=["GET", "POST", "DELETE"], include_in_schema=False)
async def upload(what: str, caller: Caller) -> None:
    """There are no uploads."""
    raise unsupported()


async def _nothing() -> AsyncGenerator[bytes, None]:
    yield frame({"type": "response", "data": {}})


def _decoded(text: str | None) -> object:
    try:
        return orjson.loads(text) if text is not None else None
    except orjson.JSONDecodeError:
        return text


def _kind(value: object) -> str:
    """JavaScript's name, as FastGPT's schema library says it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"


def _issue(received: str) -> dict[str, Any]:
    message = "Required" if received == "undefined" else f"Expected string, received {received}"
    issue = {"code": "invalid_type", "expected": "string", "received": received, "path": ["toolId"], "message": message}
    return {"issues": [issue], "name": "ZodError"}
