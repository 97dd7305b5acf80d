"""What a process needs that answers single turns: its desk, and a lease under which the turns are its own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from blocks.models import Models
from blocks.valkey import ValkeyStreams
from core.config import Settings
from core.ids import new_id
from core.store.base import Store
from core.store.prompts import Prompts
from core.store.turns import Turns
from core.streams import MemoryStreams, Streams
from core.turns import RunningTurn
from flows.asking import Desk
from flows.ledger import TurnLedger


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
        yield Answering(store, Desk(boot_id, turns, Prompts(store), streams, models), ledger, running)


def streams_for(settings: Settings) -> Streams:
    """In Redis or Valkey where one is configured, else in this process's memory."""
    return MemoryStreams() if settings.redis.url is None else ValkeyStreams.from_settings(settings.redis, settings.ca_file)


def turns_for(settings: Settings, store: Store) -> Turns:
    """Turns with the configured queue and expiry."""
    idle = None if settings.chat.fixed_expiry else settings.chat.idle_days * 86400
    return Turns(store, queue=settings.chat.queue, idle_seconds=idle)
