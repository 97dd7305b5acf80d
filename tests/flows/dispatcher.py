"""Dispatchers that may be killed: reads ``start`` from its input, each time forks one that tells alerts, and says its pid.

Forked, since each would take seconds to import what it needs. Told: the database's address and the channel's.
"""

import asyncio
import os
import sys

from prefect.context import AsyncClientContext

from core.store import notices

notices.LEASE_SECONDS = 1.0

from core.config import DatabaseSettings, Settings  # noqa: E402  (after the lease is set)
from core.ids import new_id  # noqa: E402
from core.store.base import Store  # noqa: E402
from flows import alerting  # noqa: E402
from flows.relay import EventRelay  # noqa: E402


async def dispatch(database_url: str, hook: str) -> None:
    """Tell alerts until killed."""
    alerting.TICK = 0.1
    EventRelay(1000).install()
    store = Store.from_settings(DatabaseSettings.model_validate({"url": database_url}))
    channels = {"hook": {"kind": "webhook", "url": hook, "per_second": 100}}
    settings = Settings.model_validate({"data_dir": "/nowhere", "alerts": {"wait": 0, "interval": 0}, "channels": channels})
    async with AsyncClientContext.get_or_create():
        await alerting.Alerting(new_id(), settings, store).start()
        await asyncio.Event().wait()


def main(database_url: str, hook: str) -> None:
    for line in sys.stdin:
        assert line == "start\n"
        child = os.fork()
        if child == 0:
            asyncio.run(dispatch(database_url, hook))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
