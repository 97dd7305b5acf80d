"""Cron lines: checked when they are configured, and asked when they were due last."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError


def cron(value: str) -> str:
    """A line of five fields, such as ``0 2 * * *``. Raises ``ValueError``."""
    fields = value.split()
    try:
        if len(fields) != 5:
            raise CronSimError
        next(CronSim(" ".join(fields), datetime.now(UTC)))
    except (CronSimError, StopIteration) as error:
        raise ValueError("expected a cron line of five fields, such as 0 2 * * * for every night at two") from error
    return " ".join(fields)


def latest(line: str, zone: str, now: datetime) -> datetime:
    """The last time up to ``now`` that the cron ``line`` names in ``zone``, in UTC."""
    # The times asked for are before the given one; all of them are whole minutes.
    following = (now.replace(second=0, microsecond=0) + timedelta(minutes=1)).astimezone(ZoneInfo(zone))
    return next(CronSim(line, following, reverse=True)).astimezone(UTC)


def following(line: str, zone: str, now: datetime) -> datetime:
    """The first time after ``now`` that the cron ``line`` names in ``zone``, in UTC."""
    return next(CronSim(line, now.astimezone(ZoneInfo(zone)))).astimezone(UTC)
