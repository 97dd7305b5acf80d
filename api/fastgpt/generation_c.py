"""Generation C (plugin releases 1.x): plugins with children, a flat output, ``{data}`` or ``{error}``."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.fastgpt import plugins
from api.fastgpt.calling import STREAM, Caller, Service, TheService, call_of, unsupported
from api.fastgpt.generation_b import METHODS, Words, split
from api.fastgpt.wires import c_error, done, failed
from api.fastgpt.words import categories
from core.errors import NotFound

router = APIRouter(prefix="/api", tags=["fastgpt"])
PluginId = Annotated[str, Query(alias="pluginId", min_length=1)]
LATEST = ("", "latest")


class App(BaseModel):
    id: str
    name: str


class Chat(BaseModel):
    chat_id: str = Field(alias="chatId")
    uid: str | None = None


class SystemVar(BaseModel):
    """Who asks, and FastGPT's token for calls back, which is not used: files go to Pilothouse's own store."""

    app: App
    chat: Chat
    invoke_token: str = Field(alias="invokeToken")
    time: str


class Run(BaseModel):
    """A run of a plugin's tool. ``version`` and ``secrets`` are read and not used: there is one version, and no secret."""

    plugin_id: str = Field(alias="pluginId", min_length=1)
    child_id: str | None = Field(default=None, alias="childId")
    version: str = ""
    source: str = plugins.SOURCE
    secrets: dict[str, Any] | None = None
    input: dict[str, Any]
    system_var: SystemVar = Field(alias="systemVar")

    @property
    def tool_id(self) -> str:
        """As the shelf has it; the child may also stand behind a slash."""
        return f"{self.plugin_id}/{self.child_id}" if self.child_id else self.plugin_id


@router.get("/tool", summary="One plugin with its tools, for FastGPT")
async def get_plugin(
    caller: Caller,
    service: TheService,
    plugin_id: PluginId,
    version: str = "",
    source: str = plugins.SOURCE,
    fallback: Annotated[bool, Query(alias="fallbackLatestVersion")] = False,
) -> dict[str, Any]:
    """A version that there is not is 404, unless the latest will do."""
    plugin = _plugin(service, plugin_id, source)
    if version not in (*LATEST, plugin["version"]) and not fallback:
        raise NotFound(f"The plugin has no such version; its latest is {plugin['version']}.")
    return done(plugin)


@router.post("/tool/runStream", response_model=None, responses=STREAM, summary="Run a plugin's tool for FastGPT, streamed")
async def run_stream(asked: Run, request: Request, caller: Caller, service: TheService) -> Response:
    """The outputs come flat; what goes wrong in the tool is an `error` frame. Any version asked for runs the latest."""
    if asked.source != plugins.SOURCE or not service.is_tool(asked.tool_id):
        message = "There is no such plugin, or it has no such tool."
        return JSONResponse(failed(400, message, c_error("plugin.runtime.plugin_not_found", message)), 400)
    system = asked.system_var.model_dump(by_alias=True, exclude_none=True)
    return service.runs.stream("c", call_of(request, caller, asked.tool_id, asked.input, system))


@router.get("/plugins", summary="Plugins, for FastGPT")
async def list_plugins(
    caller: Caller,
    service: TheService,
    types: Words = None,
    tags: Words = None,
    op: str = "or",
    sources: Words = None,
) -> dict[str, Any]:
    """Every plugin is of the type `tool`."""
    wanted = split(types)
    found = plugins.listed(service.shelf, split(tags), op == "and", split(sources))
    return done(found if not wanted or "tool" in wanted else [])


@router.get("/plugin/versions", summary="A plugin's versions, for FastGPT")
async def versions(caller: Caller, service: TheService, plugin_id: PluginId, source: str = plugins.SOURCE) -> dict[str, Any]:
    """The one that there is."""
    plugin = _plugin(service, plugin_id, source)
    return done([{"version": plugin["version"]}])


@router.get("/plugin/tags", summary="Categories of plugins, for FastGPT")
async def plugin_tags(caller: Caller) -> dict[str, Any]:
    """FastGPT's twelve, with their names in its languages."""
    return done(categories("id"))


@router.get("/plugin/features", summary="What FastGPT may ask of plugins besides")
async def features(caller: Caller) -> dict[str, Any]:
    """No debugging from afar."""
    return done({"remoteDebug": False})


@router.api_route("/plugin/{what:path}", methods=METHODS, include_in_schema=False)
async def administration(what: str, caller: Caller) -> None:
    """Plugins are not uploaded, installed, deleted, configured or debugged over HTTP."""
    raise unsupported()


def _plugin(service: Service, plugin_id: str, source: str) -> dict[str, Any]:
    found = plugins.detailed(service.shelf, plugin_id.partition("/")[0]) if source == plugins.SOURCE else None
    if found is None:
        raise NotFound("There is no such plugin.")
    return found
