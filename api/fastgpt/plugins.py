"""Toolsets as generation C lists them: a plugin with its tools as children, their inputs as JSON schema."""

import json
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from typing import Any

from api.fastgpt.forms import input_schema, output_schema
from api.fastgpt.words import i18n
from core.tools.shelf import Shelf
from core.tools.tool import Tool, Toolset

SOURCE = "system"
"""Where plugins come from: ours belong to no team."""


def listed(shelf: Shelf, tags: Sequence[str] = (), every: bool = False, sources: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The plugins that have one of ``tags`` (with ``every``: all of them), if any are asked for."""
    if sources and SOURCE not in sources:
        return []
    wanted, enough = set(tags), all if every else any
    return [plugin for plugin in _all(shelf) if not wanted or enough(tag in plugin["tags"] for tag in wanted)]


def detailed(shelf: Shelf, plugin_id: str) -> dict[str, Any] | None:
    """One plugin with the schemas of its tools; None where there is none."""
    plugin = next((plugin for plugin in _all(shelf) if plugin["pluginId"] == plugin_id), None)
    if plugin is None:
        return None
    tools = [tool for tool in shelf.tools if tool.toolset == plugin_id]
    children = [
        child | {"icon": plugin["icon"], "inputSchema": input_schema(tool), "outputSchema": output_schema(tool)}
        for tool, child in zip(tools, plugin["children"], strict=True)
    ]
    return plugin | {"isLatestVersion": True, "children": children}


@cache
def _all(shelf: Shelf) -> tuple[dict[str, Any], ...]:
    return tuple(_plugin(toolset, [tool for tool in shelf.tools if tool.toolset == toolset.id]) for toolset in shelf.toolsets)


def _plugin(toolset: Toolset, tools: Sequence[Tool]) -> dict[str, Any]:
    plugin: dict[str, Any] = {
        "pluginId": toolset.id,
        "version": max((_parts(tool.version) for tool in tools), default=((0, 0, 1), "0.0.1"))[1],
        "type": "tool",
        "name": i18n(toolset.name),
        "icon": toolset.icon,
        "description": i18n(toolset.description),
        "tags": list(toolset.tags),
        "toolDescription": toolset.description.en,
        "source": SOURCE,
        "isToolset": True,
        "hasSecret": False,
        "children": [_child(tool) for tool in tools],
    }
    schemas = [(tool.version, input_schema(tool), output_schema(tool)) for tool in tools]
    content = json.dumps([plugin, schemas], sort_keys=True)
    return plugin | {"etag": sha256(content.encode()).hexdigest()[:32]}


def _child(tool: Tool) -> dict[str, Any]:
    return {
        "id": tool.id.partition("/")[2],
        "name": i18n(tool.name),
        "description": i18n(tool.description),
        "toolDescription": tool.description.en,
    }


def _parts(version: str) -> tuple[tuple[int, ...], str]:
    """By its numbers, so that 0.10.0 comes after 0.9.0."""
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split(".")), version
