"""The shelf as a configuration makes it: what is said of a tool names what there is for it to work on."""

from collections.abc import Mapping
from dataclasses import replace

from core.config import Settings
from core.tools.shelf import Shelf, shelf
from core.tools.tool import Tool, Words

QUERY = "database/query"


def shelf_for(settings: Settings) -> Shelf:
    """The whole shelf; ``database/query`` says which databases may be asked and what is in them."""
    described = {name: section.description for name, section in settings.databases.items()}
    usual = shelf()
    return replace(usual, tools=tuple(_naming(tool, described) if tool.id == QUERY else tool for tool in usual.tools))


def _naming(tool: Tool, described: Mapping[str, str]) -> Tool:
    if not described:
        return tool
    zh = "；".join(f"{name}（{what}）" if what else name for name, what in described.items())
    en = "; ".join(f"{name} ({what})" if what else name for name, what in described.items())
    return replace(
        tool, description=Words(f"{tool.description.zh}。可查询的数据库：{zh}", f"{tool.description.en} The databases are: {en}.")
    )
