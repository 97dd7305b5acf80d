"""What is known of a service, and how one more look at it changes that: it takes several looks in a row to change a mind.

A look that says what is known already settles the matter. While a change is undecided it is toward the nearest of the states seen
in a row: "down, degraded, down" of a service that was up makes it degraded, since all three agree that it is at least that. The
last of them still counts toward what it said itself, so that what goes down by way of degraded is looked at until that is sure.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from core.sweeps.observation import State

RANKS: dict[State, int] = {"up": 0, "degraded": 1, "down": 2}
"""How bad it is; the states that are not here say nothing about the service itself."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Looks in a row that it takes to believe that a service got worse, and that it got better."""

    open_after: int = 3
    close_after: int = 2


@dataclass(frozen=True, slots=True)
class Known:
    """A state and since when it holds; ``pending`` is what ``streak`` looks in a row say in place of it."""

    since: datetime
    state: State = "unknown"
    pending: State | None = None
    streak: int = 0

    @property
    def undecided(self) -> bool:
        """Whether the last look said something else."""
        return self.pending is not None

    @property
    def worsening(self) -> bool:
        """Whether it may just be failing."""
        return self.pending is not None and worse(self.pending, self.state)


@dataclass(frozen=True, slots=True)
class Flip:
    """A change that is sure."""

    before: State
    after: State
    at: datetime


def worse(one: State, other: State) -> bool:
    """Whether ``one`` is bad news after ``other``."""
    return RANKS.get(one, 0) > RANKS.get(other, 0)


def judged(known: Known, seen: State, thresholds: Thresholds, now: datetime) -> tuple[Known, Flip | None]:
    """What is known after a look that saw ``seen``, and the flip if it decided one."""
    if seen == known.state:
        return replace(known, pending=None, streak=0), None
    same_way = known.pending is not None and _way(known.state, known.pending) == _way(known.state, seen)
    streak = known.streak + 1 if same_way else 1
    pending = _nearer(known.state, known.pending, seen) if same_way and known.pending is not None else seen
    if streak < _needed(known.state, pending, thresholds):
        return replace(known, pending=pending, streak=streak), None
    further = (None, 0) if seen == pending else (seen, 1)
    return Known(now, pending, *further), Flip(known.state, pending, now)


def _way(state: State, seen: State) -> str:
    """Which way ``seen`` leads away from ``state``."""
    if seen not in RANKS:
        return seen
    if state not in RANKS:
        return "bad" if seen == "down" else "good"
    return "bad" if RANKS[seen] > RANKS[state] else "good"


def _nearer(state: State, one: State, other: State) -> State:
    """Of two states that lie the same way, the one that is less of a change; from nowhere the worse one, to promise nothing."""
    if one not in RANKS or other not in RANKS:
        return other
    if state not in RANKS:
        return max(one, other, key=RANKS.__getitem__)
    return min(one, other, key=lambda each: abs(RANKS[each] - RANKS[state]))


def _needed(state: State, pending: State, thresholds: Thresholds) -> int:
    if pending == "down":
        return thresholds.open_after
    if state == "unknown":
        return 1  # nothing is lost by believing the first look
    if pending not in RANKS or worse(pending, state):
        return thresholds.open_after
    return thresholds.close_after
