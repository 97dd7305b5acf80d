"""Tools as they are offered to models: prepared once for all turns that offer the same."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import orjson

from core.conversation import ModelInfo, ToolWay
from core.history import estimate
from core.tools.tool import Tool

LARGEST_SHARE = 3
"""Tools whose description takes more than one of so many parts of a context window are not described to its model."""
REMEMBERED = 3600.0
"""Seconds that a model is not offered tools again in a way that its provider refused."""


def function_name(tool_id: str) -> str:
    """The tool's name towards models: OpenAI's take no slash."""
    return tool_id.replace("/", "_")


@dataclass(frozen=True, eq=False)
class Offer:
    """``functions`` is OpenAI's parameter ``tools``, ``tokens`` about what it takes of a context window."""

    tools: tuple[Tool, ...]
    functions: list[dict[str, Any]]
    tokens: int
    _cues: re.Pattern[str] | None

    def find(self, name: str) -> Tool | None:
        """The tool of that function name."""
        return next((tool for tool in self.tools if function_name(tool.id) == name), None)

    def cued(self, text: str) -> bool:
        """Whether a question makes it worth asking a model without native tool calls for its decision."""
        return self._cues is not None and self._cues.search(text) is not None


def offer(tools: Sequence[Tool]) -> Offer:
    """What a model is told of these tools."""
    functions = [
        {
            "type": "function",
            "function": {
                "name": function_name(tool.id),
                "description": tool.description.en,
                "parameters": tool.schema(),
            },
        }
        for tool in tools
    ]
    tokens = estimate(orjson.dumps(functions).decode())
    return Offer(tuple(tools), functions, tokens, _pattern(cue for tool in tools for cue in tool.cues))


def _pattern(cues: Iterable[str]) -> re.Pattern[str] | None:
    """A cue in Latin letters stands at the beginning of a word, any other anywhere."""
    parts = [rf"(?<![a-z]){re.escape(cue)}" if cue.isascii() else re.escape(cue) for cue in cues]
    return re.compile("|".join(parts), re.IGNORECASE) if parts else None


class Ways:
    """How each model is asked to use tools, as configured and as its provider's refusals taught."""

    def __init__(self) -> None:
        self._learned: dict[tuple[str, str], tuple[ToolWay, float]] = {}

    def of(self, info: ModelInfo, offered: Offer) -> ToolWay:
        """``native``, ``schema`` or ``off``."""
        if not offered.tools:
            return "off"
        way: ToolWay = "native" if info.tools == "auto" else info.tools
        learned, until = self._learned.get((info.provider, info.name), (way, 0.0))
        if until > monotonic():
            way = learned
        if way == "native" and offered.tokens * LARGEST_SHARE > info.context:
            return "schema"
        return way

    def after(self, info: ModelInfo, refused: ToolWay) -> ToolWay:
        """The way that is left when a provider refuses one."""
        return "schema" if refused == "native" and info.tools == "auto" else "off"

    def learn(self, info: ModelInfo, way: ToolWay) -> None:
        """Go this way for an hour, since the other one was refused and this one was not."""
        self._learned[info.provider, info.name] = way, monotonic() + REMEMBERED
