"""Which heartbeats are waited for: those that a service of any topology is checked by."""

from core.config import Settings
from core.errors import ConfigurationInvalid
from core.topology.kept import topologies_of


def heartbeat_names(settings: Settings) -> frozenset[str] | None:
    """Their names. Reads the topology files; None where one of them is broken, so that nobody can tell."""
    try:
        topologies = topologies_of(settings)
    except ConfigurationInvalid:
        return None
    return frozenset(
        service.name or name
        for topology in topologies
        for name, service in topology.services.items()
        if service.check == "heartbeat"
    )
