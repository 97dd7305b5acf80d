"""Flapping: what comes and goes so often that a message each time would only teach people not to read them."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from core.settings_alerts import AlertSettings

CALM = 0.5
"""The share of ``flap_minutes`` that must pass without a flip."""


def flapping_since(flips: Iterable[datetime], was: datetime | None, now: datetime, rules: AlertSettings) -> datetime | None:
    """Since when it flaps, given when it was raised and resolved lately and since when it ``was`` flapping; None: it does not.

    It begins with ``flaps`` flips within ``flap_minutes``, and ends once half that time passes without one.
    """
    known = sorted(flips)
    if was is not None:
        return was if known and now < calm_at(known[-1], rules) else None
    recent = [flip for flip in known if flip > now - timedelta(minutes=rules.flap_minutes)]
    if len(recent) < rules.flaps or now >= calm_at(recent[-1], rules):
        return None
    return recent[0]


def calm_at(last_flip: datetime, rules: AlertSettings) -> datetime:
    """When it is calm unless it flips again."""
    return last_flip + timedelta(minutes=rules.flap_minutes * CALM)
