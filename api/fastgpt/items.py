"""Toolsets and tools as generations A and B list them: one item with the keys of every release, which each reads in part."""

from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from typing import Any

from api.fastgpt.forms import inputs, outputs
from api.fastgpt.words import category, i18n
from core.tools.shelf import Shelf
from core.tools.tool import Tool, Toolset, Words


def listed(shelf: Shelf) -> list[dict[str, Any]]:
    """Every toolset, followed by its tools; ``pluginOrder`` and ``weight`` are places in this list."""
    return [item | {"pluginOrder": place, "weight": place} for place, item in enumerate(_all(shelf))]


def found(shelf: Shelf, tool_id: str) -> dict[str, Any] | None:
    """One item by its id; None where there is none."""
    return next((item for item in _all(shelf) if item["id"] == tool_id), None)


def version_hash(versions: Iterable[str]) -> str:
    """By which FastGPT sees that an item has changed: 8 hex digits over a tool's versions, or over its tools' sorted hashes."""
    return sha256("".join(versions).encode()).hexdigest()[:8]


@cache
def _all(shelf: Shelf) -> tuple[dict[str, Any], ...]:
    """Made once: a tool's schema takes milliseconds to derive."""
    return tuple(item for toolset in shelf.toolsets for item in _family(shelf, toolset))


def _family(shelf: Shelf, toolset: Toolset) -> list[dict[str, Any]]:
    tools = [tool for tool in shelf.tools if tool.toolset == toolset.id]
    children = [_tool(tool, toolset) for tool in tools]
    return [_toolset(toolset, [child["version"] for child in children]), *children]


def _toolset(toolset: Toolset, hashes: list[str]) -> dict[str, Any]:
    return _item(toolset.id, toolset.name, toolset.description, toolset) | {
        "version": version_hash(sorted(hashes)),
        "versionList": [],
    }


def _tool(tool: Tool, toolset: Toolset) -> dict[str, Any]:
    return _item(tool.id, tool.name, tool.description, toolset) | {
        "parentId": toolset.id,
        "version": version_hash([tool.version]),
        "versionList": [{"value": tool.version, "inputs": inputs(tool), "outputs": outputs(tool)}],
    }


def _item(item_id: str, name: Words, description: Words, toolset: Toolset) -> dict[str, Any]:
    """What a toolset and a tool have in common."""
    told = i18n(description)
    return {
        "id": item_id,
        "toolId": item_id,
        "name": i18n(name),
        "intro": told,
        "description": told,
        "toolDescription": description.en,
        "avatar": toolset.icon,
        "icon": toolset.icon,
        "templateType": category(toolset.tags),
        "type": category(toolset.tags),
        "tags": list(toolset.tags),
        "toolSource": "built-in",
        "isActive": True,
        "pluginOrder": 0,
        "weight": 0,
        "originCost": 0,
        "currentCost": 0,
        "hasTokenFee": False,
    }
