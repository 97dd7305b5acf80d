"""ICMP: that a host answers to echo requests, where the kernel lets this process send them."""

from urllib.parse import urlsplit

from icmplib import Host, ICMPLibError, SocketPermissionError, async_ping  # type: ignore[import-untyped]

from blocks.probes.names import addresses_of
from blocks.probes.observing import failed, good, late, limit_of, within
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe

TRIES = 3
BETWEEN = 0.2
"""Seconds between two tries."""
PERCENT = 100.0
HOW = (
    "The kernel does not let this process send echo requests: allow its group by sysctl net.ipv4.ping_group_range, "
    'or check a port of the host instead (check = "tcp").'
)


class IcmpProbe:
    """Sends a few echo requests; one answer is enough, a lost one makes it degraded."""

    def __init__(self, host: str, limit: float, slow: float | None) -> None:
        self._host, self._limit, self._slow = host, limit, slow

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        try:
            async with within(self._limit):
                told = await self._sent()
        except TimeoutError:
            return late(self._host, self._limit)
        except OSError as error:
            return failed(error, self._host)
        if isinstance(told, Observation):
            return told
        if not told.is_alive:
            return late(self._host, self._limit)
        seconds, facts = told.avg_rtt / 1000, {"lost_percent": round(told.packet_loss * PERCENT)}
        if told.packet_loss > 0:
            lost = f"{facts['lost_percent']} % of the echo requests to {self._host} were lost: look at the network in between."
            return Observation("degraded", "loss", lost, seconds, facts)
        return good(seconds, self._slow, facts)

    async def _sent(self) -> Host | Observation:
        wait = max(0.1, (self._limit - TRIES * BETWEEN) / TRIES)
        address = (await addresses_of(self._host, 0))[0][4][0]
        for privileged in (False, True):  # by the group's right, or by the one to open raw sockets
            try:
                return await async_ping(address, count=TRIES, interval=BETWEEN, timeout=wait, privileged=privileged)
            except SocketPermissionError:
                continue
            except ICMPLibError:
                return Observation("down", "connection", f"No echo request could be sent to {self._host}: check routes.")
        return Observation("unreachable", "not_allowed", HOW)


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``."""
    assert service.url is not None
    return IcmpProbe(urlsplit(service.url.get_secret_value()).hostname or "", limit_of(service, settings), service.slow)
