"""``[quotas]``: how much one caller may ask for."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from core.settings_types import Section

RATE = re.compile(r"(\d{1,7})\s*/\s*(\d{1,6})\s*s?")
OFF = "off"


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds."""

    most: int
    seconds: int


def rate(value: str) -> str:
    """``100/60``, or ``off``."""
    text = value.strip().lower()
    if text != OFF and ((found := RATE.fullmatch(text)) is None or not int(found[1]) or not int(found[2])):
        raise ValueError("expected a number of turns and a number of seconds such as 100/60, or off")
    return text


def rate_of(value: str) -> Rate | None:
    """The rate that a checked value says; None for ``off``."""
    found = RATE.fullmatch(value)
    return None if found is None else Rate(int(found[1]), int(found[2]))


class QuotaSettings(Section):
    """``[quotas]``: how much one caller may ask for."""

    chat_rate: Annotated[str, AfterValidator(rate)] = "100/60"
    """Chat turns of one user, or of one client address with one token, in so many seconds; ``off`` for no limit.

    Tokens of scope ``admin`` or ``plugin`` have none.
    """
