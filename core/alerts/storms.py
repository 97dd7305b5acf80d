"""Storms: when very many messages wait for one channel they go out together, else a thousand would take a quarter of an hour."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.alerts.message import Kind

JOINED_FROM = 10
"""So many waiting messages are joined."""
MOST = 100
MOST_BYTES = 6_000
"""Of titles, so that a card shows each of them."""
LONGEST_TITLE = 300
JOINED: frozenset[Kind] = frozenset({"firing", "resolved", "reminder"})


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits. ``size``: bytes of its title. ``batch``: it was tried before, together with others of that batch."""

    kind: Kind
    size: int
    tries: int = 0
    batch: str | None = None


def joinable(waiting: Sequence[Waiting]) -> int:
    """How many of those that wait, the oldest first, go out as one message; 0 where none does.

    What was tried together before is tried together again: it may have arrived, and a receiver knows it by its id.
    """
    if not waiting:
        return 0
    batch = waiting[0].batch
    if batch is not None:
        return next((at for at, each in enumerate(waiting) if each.batch != batch), len(waiting))
    alike = next((at for at, each in enumerate(waiting) if each.kind not in JOINED or each.batch is not None), len(waiting))
    if alike < JOINED_FROM:
        return 1
    size = 0
    for number, each in enumerate(waiting[: min(alike, MOST)]):
        size += min(each.size, LONGEST_TITLE)
        if size > MOST_BYTES:
            return max(number, 1)
    return min(alike, MOST)
