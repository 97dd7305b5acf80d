"""What our own database knows that the checks before production ask for. Nothing is changed: no table is made."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import DBAPIError

from core.backups.sources import recipients_of, sources_of, units_of
from core.errors import PilothouseError
from core.preflight.installation import ChannelSeen
from core.preflight.saved import Copies
from core.schedules import latest
from core.settings import Settings
from core.store.backup_freshness import Freshness, freshness
from core.store.base import Store
from core.store.notices import Notices

PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Facts:
    """None where the database was not there to ask."""

    copies: list[Copies] | None = None
    channels: list[ChannelSeen] | None = None


async def facts_of(settings: Settings, now: datetime) -> Facts:
    """Of the sources that schedules save, and of the channels that something waits for or went to."""
    if settings.database.url is None:
        return Facts()
    store = Store.from_settings(settings.database, application="pilothouse preflight")
    try:
        async with asyncio.timeout(PATIENCE):
            known = {each.source: each for each in await freshness(store)}
            boxes = await Notices(store).outboxes()
    except (PilothouseError, TimeoutError, DBAPIError):  # the last one: tables that are not made yet
        return Facts()
    finally:
        await store.aclose()
    channels = [ChannelSeen(each.channel, each.sent_at, str((each.error or {}).get("message", ""))) for each in boxes]
    return Facts(_copies(settings, known, now), channels)


def _copies(settings: Settings, known: dict[str, Freshness], now: datetime) -> list[Copies]:
    schedules = {name: unit.schedule for unit in units_of(settings) for name in unit.sources}
    copies = []
    for name, source in sources_of(settings).items():
        if name not in schedules:
            continue
        due, encrypted = latest(schedules[name], settings.timezone, now), bool(recipients_of(source, settings))
        one = known.get(name)
        if one is None:
            copies.append(Copies(name, due, encrypted=encrypted))
        else:
            copies.append(Copies(name, due, one.good_at, one.failed, encrypted, one.drill, one.drill_at))
    return copies
