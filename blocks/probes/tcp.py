"""TCP: that something takes connections at a port."""

from time import perf_counter

from blocks.probes.names import connected, host_and_port, shown
from blocks.probes.observing import failed, good, late, limit_of, within
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe


class TcpProbe:
    """Connects and hangs up."""

    def __init__(self, host: str, port: int, limit: float, slow: float | None = None) -> None:
        self._host, self._port, self._limit, self._slow = host, port, limit, slow

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        where, began = shown(self._host, self._port), perf_counter()
        try:
            async with within(self._limit):
                (await connected(self._host, self._port)).close()
        except TimeoutError:
            return late(where, self._limit)
        except OSError as error:
            return failed(error, where)
        return good(perf_counter() - began, self._slow)


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``."""
    assert service.url is not None
    host, port = host_and_port(service.url.get_secret_value())
    return TcpProbe(host, port, limit_of(service, settings), service.slow)
