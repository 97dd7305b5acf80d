"""Backups and drills: whether there is something to go back to, and whether that has been tried."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.preflight.item import Item, judged, listed, unseen

DRILL_DAYS = 31.0
UNPROVEN = ("", "nothing_to_drill")
"""Results of drills that say nothing of a backup."""


@dataclass(frozen=True, slots=True)
class Copies:
    """What is known of one source: its newest good backup, since when another is due, and its newest drill."""

    source: str
    due_at: datetime
    good_at: datetime | None = None
    failed: bool = False
    """Whether the newest attempt failed."""
    encrypted: bool = True
    drill: str = ""
    drill_at: datetime | None = None


def backups(copies: Sequence[Copies] | None, now: datetime, grace: timedelta, beside: bool, unsaved: str = "") -> Item:
    """``copies``: None where nobody was there to ask. ``beside``: they lie on the disk of what they are copies of.

    ``unsaved``: what is left out, and why.
    """
    if copies is None:
        return unseen("backups", "the database does not answer", "Start Pilothouse, or set DATABASE_URL, and look again.")
    wrong = [f"{each.source} has never been backed up" for each in copies if each.good_at is None]
    wrong += [
        f"{each.source}: the newest good backup is {_age(each.good_at, now)} old"
        for each in copies
        if each.good_at is not None and each.good_at < each.due_at and now > each.due_at + grace
    ]
    if not copies:
        wrong.append("Nothing is backed up")
    failing = [each.source for each in copies if each.failed and each.good_at is not None]
    doubtful = [f"The last attempt failed for {listed(failing)}"] if failing else []
    plain = [each.source for each in copies if not each.encrypted]
    doubtful += [f"Not encrypted: {listed(plain)}"] if plain else []
    doubtful += ["They lie on the disk of this machine, and are lost with it"] if beside and copies else []
    doubtful += [unsaved] if unsaved else []
    good = f"{len(copies)} sources, each with a good backup that is not older than it may be"
    todo = "Run `pilothouse backup`, look at its log; set backups.recipients and a backups.store elsewhere."
    return judged("backups", wrong, doubtful, good, todo)


def drills(copies: Sequence[Copies] | None, now: datetime) -> Item:
    """A backup that was never restored is a hope."""
    if copies is None:
        return unseen("drills", "the database does not answer", "Start Pilothouse, or set DATABASE_URL, and look again.")
    wrong = [f"{each.source}: the last drill says {each.drill}" for each in copies if each.drill not in (*UNPROVEN, "good")]
    never = [each.source for each in copies if each.drill in UNPROVEN]
    doubtful = [f"Never restored for proof: {listed(never)}"] if never or not copies else []
    doubtful += [
        f"{each.source}: the last drill is {_age(each.drill_at, now)} old"
        for each in copies
        if each.drill == "good" and each.drill_at is not None and now - each.drill_at > timedelta(days=DRILL_DAYS)
    ]
    return judged("drills", wrong, doubtful, "Each source was restored for proof, and was whole", "Run `pilothouse drill`.")


def _age(moment: datetime, now: datetime) -> str:
    hours = (now - moment).total_seconds() / 3600
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"
