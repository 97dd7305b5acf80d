"""What the model calls behind one turn came to: how fast they were, and what went wrong on the way to the answer."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.answers import carries_content

FAULTS = ("provider_unavailable", "provider_failed")
"""Codes of errors that speak against a model; the others (a prompt too long, a request refused) are about what was asked."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One model of a turn with which something went wrong. ``retries``: how often it was asked again; ``code``: of the error with
    which it was given up, None where it answered in the end; ``left``: the next model was asked in its place."""

    provider: str
    model: str
    retries: int
    code: str | None = None
    left: bool = False

    def told(self) -> dict[str, Any]:
        """As it is kept with the turn."""
        told: dict[str, Any] = {"provider": self.provider, "model": self.model, "retries": self.retries}
        return told | ({"code": self.code} if self.code else {}) | ({"left": True} if self.left else {})


class Pace:
    """The calls of the model that answers, timed. ``first``: seconds from its question to its first token; ``speaking``: seconds
    from first tokens to the ends of their calls, in which all the tokens of the answer came."""

    def __init__(self) -> None:
        self.first: float | None = None
        self.speaking = 0.0
        self._began = 0.0
        self._spoke: float | None = None

    def asked(self) -> None:
        """A call begins."""
        self._began, self._spoke = time.monotonic(), None

    def heard(self, chunk: Mapping[str, Any]) -> None:
        """A chunk came, which may be the call's first token."""
        if self._spoke is None and carries_content(chunk):
            self._spoke = time.monotonic()
            if self.first is None:
                self.first = self._spoke - self._began

    def ended(self) -> None:
        """The call is over, in whatever way."""
        if self._spoke is not None:
            self.speaking += time.monotonic() - self._spoke
            self._spoke = None


def told(attempts: Sequence[Attempt]) -> list[dict[str, Any]] | None:
    """As they are kept with a turn; None where all went well."""
    return [each.told() for each in attempts] or None


def answer_tokens(usage: Mapping[str, Any] | None) -> int | None:
    """Tokens that a model said, as its server counts them."""
    said = (usage or {}).get("completion_tokens")
    return said if isinstance(said, int) and said >= 0 else None


def milliseconds(seconds: float | None) -> int | None:
    """Whole ones; None for None."""
    return None if seconds is None else round(seconds * 1000)
