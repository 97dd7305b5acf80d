"""Services that are only drawn: nothing from here can tell how they are."""

from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe


class Unlooked:
    """Looks at nothing."""

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        return Observation("unknown", "none", "It is not checked.")


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``."""
    return Unlooked()
