"""How often sweeps come: which schedule an interval needs, and when the next sweep is due.

A run is a process of its own, so none is started more often than each five minutes: with a shorter interval a run sweeps again
and again until the next one begins. With a longer one the schedule is the nearest that cron can say; what comes too soon waits.
"""

from datetime import datetime, timedelta

from core.schedules import following
from core.settings import Settings

STEPS = (5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440)
"""Minutes that divide an hour or a day."""
EARLY = 0.8
"""Of an interval: a sweep that comes this late after the last is due, so that what comes by schedule keeps to it."""


def step_of(interval: float) -> int:
    """Minutes between two runs for an ``interval`` in seconds."""
    return max((step for step in STEPS if step * 60 <= interval), default=STEPS[0])


def sweep_schedules(settings: Settings) -> list[str]:
    """The cron line of the flow."""
    step = step_of(settings.sweeps.interval)
    if step < 60:
        return [f"*/{step} * * * *"]
    return ["0 0 * * *" if step == 1440 else f"0 */{step // 60} * * *"]


def several(settings: Settings) -> bool:
    """Whether one run sweeps more than once."""
    return settings.sweeps.interval < step_of(settings.sweeps.interval) * 60


def due(settings: Settings, last: datetime | None, now: datetime) -> datetime:
    """When the next sweep by schedule is due, after one that began at ``last``."""
    if last is None:
        return now
    interval = settings.sweeps.interval * (1.0 if several(settings) else EARLY)
    return max(now, last + timedelta(seconds=interval))


def ends(settings: Settings, began: datetime) -> datetime:
    """When the run after the one that began then does."""
    return min(following(line, settings.timezone, began) for line in sweep_schedules(settings))


def overdue(settings: Settings, *, away: bool) -> float:
    """Seconds after the last sweep when an API process makes the next one; with more patience where Prefect is not ``away``."""
    interval = settings.sweeps.interval
    return interval + (max(2.0, min(interval / 10, 15.0)) if away else max(30.0, interval / 2))
