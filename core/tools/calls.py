"""A call of a tool, and what came of it: the shapes that chat, our API and FastGPT's share."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from core.errors import InputInvalid
from core.workspaces import home, inner

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
    workspace: str = field(default_factory=home)

    def digest(self) -> bytes:
        """The same for the same call by the same caller in the same workspace.

        Raises ``InputInvalid`` for what is no JSON that can be kept.
        """
        try:
            said = orjson.dumps(
                [inner(self.token_id or "", self.workspace), self.tool_id, self.inputs, self.system], option=orjson.OPT_SORT_KEYS
            )
        except TypeError as error:
            raise InputInvalid(
                "inputs: numbers beyond 64 bits, halves of surrogate pairs and endless nesting cannot be kept; leave them out.",
                field="inputs",
            ) from error
        return hashlib.sha256(said).digest()


@dataclass(frozen=True, slots=True)
class Link:
    """Where a file that a tool made can be read. ``alt`` describes a picture in words."""

    url: str
    name: str
    media_type: str
    alt: str = ""


@dataclass(frozen=True, slots=True)
class CallResult:
    """``output`` holds a JSON value for every output of the tool, files as their URLs; ``links`` tells of these files.

    What an earlier run gave, repeated, comes without links.
    """

    run_id: str
    output: dict[str, Any]
    links: tuple[Link, ...] = ()
