"""What one probe saw of a service, and what every probe answers to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

State = Literal["up", "degraded", "down", "unreachable", "unknown"]
"""``degraded``: it answers, but something is not as it should be. ``unreachable``: nothing from here can tell.
``unknown``: not looked at yet, or there is nothing to look at."""
BAD: frozenset[State] = frozenset({"down"})


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at a service. ``code`` is one word for programs (``refused``, ``timeout``, ``status``, ``login``, ``expired``…).

    ``message`` is one line for people that says what to look at; it and ``facts`` hold no secret and nothing of an answer's body.
    ``seconds`` is how long the answer took, where there was one.
    """

    state: State
    code: str = "ok"
    message: str = ""
    seconds: float | None = None
    facts: Mapping[str, str | float | int] = field(default_factory=dict)


class Probe(Protocol):
    """One way to look at a service."""

    async def look(self) -> Observation:
        """One look. What is wrong with the service is in the observation; cancelled at the probe's time limit."""
