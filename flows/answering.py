"""What a process needs that answers single turns: its desk, and a lease under which the turns are its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from blocks.models import Models
from blocks.valkey import ValkeyStreams
from core.config import Settings
from core.ids import new_id
from core.quotas.gate import Gate
from core.store.base import Store
from core.store.prompts import Prompts
from core.store.tool_runs import ToolRuns
from core.store.turns import Turns
from core.streams import MemoryStreams, Streams
from core.tools.calls import CallResult, ToolCall
from core.tools.toolbox import Toolbox
from core.turns import RunningTurn
from flows.asking import Desk
from flows.auditing import AuditNotes
from flows.files import files_for
from flows.ledger import TurnLedger
from flows.quotas import gate_for
from flows.tools import ToolCalls
from flows.workbench import bench_for

BY = "flow:chat_turn"
"""Who asks, in the audit log."""


@dataclass(frozen=True)
class Answering:
    """``turns`` holds those being answered, by id: whoever answers one puts it there."""

    store: Store
    desk: Desk
    ledger: TurnLedger
    turns: dict[str, RunningTurn]


@asynccontextmanager
async def answering(settings: Settings) -> AsyncIterator[Answering]:
    """The parts, under a lease, until the block ends. Raises ``ConfigurationInvalid``, ``DatabaseUnavailable``."""
    boot_id = new_id()
    running: dict[str, RunningTurn] = {}
    async with AsyncExitStack() as stack:
        store = Store.from_settings(settings.database, "pilothouse chat_turn")
        stack.push_async_callback(store.aclose)
        streams = streams_for(settings)
        stack.push_async_callback(streams.aclose)
        models = Models.from_settings(settings)
        stack.push_async_callback(models.aclose)
        turns = turns_for(settings, store)
        ledger = TurnLedger(boot_id, "flow", store, running)
        await ledger.start()
        stack.push_async_callback(ledger.stop)
        gate = gate_for(settings, store, boot_id)
        stack.push_async_callback(gate.aclose)
        ledger.on_lease.append(gate.tend)
        toolbox = Toolbox.from_settings(settings, _LateTools(boot_id, settings, store, stack, gate))
        told = AuditNotes(store, settings.audit.content, BY).turn
        desk = Desk(boot_id, turns, Prompts(store), streams, models, toolbox, told, gate)
        yield Answering(store, desk, ledger, running)


class _LateTools:
    """Runs tools, with what they need made by the first call: most single turns make none. Released with ``stack``."""

    def __init__(self, boot_id: str, settings: Settings, store: Store, stack: AsyncExitStack, gate: Gate) -> None:
        self._boot_id = boot_id
        self._gate = gate
        self._settings = settings
        self._store = store
        self._stack = stack
        self._making = asyncio.Lock()
        self._calls: ToolCalls | None = None

    async def call(self, asked: ToolCall) -> CallResult:
        """See ``ToolCalls.call``."""
        async with self._making:
            if self._calls is None:
                bench = await self._stack.enter_async_context(bench_for(self._settings, workers=1))
                keeper = files_for(self._settings, self._store, self._gate).keeper
                told = AuditNotes(self._store, self._settings.audit.content, BY).call
                self._calls = ToolCalls(self._boot_id, ToolRuns(self._store), bench, keeper, told=told, gate=self._gate)
                self._stack.push_async_callback(self._calls.aclose, 0.0)
        return await self._calls.call(asked)


def streams_for(settings: Settings) -> Streams:
    """In Redis or Valkey where one is configured, else in this process's memory."""
    return MemoryStreams() if settings.redis.url is None else ValkeyStreams.from_settings(settings.redis, settings.ca_file)


def turns_for(settings: Settings, store: Store) -> Turns:
    """Turns with the configured queue and expiry."""
    idle = None if settings.chat.fixed_expiry else settings.chat.idle_days * 86400
    return Turns(store, queue=settings.chat.queue, idle_seconds=idle, prices=settings.prices)
