"""A tool as a small model can use it: one short question whose constrained answer becomes the tool's inputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Draft:
    """``schema`` (JSON, of an object) says what the model may answer; ``inputs`` makes the tool's own inputs of the answer.

    ``inputs`` gives None for an answer that does not fit what the user said. ``examples`` are messages with right answers,
    None where the tool is not to be used.
    """

    schema: Mapping[str, Any]
    inputs: Callable[[Mapping[str, Any]], Mapping[str, Any] | None]
    examples: Sequence[tuple[str, Mapping[str, Any] | None]] = ()
    sure: bool = False
    """The user's words leave no doubt that the tool is meant: the model has no choice, as a small one would choose at random."""


Drafting = Callable[[Sequence[str]], Draft | None]
"""From the user's messages, the newest first, to a draft; None where there is nothing in them that the tool could use."""
