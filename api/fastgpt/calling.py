"""From a request of any generation to a call of a tool."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from starlette.exceptions import HTTPException

from api.auth import require
from api.fastgpt.streams import Call, Runs
from api.fastgpt.wires import Wires
from core.errors import InputInvalid
from core.store.access import Principal
from core.tools.calls import CallResult, ToolCall
from core.tools.shelf import Shelf

Caller = Annotated[Principal, Security(require("plugin", "tools", authtoken=True))]
UPLOADS = "Pilothouse takes no uploaded plugins: a tool is a file in its core/tools folder."
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {}},
        "description": "Frames `data: {type, data}`; the last one is `response` or `error`.",
    }
}


@dataclass(frozen=True)
class Service:
    """What these paths work with besides the process's parts."""

    wires: Wires
    shelf: Shelf
    runs: Runs

    def is_tool(self, tool_id: object) -> bool:
        """Whether there is such a tool."""
        return any(tool.id == tool_id for tool in self.shelf.tools)

    def is_toolset(self, tool_id: object) -> bool:
        """Whether there is such a toolset, which can be listed and not run."""
        return any(toolset.id == tool_id for toolset in self.shelf.toolsets)


def the_service(request: Request) -> Service:
    """The process's own."""
    service: Service = request.app.state.fastgpt
    return service


TheService = Annotated[Service, Depends(the_service)]


def call_of(request: Request, caller: Principal, tool_id: str, inputs: object, system: object) -> Call:
    """The call, to be started once; raises as ``ToolCalls.call``."""
    calls = request.app.state.parts.tool_calls

    async def call() -> CallResult:
        if not isinstance(inputs, dict):
            raise InputInvalid("inputs: expected an object with the tool's inputs by name.", field="inputs")
        result: CallResult = await calls.call(
            ToolCall(tool_id, inputs, "fastgpt", token_id=caller.token_id, system=_told(system))
        )
        return result

    return call


def unsupported() -> HTTPException:
    """What uploads and the like are answered."""
    return HTTPException(501, UPLOADS)


def _told(system: object) -> Mapping[str, Any] | None:
    """What FastGPT tells of who calls, without its token for calls back: none is made."""
    if not isinstance(system, dict):
        return None
    return {key: value for key, value in system.items() if key != "invokeToken"}
