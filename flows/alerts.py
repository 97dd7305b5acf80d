"""Alerts by hand: what waits is sent now, and the digest of any day."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from prefect import flow

from core.config import Settings, load_settings
from core.errors import InputInvalid
from core.ids import new_id
from core.store.base import Store
from core.store.runs import Runs
from flows.alerting import Alerting
from tasks.retrying import NOWHERE
from tasks.runs import keep_result

GRACE = 30.0


@dataclass(frozen=True)
class Parts:
    """What the flows work with."""

    settings: Settings
    alerting: Alerting
    runs: Runs


@asynccontextmanager
async def opened() -> AsyncIterator[Parts]:
    """The parts, from this process's settings."""
    settings = load_settings()
    store = Store.from_settings(settings.database, application="pilothouse flows")
    alerting = Alerting(new_id(), settings, store)
    try:
        yield Parts(settings, alerting, Runs(store))
    finally:
        await alerting.stop(GRACE)
        await store.aclose()


@flow(name="send_alerts", persist_result=False, result_storage=NOWHERE, timeout_seconds=1800)
async def send_alerts() -> dict[str, Any]:
    """Looks once at what changed and sends what is due, as the API does by itself every second.

    Of use where no API runs. A channel that an API process sends to at this moment is left to it. The result counts the messages
    that were made, and those that still wait.
    """
    async with opened() as parts:
        outcomes = await parts.alerting.settle()
        waiting = await parts.alerting.deliver()
        result = {"told": len(outcomes), "messages": sum(len(each.messages) for each in outcomes), "waiting": waiting}
        await keep_result(parts.runs, result)
    return result


@flow(name="digest", persist_result=False, result_storage=NOWHERE, timeout_seconds=600)
async def digest(day: str | None = None) -> dict[str, Any]:
    """Sends every channel a summary of a day: alerts that came and went, what still held, backups.

    The setting `alerts.digest` sends it every day by itself.

    Args:
        day: A day such as 2026-11-20, in the configured time zone. Without one, the last 24 hours.
    """
    async with opened() as parts:
        moment = moment_of(day, ZoneInfo(parts.settings.timezone), datetime.now(UTC))
        channels = await parts.alerting.digest(f"by-hand:{new_id()}", moment)
        waiting = await parts.alerting.deliver()
        result = {"until": moment.isoformat(), "channels": channels, "waiting": waiting}
        await keep_result(parts.runs, result)
    return result


def moment_of(day: str | None, zone: ZoneInfo, now: datetime) -> datetime:
    """The end of a day, or now. Raises ``InputInvalid`` for what is no day, or one to come."""
    if day is None:
        return now
    try:
        found = date.fromisoformat(day)
    except ValueError as error:
        raise InputInvalid("day: expected a day such as 2026-11-20.", field="parameters.day") from error
    if found > now.astimezone(zone).date():
        raise InputInvalid("day: expected a day that has begun.", field="parameters.day")
    return min(now, datetime.combine(found + timedelta(days=1), time(), zone).astimezone(UTC))
