"""TLS: a handshake at any port, who vouches for the certificate, for which name, and how long it lasts."""

import asyncio
from contextlib import suppress
from time import perf_counter

from blocks.probes.certificates import Certificate, expiring
from blocks.probes.names import connected, host_and_port, shown
from blocks.probes.observing import ca_file_of, failed, good, late, limit_of, within
from blocks.tls import tls
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe

PORT = 443


class TlsProbe:
    """Shakes hands and hangs up."""

    def __init__(self, service: ServiceSettings, settings: Settings) -> None:
        assert service.url is not None
        self._host, self._port = host_and_port(service.url.get_secret_value(), PORT)
        self._service, self._limit, self._ca_file = service, limit_of(service, settings), ca_file_of(service, settings)

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        context, where, began = tls(self._ca_file), shown(self._host, self._port), perf_counter()
        try:
            async with within(self._limit):
                taken = await connected(self._host, self._port)
                _, writer = await asyncio.open_connection(sock=taken, ssl=context, server_hostname=self._host)
        except TimeoutError:
            return late(where, self._limit)
        except OSError as error:
            return failed(error, where)
        seconds = perf_counter() - began
        secured = writer.get_extra_info("ssl_object")
        found = Certificate.of(secured.getpeercert() or {})
        facts: dict[str, str | float | int] = {"tls": secured.version() or ""}
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
        if found is None:
            return good(seconds, self._service.slow, facts)
        facts["certificate_days"] = round(found.days_left, 1)
        wrong = expiring(found, self._service)
        if wrong is not None:
            return Observation(wrong.state, wrong.code, wrong.message, seconds, facts)
        return good(seconds, self._service.slow, facts)


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``."""
    return TlsProbe(service, settings)
