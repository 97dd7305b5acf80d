"""DNS: that a name leads to addresses, by this machine's own resolver or by a name server that is asked directly."""

from ipaddress import ip_address
from time import perf_counter
from urllib.parse import urlsplit

import dns.asyncresolver
import dns.exception
import dns.resolver

from blocks.probes.names import addresses_of
from blocks.probes.observing import good, late, limit_of, within
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe

PORT = 53
MACHINE = "the resolver of this machine"


class DnsProbe:
    """Resolves a name. Without a ``server`` as programs on this machine do, ``/etc/hosts`` included."""

    def __init__(self, service: ServiceSettings, settings: Settings) -> None:
        assert service.url is not None
        parts = urlsplit(service.url.get_secret_value())
        asked = parts.path.strip("/")
        self._host = asked or parts.hostname or ""
        self._server = (parts.hostname, parts.port or PORT) if asked and parts.hostname else None
        self._service, self._limit = service, limit_of(service, settings)

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        by, began = self._server[0] if self._server else MACHINE, perf_counter()
        try:
            async with within(self._limit):
                found = await self._resolved()
        except (TimeoutError, dns.exception.Timeout):
            return late(by, self._limit)
        except (OSError, dns.exception.DNSException) as error:
            if isinstance(error, dns.resolver.NoNameservers):
                return Observation("down", "refused", f"{by} cannot answer for {self._host}: look at its configuration and log.")
            return Observation("down", "name", f"{self._host} leads to no address, as {by} knows it: check its zone.")
        seconds, facts = perf_counter() - began, {"addresses": len(found)}
        expected = self._service.address
        if expected is not None and not any(_same(expected, each) for each in found):
            return Observation("down", "address", f"{self._host} does not lead to {expected}: check its records.", seconds, facts)
        return good(seconds, self._service.slow, facts)

    async def _resolved(self) -> set[str]:
        if self._server is None:
            return {info[4][0] for info in await addresses_of(self._host, 0)}
        host, port = self._server
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [str(info[4][0]) for info in await addresses_of(host, port)]
        resolver.port, resolver.lifetime = port, self._limit
        return set((await resolver.resolve_name(self._host, search=False)).addresses())


def _same(expected: str, found: str) -> bool:
    try:
        return ip_address(expected) == ip_address(found)
    except ValueError:
        return False


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``."""
    return DnsProbe(service, settings)
