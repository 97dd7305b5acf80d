"""One line of the audit log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Outcome = Literal["success", "failure", "unknown"]
"""ECS's values for ``event.outcome``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened. ``action`` is a verb with its subject (``login``, ``tool.run``, ``POST /silences``).

    ``actor`` is a token's id, ``user:ID``, or empty where nobody is known; ``object`` what it was done to. ``details`` hold no
    secret; what people wrote to models is in them only as the policy ``audit.content`` has it.
    """

    action: str
    outcome: Outcome
    actor: str = ""
    actor_name: str = ""
    address: str = ""
    object: str = ""
    request_id: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class By:
    """Who does something, and from where: a token's id or ``user:ID``; ``os:NAME`` at a command line, ``flow:NAME`` in a run."""

    actor: str
    name: str = ""
    address: str = ""
    request_id: str = ""

    def entry(self, action: str, outcome: Outcome = "success", about: str = "", /, **details: object) -> Entry:
        """What they did to ``about``, as a line of the log."""
        return Entry(action, outcome, self.actor, self.name, self.address, about, self.request_id, details)


OURSELVES = By("system")
"""What Pilothouse does by itself at a start."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry as it is kept. ``batch`` is the seal that it stands under, None for at most some seconds."""

    seq: int
    at: datetime
    action: str
    outcome: str
    actor: str
    actor_name: str
    address: str
    object: str
    request_id: str
    details: Mapping[str, Any]
    batch: int | None


def as_ecs(entry: Kept) -> dict[str, Any]:
    """As a document of the Elastic Common Schema, for a line of JSON that any log pipeline takes."""
    shown: dict[str, Any] = {
        "@timestamp": entry.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "ecs": {"version": "8.11.0"},
        "event": {
            "kind": "event",
            "category": ["iam" if entry.action.startswith(("login", "logout", "user.", "token.")) else "configuration"],
            "action": entry.action,
            "outcome": entry.outcome,
            "sequence": entry.seq,
        },
        "service": {"name": "pilothouse"},
        "user": {"id": entry.actor, "name": entry.actor_name},
        "pilothouse": {"object": entry.object, "details": dict(entry.details), "batch": entry.batch},
    }
    if entry.address:
        shown["source"] = {"ip": entry.address}
    if entry.request_id:
        shown["http"] = {"request": {"id": entry.request_id}}
    return shown
