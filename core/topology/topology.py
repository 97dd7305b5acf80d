"""A platform's services and what depends on what."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.settings_services import ServiceSettings


@dataclass(frozen=True, slots=True)
class Topology:
    """Services by name. Names in ``depends_on`` and ``hints`` that lead nowhere have been refused before."""

    name: str
    services: Mapping[str, ServiceSettings] = field(default_factory=dict)
