"""What a check needs to know of files: who may open them, how old they are, and what a certificate says."""

import stat
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from time import time

from cryptography import x509

from blocks.probes.certificates import DAY, Certificate, expiring
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation


def mode_of(path: Path) -> int | None:
    """Its permission bits; None where it is not there or may not be asked."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def modes_of(paths: Iterable[Path]) -> dict[str, int]:
    """The permission bits of those that are there."""
    return {str(path): mode for path in dict.fromkeys(paths) if (mode := mode_of(path)) is not None and path.is_file()}


def days_of(path: Path) -> float | None:
    """How long ago it was written."""
    try:
        return (time() - path.stat().st_mtime) / DAY
    except OSError:
        return None


def certificate(path: Path, now: datetime) -> Observation:
    """Whether the first certificate of a PEM file lasts."""
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no certificate in PEM form"
        return Observation("down", "unreadable", f"It cannot be read: {why}.")
    left = (found.not_valid_after_utc - now).total_seconds() / DAY
    whole = (found.not_valid_after_utc - found.not_valid_before_utc).total_seconds() / DAY
    if left <= 0:
        return Observation("down", "expired", f"It has ended {-left:.0f} days ago: renew it.")
    return expiring(Certificate(left, whole), ServiceSettings(check="none")) or Observation("up")
