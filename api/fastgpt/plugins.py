"""Toolsets as generation C lists them: a plugin with its tools as children, their inputs as JSON schema."""

import json
from collections.abc import Sequence
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
    return [_plugin(shelf, toolset) for toolset in shelf.toolsets if not wanted or enough(tag in toolset.tags for tag in wanted)]


def detailed(shelf: Shelf, plugin_id: str) -> dict[str, Any] | None:
    """One plugin with the schemas of its tools; None where there is none."""
    for toolset in shelf.toolsets:
        if toolset.id == plugin_id:
            children = [
                child | {"icon": toolset.icon, "inputSchema": input_schema(tool), "outputSchema": output_schema(tool)}
                for tool, child in zip(_tools(shelf, toolset), _children(shelf, toolset), strict=True)
            ]
            return _plugin(shelf, toolset) | {"isLatestVersion": True, "children": children}
    return None


def _plugin(shelf: Shelf, toolset: Toolset) -> dict[str, Any]:
    plugin: dict[str, Any] = {
        "pluginId": toolset.id,
        "version": max((_parts(tool.version) for tool in _tools(shelf, toolset)), default=((0, 0, 1), "0.0.1"))[1],
        "type": "tool",
        "name": i18n(toolset.name),
        "icon": toolset.icon,
        "description": i18n(toolset.description),
        "tags": list(toolset.tags),
        "toolDescription": toolset.description.en,
        "source": SOURCE,
        "isToolset": True,
        "hasSecret": False,
        "children": _children(shelf, toolset),
    }
    schemas = [(tool.version, input_schema(tool), output_schema(tool)) for tool in _tools(shelf, toolset)]
    content = json.dumps([plugin, schemas], sort_keys=True)
    return plugin | {"etag": sha256(content.encode()).hexdigest()[:32]}


def _children(shelf: Shelf, toolset: Toolset) -> list[dict[str, Any]]:
    return [
        {
            "id": tool.id.partition("/")[2],
            "name": i18n(tool.name),
            "description": i18n(tool.description),
            "toolDescription": tool.description.en,
        }
        for tool in _tools(shelf, toolset)
    ]


def _tools(shelf: Shelf, toolset: Toolset) -> list[Tool]:
    return [tool for tool in shelf.tools if tool.toolset == toolset.id]


def _parts(version: str) -> tuple[tuple[int, ...], str]:
    """By its numbers, so that 0.10.0 comes after 0.9.0."""
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split(".")), version
