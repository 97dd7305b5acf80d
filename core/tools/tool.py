"""What a tool is: a typed function with its names, its inputs and its outputs, the same for every protocol."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ValidationError

from core.charts.chart import Chart, Picture
from core.databases import Rows
from core.errors import InputInvalid
from core.tools.drafting import Drafting
from core.tools.parameters import Language, parameters

ValueType = Literal["string", "number", "boolean", "object", "arrayString", "arrayNumber", "arrayObject", "any"]
"""FastGPT's names for the types of a value."""


@dataclass(frozen=True, slots=True)
class Words:
    """The same text in both languages of our users."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Output:
    """One key of what a tool gives back."""

    key: str
    type: ValueType
    label: Words
    description: Words
    shown: bool = True
    """False: an older name of another output, still given to who knows it, and offered to nobody."""


@dataclass(frozen=True, slots=True, eq=False)
class File:
    """A file that a tool made. Whoever runs the tool keeps it and puts its URL in its place; the same object is kept once.

    ``alt`` describes a picture in words.
    """

    name: str
    media_type: str
    data: bytes
    alt: str = ""


class Bench(Protocol):
    """What a tool may use besides its inputs."""

    async def draw(self, chart: Chart) -> Picture:
        """The chart, drawn in a worker process. Raises ``InputInvalid``, ``ToolTimedOut``."""

    async def query(self, database: str, sql: str) -> Rows:
        """The answer of a configured database to one reading statement. Raises ``InputInvalid``, ``ToolFailed``."""


@dataclass(frozen=True)
class Toolset:
    """A folder of tools; its id is the part of their ids before the slash."""

    id: str
    name: Words
    description: Words
    icon: str
    """What FastGPT shows: one of its icon keys, or a path under ``/imgs/``."""
    tags: tuple[str, ...] = ("tools",)


@dataclass(frozen=True)
class Tool:
    """``run`` takes a checked ``inputs`` and returns a value (JSON, or a ``File``) for every output that it has."""

    id: str
    """``toolset/name``; without a ``-``, at which FastGPT splits ids."""
    name: Words
    description: Words
    version: str
    inputs: type[BaseModel]
    outputs: tuple[Output, ...]
    run: Callable[[Any, Bench], Awaitable[Mapping[str, Any]]]
    cues: tuple[str, ...] = field(default=())
    """Words of a question that make it worth asking a model without native tool calls whether to use this tool."""
    drafting: Drafting | None = field(default=None)
    """How such a model is asked for the inputs; None: for all of them, by their schema."""
    at_once: int = 2
    """Calls of it that a process runs at once; the others wait, so that chat in the same process does not. More is right for a
    tool that waits for others rather than works."""

    @property
    def toolset(self) -> str:
        return self.id.partition("/")[0]

    def schema(self, language: Language = "en") -> dict[str, Any]:
        """The JSON schema of ``inputs`` without references, nulls and form details; see ``core/tools/parameters.py``."""
        return parameters(self.inputs, language)

    def checked(self, inputs: Mapping[str, Any]) -> BaseModel:
        """``inputs`` as the tool takes them. Raises ``InputInvalid`` naming every offending field."""
        try:
            return self.inputs.model_validate(dict(inputs))
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False, include_context=False)[:5]
            texts = [_told(one["loc"], one["msg"]) for one in wrong]
            raise InputInvalid("; ".join(texts), field=_FIELD.split(texts[0])[0] or None) from error


_FIELD = re.compile(r"[.:]")


def _told(location: tuple[int | str, ...], message: str) -> str:
    """``series.0.values: …``; a rule for several fields names the one it is about by itself."""
    said = message.removeprefix("Value error, ").removesuffix(".")
    # A part of a location may be a caller's own key, of any length.
    place = ".".join(str(part)[:64] for part in location if part != "")[:200]
    return f"{place}: {said}" if place else said
