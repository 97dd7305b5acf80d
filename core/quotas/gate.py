"""The gate that turns and tool runs pass before anything runs: it holds what they will use, and settles what they used."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Protocol, TypeVar

import structlog

from core.errors import DatabaseUnavailable, PilothouseError, QuotaSpent, RateExceeded, StreamsUnavailable
from core.history import tokens_of
from core.ids import new_id
from core.quotas.counting import Counters, CountersSlow, Forgotten, Hold, Item, Metric, Standing, Used, Window, spent
from core.quotas.limits import Limits, clock, limits_of
from core.settings_quotas import QuotaSettings, Rate
from core.store.access import Principal
from core.store.base import Store
from core.store.processes import Presence
from core.store.quotas import Quotas, StoreCounters

log = structlog.get_logger(__name__)
T = TypeVar("T")

FRESH_SECONDS = 3.0
"""How long limits are believed without asking again, and so how long another process may take to see a change of them."""
AWAY_SECONDS = 5.0
"""How long Valkey is left alone once it did not answer; meanwhile the database counts."""
SLOW_SECONDS = 15.0
"""How long Valkey may be too slow before it is taken for away; until then turns are refused for a moment."""
TEND_SECONDS = 1.0
ANSWER = 1000
"""Tokens that an answer is taken for beforehand where the question bounds it by no other number."""
ENDED_SOON = 2.0
"""Seconds after which somebody may try again who was refused for what runs at the moment."""
MINUTE = 60
UNPACED = frozenset({"admin", "plugin"})
WORDS: Mapping[Metric, str] = {"turns": "turns", "tokens": "tokens", "tool_runs": "tool runs", "streams": "turns at once"}


@dataclass(frozen=True, slots=True)
class Left:
    """How it stands with the tightest limit of a request: so many, so many left, until so many seconds from now."""

    most: int
    left: int
    seconds: float


class Shared(Counters, Protocol):
    """Counters on a server of their own."""

    async def aclose(self) -> None:
        """Close connections."""


class Gate:
    """The limits of a process, whose boot id is ``owner``. ``shared`` counts where it answers, else the database does."""

    def __init__(self, owner: str, settings: QuotaSettings, zone: str, store: Store, shared: Shared | None = None) -> None:
        self._owner = owner
        self._settings = settings
        self._zone = zone
        self._quotas = Quotas(store)
        self._presence = Presence(store, owner)
        self._store_counters = StoreCounters(store)
        self._shared = shared
        self._away_until = 0.0
        self._slow_since: float | None = None
        self._counting: Counters | None = self._store_counters if shared is None else None
        self._beginning = asyncio.Lock()
        self._limits: Limits | None = None
        self._read_at = 0.0
        self._open: dict[str, Hold] = {}
        self._tended_at = 0.0
        self._counts = False
        """Something was held once; else there is nothing to tend."""

    async def limits(self) -> Limits:
        """The limits that hold now. Raises ``DatabaseUnavailable``."""
        known = self._limits
        if known is None or self._read_at + FRESH_SECONDS < monotonic():
            try:
                known = await self._read()
            except DatabaseUnavailable:
                if known is None:
                    raise
                self._read_at = monotonic()  # those of before hold on
        return known

    async def _read(self) -> Limits:
        rows = await self._quotas.all()
        names = {*self._settings.tokens, *(row.name for row in rows if row.kind == "token")}
        known = self._limits = limits_of(self._settings, rows, await self._quotas.named(sorted(names)))
        self._read_at = monotonic()
        return known

    def forget(self) -> None:
        """Read the limits anew for the next request: they were changed here."""
        self._limits = None

    async def turn(
        self, turn_id: str, workspace: str, token_id: str | None, messages: Sequence[Mapping[str, Any]], most: int | None = None
    ) -> Left | None:
        """Let a turn in: hold one turn, its place among those that run, and about its tokens. None where it has no limit.

        Raises ``QuotaSpent``, and holds nothing then.
        """
        limits = await self.limits()
        now = clock(self._zone)
        items = limits.items({"turns": 1, "tokens": 0, "streams": 1}, workspace, token_id, now)
        if any(item.metric == "tokens" for item in items):
            tokens = sum(tokens_of(message) for message in messages) + (most or ANSWER)
            items = limits.items({"turns": 1, "tokens": tokens, "streams": 1}, workspace, token_id, now)
        return await self._hold(turn_id, items)

    async def tool_run(self, run_id: str, workspace: str, token_id: str | None) -> Left | None:
        """Let a run of a tool in. Raises ``QuotaSpent``."""
        return await self._hold(run_id, await self._tool_items(workspace, token_id, 1))

    async def may_run_tool(self, workspace: str, token_id: str | None) -> None:
        """Raises ``QuotaSpent`` where a run of a tool would not be let in now."""
        items = await self._tool_items(workspace, token_id, 0)
        if items:
            asked = f"asked {new_id()}"
            await self._hold(asked, items)
            await self.settle(asked)

    async def settle(self, hold_id: str, **used: int) -> None:
        """Give back what was held, but for what was used: ``turns``, ``tokens``, ``tool_runs``. Never raises: what cannot be
        given back now is soon by ``tend``."""
        hold = self._open.pop(self._name(hold_id), None)
        if hold is None:
            return
        try:
            await self._asked(lambda counters: counters.settle(hold, used))
        except PilothouseError as error:
            log.warning("quota_not_settled", hold=hold_id, reason=error.message)

    async def request(self, caller: Principal) -> Left | None:
        """Count a request of any kind. Raises ``RateExceeded``."""
        limits = await self.limits()
        own = limits.number("requests_per_minute", "token", caller.token_id)
        shared = None if caller.scopes & UNPACED else limits.number("requests_per_minute", "workspace", caller.workspace)
        found = [
            await self._taken(f"requests {key}", most)
            for key, most in ((f"token:{caller.token_id}", own), (f"workspace:{caller.workspace}", shared))
            if most is not None
        ]
        return min(found, key=lambda each: each.left, default=None)

    async def chat_rate(self, caller: Principal, address: str) -> tuple[Rate, Window] | None:
        """Count a question to a model: a user's, else that of a token from one address. None where that is not limited."""
        rate, own = (await self.limits()).chat_rate(caller.workspace, caller.token_id)
        if rate is None or (caller.scopes & UNPACED and not own):
            return None
        alone = own or caller.token_id.startswith("user:")
        key = f"chat {caller.token_id if alone else f'{caller.token_id} from {address}'}"
        return rate, await self._asked(lambda counters: counters.take(key, rate))

    async def storage(self, workspace: str) -> int | None:
        """Bytes that a workspace may keep; None for any number."""
        return (await self.limits()).number("storage_bytes", "workspace", workspace)

    async def standings(self, workspace: str) -> list[Standing]:
        """How much of the limits of a workspace is used, by the ledger."""
        limits = await self.limits()
        items = limits.items({"turns": 0, "tokens": 0, "tool_runs": 0}, workspace, None, clock(self._zone))
        used = await self._store_counters.counted([item.told() for item in items]) if items else {}
        given = limits.of("workspace", workspace)
        return [
            Standing(workspace, item.setting, item.most, used[item.key], item.until, given[item.setting].origin) for item in items
        ]

    async def tend(self) -> None:
        """Give back what dead processes held, and here what is held no more. Raises ``DatabaseUnavailable``."""
        if not self._counts:
            return
        held = list(self._open)
        await self._presence.show()
        living = sorted(await self._presence.living())
        await self._asked(lambda counters: counters.release(self._owner, living, held))

    async def aclose(self) -> None:
        """Let go of whoever counts; what is still held is given back by others."""
        await self._presence.hide()
        if self._shared is not None:
            await self._shared.aclose()

    def _name(self, hold_id: str) -> str:
        """Of a hold, and of its line in the ledger: answered again by another process, a turn has another one."""
        return f"{hold_id}/{self._owner}"

    async def _tool_items(self, workspace: str, token_id: str | None, amount: int) -> tuple[Item, ...]:
        return (await self.limits()).items({"tool_runs": amount}, workspace, token_id, clock(self._zone))

    async def _hold(self, hold_id: str, items: Sequence[Item]) -> Left | None:
        if not items:
            return None
        self._counts = True
        await self._presence.shown()
        hold = Hold(self._name(hold_id), self._owner, tuple(items))
        used = await self._asked(lambda counters: counters.reserve(hold))
        if spent(hold.items, used):
            used = await self._once_more(hold, used)
        self._refuse(hold, used)
        self._open[hold.id] = hold
        return _left(hold.items, used, held=True)

    async def _once_more(self, hold: Hold, used: Used) -> Used:
        """What a process holds that died a moment ago is nobody's any more; looked for once, however many are refused."""
        if self._tended_at + TEND_SECONDS > monotonic():
            return used
        self._tended_at = monotonic()
        await self.tend()
        return await self._asked(lambda counters: counters.reserve(hold))

    def _refuse(self, hold: Hold, used: Used) -> None:
        refused = spent(hold.items, used)
        if refused:
            item = max(refused, key=_seconds)
            whose = "your token" if item.kind == "token" else f"the workspace {item.name}"
            when = "wait for one to end" if item.until is None else f"the next begin at {item.until:%Y-%m-%d %H:%M} UTC"
            raise QuotaSpent(
                f"The {item.most} {WORDS[item.metric]} of {whose} ({item.setting}) are used up: {when}.",
                retry_after=_seconds(item),
                most=item.most,
            )

    async def _taken(self, key: str, most: int) -> Left:
        standing = await self._asked(lambda counters: counters.take(key, Rate(most, MINUTE)))
        if not standing.within:
            raise RateExceeded(
                f"More than {most} requests in a minute: try again in {standing.seconds:.0f} s.",
                retry_after=max(1.0, standing.seconds),
            )
        return Left(most, standing.left, standing.seconds)

    async def _asked(self, question: Callable[[Counters], Awaitable[T]]) -> T:
        """Of whoever counts now. Whoever begins to is told first what is held, and makes its counters anew."""
        if self._shared is not None and self._away_until <= monotonic():
            try:
                return await self._of_shared(self._shared, question)
            except CountersSlow as error:
                # The others may well go on counting there, and two would count by halves.
                if self._slow_since is None:
                    self._slow_since = monotonic()
                if self._slow_since + SLOW_SECONDS > monotonic():
                    raise
                self._leave(error)
            except StreamsUnavailable as error:
                self._leave(error)
        await self._begin(self._store_counters)
        return await question(self._store_counters)

    async def _of_shared(self, shared: Counters, question: Callable[[Counters], Awaitable[T]]) -> T:
        await self._begin(shared)
        try:
            answer = await question(shared)
        except Forgotten:
            await shared.adopt(self._owner, list(self._open.values()), anew=False)
            answer = await question(shared)
        self._slow_since = None
        return answer

    def _leave(self, error: StreamsUnavailable) -> None:
        log.warning("quotas_counted_by_the_database", reason=error.message)
        self._away_until = monotonic() + AWAY_SECONDS

    async def _begin(self, counters: Counters) -> None:
        if self._counting is counters:
            return
        async with self._beginning:  # or what one has begun to hold, the next would forget again
            if self._counting is not None and self._counting is not counters:
                await counters.adopt(self._owner, list(self._open.values()), anew=True)
            self._counting = counters


def _left(items: Sequence[Item], used: Used, *, held: bool) -> Left:
    """The one of which least is left."""
    item = min(items, key=lambda each: each.most - used[each.key] - held * each.amount)
    return Left(item.most, max(0, item.most - used[item.key] - held * item.amount), _seconds(item))


def _seconds(item: Item) -> float:
    """Until more of it is to be had."""
    return ENDED_SOON if item.until is None else max(1.0, math.ceil((item.until - datetime.now(UTC)).total_seconds()))
