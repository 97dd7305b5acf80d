"""Generation B (plugin releases 0.5 and 0.6), and what C shares with it: ``/api``, ``{code, msg, data}``, bearer tokens."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.fastgpt import items, plugins
from api.fastgpt.brands import brands, channel_map, channels
from api.fastgpt.calling import STREAM, Caller, TheService, call_of, unsupported
from api.fastgpt.model_items import model_item
from api.fastgpt.wires import done, unknown
from api.fastgpt.words import categories
from api.parts import TheParts
from core.errors import InputInvalid, NotFound

router = APIRouter(prefix="/api", tags=["fastgpt"])
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
SHORTEST = 5
"""Characters of an id, below which upstream calls it malformed."""
Words = Annotated[list[str] | None, Query()]


class Run(BaseModel):
    """A run of a tool."""

    tool_id: str = Field(alias="toolId")
    inputs: dict[str, Any]
    system_var: dict[str, Any] | None = Field(default=None, alias="systemVar", description="Who asks.")


@router.get("/models", summary="Models of the configured providers, for FastGPT")
async def models(caller: Caller, parts: TheParts) -> dict[str, Any]:
    """Always an array, each name once. A provider that does not answer is listed as it last was."""
    return done([model_item(model) for model in await parts.models.catalogue()])


@router.get("/models/get-providers", summary="Names of model providers, for FastGPT")
async def providers(caller: Caller, parts: TheParts) -> dict[str, Any]:
    """Ours come first, in their `order`; the channels are there as every release of B and C reads them."""
    found = {"modelProviders": brands(parts.settings.providers), "aiproxyChannels": channels(), "aiproxyIdMap": channel_map()}
    return done(found)


@router.get("/list", summary="Workflow templates, for FastGPT")
async def workflows(caller: Caller) -> dict[str, Any]:
    """None: FastGPT's own templates are all it shows."""
    return done([])


@router.get("/tools", summary="Tools, for FastGPT")
async def list_tools(
    caller: Caller, service: TheService, tags: Words = None, op: str = "or", sources: Words = None
) -> dict[str, Any]:
    """In the shape of the configured generation; `tags`, `op` and `sources` are C's."""
    if service.wires.generation == "b":
        return done(items.listed(service.shelf))
    return done(plugins.listed(service.shelf, split(tags), op == "and", split(sources)))


@router.get("/tools/tags", summary="Categories of tools, for FastGPT")
async def tool_tags(caller: Caller) -> dict[str, Any]:
    """FastGPT's twelve, with their names in its languages."""
    return done(categories("id"))


@router.api_route("/tools/upload/{what:path}", methods=METHODS, include_in_schema=False)
async def upload(what: str, caller: Caller) -> None:
    """There are no uploads."""
    raise unsupported()


@router.get("/tools/{tool_id:path}", summary="One toolset or tool, for FastGPT")
async def get_tool(tool_id: str, caller: Caller, service: TheService) -> dict[str, Any]:
    """The slash of an id may be plain, as FastGPT's client sends it, or `%2F`."""
    if len(tool_id) < SHORTEST:
        raise InputInvalid(f"toolId: expected at least {SHORTEST} characters.", field="toolId")
    if (item := items.found(service.shelf, tool_id)) is None:
        raise NotFound("Tool not found")
    return done(item)


@router.post("/tools/run-stream", response_model=None, responses=STREAM, summary="Run a tool for FastGPT, streamed")
async def run_stream(asked: Run, request: Request, caller: Caller, service: TheService) -> Response:
    """What goes wrong in the tool is an `error` frame."""
    if not service.is_tool(asked.tool_id):
        raise NotFound("Tool not found")
    return service.runs.stream("b", call_of(request, caller, asked.tool_id, asked.inputs, asked.system_var))


def leftovers(paths: Iterable[str]) -> APIRouter:
    """Answers whatever nobody else does at ``paths``; to be added after all others."""
    rest = APIRouter(include_in_schema=False)
    for path in paths:
        rest.add_api_route(path, _nowhere, methods=METHODS)
    return rest


async def _nowhere(request: Request, caller: Caller, service: TheService) -> Response:
    """404 in the generation's way: for B in the body of a 200."""
    status, body = unknown(service.wires.of(request.url.path) or service.wires.generation)
    return JSONResponse(body, status)


def split(words: list[str] | None) -> list[str]:
    """Repeated parameters, or one with commas."""
    return [word for text in words or () for word in text.split(",") if word]
