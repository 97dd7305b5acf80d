"""The disk that a path lies on: room and inodes in percent, and whether it still takes writes."""

import asyncio
import os
from pathlib import Path
from threading import Thread

from blocks.probes.findings import Findings, down, limits_of, looked
from blocks.probes.observing import limit_of
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe

USUAL = (85.0, 95.0)
"""Percent from which a disk is degraded, and down."""
_HANGING: set[Path] = set()
"""Paths whose disk has not answered yet: a thread waits for each, and no second one is to."""


class DiskProbe:
    """Asks the system, in a thread that nobody waits for: a network disk whose server is gone never answers."""

    def __init__(self, path: Path, service: ServiceSettings, limit: float) -> None:
        self._path = path
        self._service = service
        self._limit = limit

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        return await looked(str(self._path), self._limit, self._service.slow, self._asked)

    async def _asked(self, found: Findings) -> None:
        if self._path in _HANGING:
            raise down("timeout", f"The disk of {self._path} still does not answer: is its server gone?")
        try:
            told = await _statvfs(self._path)
        except FileNotFoundError:
            raise down("missing", f"There is no {self._path}: is its disk mounted?") from None
        except OSError as error:
            raise down("disk", f"The disk of {self._path} gives an error ({error.strerror}): look at the system's log.") from None
        found.answered()
        self._judge(told, found)

    def _judge(self, told: os.statvfs_result, found: Findings) -> None:
        limits = limits_of(self._service, USUAL)
        # As df counts: what is kept for root is neither used nor to be had.
        used, free = (told.f_blocks - told.f_bfree) * told.f_frsize, told.f_bavail * told.f_frsize
        found.facts |= {"free_bytes": free, "size_bytes": told.f_blocks * told.f_frsize}
        if used + free:
            percent = used / (used + free) * 100
            sentence = f"The disk of {self._path} is {percent:.0f} % full, {_size(free)} are free: make room."
            found.share("disk", percent, limits, sentence)
        if told.f_files:
            percent = (told.f_files - told.f_ffree) / told.f_files * 100
            sentence = f"{percent:.0f} % of the inodes of {self._path} are in use: delete small files, of which there are many."
            found.share("inodes", percent, limits, sentence)
        if told.f_flag & os.ST_RDONLY:
            found.add("degraded", "read_only", f"The disk of {self._path} takes no writes (read-only): look at the system's log.")


_ask = os.statvfs


async def _statvfs(path: Path) -> os.statvfs_result:
    loop = asyncio.get_running_loop()
    told: asyncio.Future[os.statvfs_result] = loop.create_future()

    def settle(result: os.statvfs_result | OSError) -> None:
        if not told.done():
            told.set_exception(result) if isinstance(result, OSError) else told.set_result(result)

    def working() -> None:
        try:
            result: os.statvfs_result | OSError = _ask(path)
        except OSError as error:
            result = error
        _HANGING.discard(path)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result)

    _HANGING.add(path)
    Thread(target=working, name="disk-probe", daemon=True).start()
    return await told


def _size(count: int) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count} {unit}"
        count //= 1000
    return f"{count} TB"


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``."""
    return DiskProbe(service.path or settings.data_dir, service, limit_of(service, settings))
