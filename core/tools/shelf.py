"""All tools there are: every module in a folder beside this file that holds a ``TOOL``; the folder holds its ``TOOLSET``."""

import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib import import_module

import core.tools
from core.errors import NotFound
from core.tools.tool import Tool, Toolset


@dataclass(frozen=True)
class Shelf:
    """Toolsets and their tools, both in order of their ids."""

    toolsets: tuple[Toolset, ...]
    tools: tuple[Tool, ...]

    def find(self, tool_id: str) -> Tool:
        """Raises ``NotFound`` naming the tools there are."""
        for tool in self.tools:
            if tool.id == tool_id:
                return tool
        raise NotFound(f"There is no tool of that id; there are: {', '.join(tool.id for tool in self.tools)}.")


@cache
def shelf() -> Shelf:
    """The shelf of this process; what a tool's library needs to load is loaded when it is used, not here."""
    toolsets, tools = [], []
    for folder in pkgutil.iter_modules(core.tools.__path__, "core.tools."):
        if not folder.ispkg:
            continue
        package = import_module(folder.name)
        toolsets.append(package.TOOLSET)
        for module in pkgutil.iter_modules(package.__path__, f"{folder.name}."):
            tool = getattr(import_module(module.name), "TOOL", None)
            if tool is not None:
                tools.append(tool)
    return Shelf(tuple(sorted(toolsets, key=lambda each: each.id)), tuple(sorted(tools, key=lambda each: each.id)))
