"""The gate of a process: in Valkey where one is configured, else in our database."""

from blocks.valkey_counters import ValkeyCounters
from core.config import Settings
from core.quotas.gate import Gate
from core.store.base import Store
from core.store.quotas import StoreCounters


def gate_for(settings: Settings, store: Store, boot_id: str) -> Gate:
    """Asks nobody yet. ``boot_id`` is the process's, whose lease its holds live by."""
    shared = None
    if settings.redis.url is not None:
        shared = ValkeyCounters.from_settings(settings.redis, StoreCounters(store), settings.ca_file)
    return Gate(boot_id, settings.quotas, settings.timezone, store, shared)
