"""Whether a backup of a bucket may hold only what is new since the last whole one: pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from core.backups.manifest import Manifest, PartRecord

INDEX = "index"
"""The form of the part that tells what a whole backup holds."""


def index_of(whole: Manifest) -> PartRecord | None:
    """None for a backup of an older release, or of another engine."""
    return next((part for part in whole.parts if part.format == INDEX), None)


def why_whole(whole: Manifest | None, recipients: Sequence[str], days: float, now: datetime) -> str | None:
    """Why the next backup has to be whole, as far as the last whole one tells; None where it may be an increment.

    ``days``: how long increments are made against one whole backup.
    """
    if whole is None:
        return "there is no good whole one yet"
    age = now - whole.started_at
    causes = (
        (index_of(whole) is None, "the last whole one has no index"),
        (set(whole.recipients) != set(recipients), "the recipients have changed since the last whole one"),
        (not timedelta() <= age < timedelta(days=days), f"the last whole one is not of the last {days:g} days"),
    )
    return next((why for holds, why in causes if holds), None)


def too_much(new: int, total: int) -> bool:
    """Whether so many bytes of all have changed that a whole backup is worth it; also where nothing is left."""
    return new * 2 > total or total == 0
