"""A call of a tool, and what came of it: the shapes that chat, our API and FastGPT's share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["api", "chat", "fastgpt", "flow"]
"""Through which door a call came."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What a caller asks. ``system`` is what FastGPT tells of the app and user that call; it counts as part of the call."""

    tool_id: str
    inputs: Mapping[str, Any]
    source: Source
    token_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    system: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CallResult:
    """``output`` holds a JSON value for every output of the tool, files as their URLs."""

    run_id: str
    output: dict[str, Any]
