"""What is counted against quotas, whoever counts it: in our database, or in Valkey where several API processes share one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from core.errors import StreamsUnavailable
from core.settings_quotas import Rate

Metric = Literal["turns", "tokens", "tool_runs", "streams"]
Kind = Literal["workspace", "token"]


@dataclass(frozen=True, slots=True)
class Item:
    """Something that is to be held against one limit. ``since`` and ``until`` bound the period that the limit is for; None for
    what only counts as long as it is held."""

    key: str
    setting: str
    kind: Kind
    name: str
    metric: Metric
    most: int
    amount: int
    since: datetime | None = None
    until: datetime | None = None

    def told(self) -> dict[str, Any]:
        """As JSON values."""
        since, until = (at and at.isoformat() for at in (self.since, self.until))
        plain = {name: getattr(self, name) for name in ("key", "kind", "name", "metric", "most", "amount")}
        return plain | {"since": since, "until": until}


@dataclass(frozen=True, slots=True)
class Hold:
    """What a turn or a tool run has taken of its limits until it is known what it used. ``owner`` is its process."""

    id: str
    owner: str
    items: tuple[Item, ...]

    @property
    def keys(self) -> list[str]:
        return [item.key for item in self.items]


Used = Mapping[str, int]
"""By an item's key: what had been used and was held before it."""


def spent(items: Sequence[Item], used: Used) -> list[Item]:
    """Those of which nothing is left."""
    return [item for item in items if used[item.key] >= item.most]


@dataclass(frozen=True, slots=True)
class Window:
    """Whether a request is within its rate, how many are left in the window, and the seconds until it ends."""

    within: bool
    left: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with a limit of a workspace. ``until``: when it begins anew; None for what does not."""

    workspace: str
    limit: str
    most: int
    used: int
    until: datetime | None
    origin: str

    @property
    def left(self) -> int:
        return max(0, self.most - self.used)


class CountersSlow(StreamsUnavailable):
    """Whoever counts did not answer in time, which does not say that it is away."""


class Forgotten(Exception):
    """Whoever counts knows nothing of this process: it is to ``adopt`` its holds."""


class Ledger(Protocol):
    """What ended, for counters that were lost."""

    async def counted(self, items: Sequence[Mapping[str, Any]]) -> Used:
        """What each of these items, as ``told``, came to."""

    async def known(self, holds: Sequence[str]) -> list[str]:
        """Those of the holds that have ended."""


class Counters(Protocol):
    """Where quotas are counted, exactly over all processes. A counter that is missing is made from the ledger of usage and what
    is held, so that one may always be dropped. All methods raise ``DatabaseUnavailable`` or ``StreamsUnavailable``."""

    async def reserve(self, hold: Hold) -> Used:
        """Hold all its items, or none where one of them is ``spent``."""

    async def settle(self, hold: Hold, used: Mapping[str, int]) -> None:
        """End the hold; ``used`` by metric is what it came to. The ledger knows of it already."""

    async def adopt(self, owner: str, holds: Sequence[Hold], *, anew: bool) -> None:
        """Begin to count for a process with these holds; with ``anew`` every counter is made anew, not only theirs."""

    async def release(self, owner: str, living: Sequence[str], held: Sequence[str]) -> None:
        """Give back what processes that are not ``living`` have held, and the owner's holds that are not ``held`` any more."""

    async def take(self, key: str, rate: Rate) -> Window:
        """Count one more request in the window of ``key``."""
