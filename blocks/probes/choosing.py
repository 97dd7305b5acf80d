"""Which probe looks at a service: one module for each kind, imported when a service asks for it."""

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol

from core.errors import ConfigurationInvalid
from core.settings import Settings
from core.settings_services import Check, ServiceSettings
from core.sweeps.observation import Probe

MODULES: Mapping[Check, str] = {
    "disk": "disk",
    "dns": "dns",
    "docker": "docker",
    "http": "http",
    "icmp": "icmp",
    "ldap": "ldap",
    "model": "model",
    "mongo": "mongo",
    "mysql": "mysql",
    "none": "unlooked",
    "oidc": "oidc",
    "postgres": "postgres",
    "prefect": "prefect",
    "redis": "redis",
    "s3": "s3",
    "tcp": "tcp",
    "tls": "certificate",
    "weaviate": "weaviate",
}
"""A kind's module in this folder. Its ``probe(name, service, settings)`` gives the probe and touches no server."""
OURS: frozenset[Check] = frozenset({"heartbeat", "backup", "drill", "flow"})
"""Kinds that are judged by what our own database knows of them; no probe looks at them."""


class _Module(Protocol):
    def probe(self, name: str, service: ServiceSettings, settings: Settings) -> Probe:
        """The probe of one service."""


def probe_of(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """The probe of ``[services.NAME]``; touches no server.

    Raises ``ConfigurationInvalid`` for what cannot be looked at as it is configured, and for the kinds in ``OURS``.
    """
    if (module := MODULES.get(service.check)) is None:
        raise ConfigurationInvalid(f'services.{name}: no probe looks at a service with check = "{service.check}".')
    found: _Module = import_module(f"blocks.probes.{module}")
    return found.probe(name, service, settings)
