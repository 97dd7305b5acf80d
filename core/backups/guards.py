"""Whether a backup that ran without an error can be trusted: pure judgements, each with a name of its own.

A dump can end well and be worthless: empty, or of half a database. What goes wrong before that (a program that failed, a source
that is backed up already, a tool that is too old, a store that is full or away) tells so itself: ``core.backups.errors``.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from core.backups.errors import OutputEmpty, OutputTooSmall
from core.backups.manifest import Manifest
from core.schedules import latest


@dataclass(frozen=True, slots=True)
class Warned:
    """What a person should look at. The message holds nothing of the backup's content."""

    code: Literal["shrunk_output", "backup_late", "no_backup"]
    message: str


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When a source should be saved: its cron line in ``timezone``, and how long after that a backup may still come."""

    schedule: str
    timezone: str
    grace: timedelta

    def due(self, now: datetime) -> datetime:
        """When the backup was due that has to be there by now."""
        return latest(self.schedule, self.timezone, now - self.grace)


def check_output(manifest: Manifest, last_good: Manifest | None, smallest: int) -> list[Warned]:
    """What came out, beside the last good backup of the source. ``smallest`` in bytes before compression; of an increment all
    that it restores is judged, and against another backup only how many objects there are.

    Raises ``OutputEmpty`` and ``OutputTooSmall``: such a backup is not to be kept.
    """
    empty = [part.name for part in manifest.parts if not part.plain_size]
    if empty or not manifest.parts:
        raise OutputEmpty(f"{manifest.source}: nothing came out{' of ' + ', '.join(empty) if empty else ''}.")
    if manifest.held < smallest:
        raise OutputTooSmall(
            f"{manifest.source}: only {manifest.held} bytes came out; sources.{manifest.source}.smallest, "
            f"or backups.smallest, expects {smallest}."
        )
    return [] if last_good is None else _shrunk(manifest, last_good)


def check_freshness(source: str, newest_good: datetime | None, rhythm: Rhythm, now: datetime) -> Warned | None:
    """Whether the newest good backup of a source is older than it should be; None when all is well."""
    due = rhythm.due(now)
    if newest_good is None:
        return Warned("no_backup", f"{source} has no good backup; make one with `pilothouse backup {source}`.")
    if newest_good < due:
        return Warned(
            "backup_late",
            f"{source} was last backed up well on {newest_good:%Y-%m-%d %H:%M} UTC; one was due on {due:%Y-%m-%d %H:%M} UTC.",
        )
    return None


def _shrunk(manifest: Manifest, last_good: Manifest) -> list[Warned]:
    bytes_ = (manifest.plain_size, last_good.plain_size, "bytes")
    counts = (sum(manifest.counts.values()), sum(last_good.counts.values()), "rows, objects or files")
    judged = (counts,) if manifest.base is not None or last_good.base is not None else (bytes_, counts)
    return [
        Warned("shrunk_output", f"{manifest.source}: {now} {what}, at most half of the {before} of the last good backup.")
        for now, before, what in judged
        if before and now * 2 <= before
    ]
