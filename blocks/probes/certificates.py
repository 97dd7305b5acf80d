"""How long a server's certificate lasts, and whether that is enough."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from time import time

from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation

DAY = 86_400.0
WARN, CRITICAL = 21.0, 7.0
"""Days left."""
SHARES = (3, 9)
"""Certificates that are made for less than nine weeks are renewed late: a third and a ninth of their life are enough."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a handshake that was trusted has shown."""

    days_left: float
    lifetime: float
    """Days from the first to the last."""

    @classmethod
    def of(cls, told: Mapping[str, object]) -> "Certificate | None":
        """From what ``ssl.SSLSocket.getpeercert`` gives, which is empty for a certificate that nobody has checked."""
        first, last = told.get("notBefore"), told.get("notAfter")
        if not (isinstance(first, str) and isinstance(last, str)):
            return None
        ends = ssl.cert_time_to_seconds(last)
        return cls((ends - time()) / DAY, (ends - ssl.cert_time_to_seconds(first)) / DAY)


def expiring(found: Certificate, service: ServiceSettings, *, answers: bool = False) -> Observation | None:
    """What is wrong with the days left, if anything. ``answers``: the service works, so by default it is at most degraded."""
    warn = min(WARN, found.lifetime / SHARES[0]) if service.warn is None else service.warn
    critical = min(CRITICAL, found.lifetime / SHARES[1]) if service.critical is None else service.critical
    message = f"Its certificate ends in {_days(found.days_left)}: renew it."
    if found.days_left <= critical:
        works = answers and service.critical is None
        return Observation("degraded" if works else "down", "expires_now", message)
    return Observation("degraded", "expires_soon", message) if found.days_left <= warn else None


def _days(days: float) -> str:
    if days < 2:
        return f"{max(0.0, days * 24):.0f} hours"
    return f"{days:.0f} days"
