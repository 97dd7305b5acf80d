"""Probes by what we know ourselves: our records, Prefect's runs, the leases of our processes, whether we have a network."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from prefect.client.orchestration import PrefectClient
from pydantic import SecretStr

from blocks.probes.choosing import probe_of
from core.addresses import is_loopback
from core.errors import ConfigurationInvalid
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.store.base import Store
from core.store.processes import Processes
from core.sweeps.facts import KINDS, fact_of
from core.sweeps.model_facts import ModelFact, ProviderFact
from core.sweeps.observation import Observation, Probe
from core.sweeps.service import Key
from core.topology import ours
from flows.run_probe import FlowProbe

LOCAL = frozenset({"disk", "heartbeat", "backup", "drill", "flow", "none"})
"""Kinds that are looked at without a network."""
NETWORK = Key(ours.NAME, ours.NETWORK)
API = Key(ours.NAME, ours.API)


class Probes:
    """Which probe looks at a service, ours or another's. ``prefect``: who is asked for runs; None leaves flows unknown."""

    def __init__(self, settings: Settings, store: Store, prefect: PrefectClient | None = None) -> None:
        self._settings, self._store, self._prefect = settings, store, prefect
        self._network = NetworkProbe(settings)

    def of(self, key: Key, service: ServiceSettings) -> Probe:
        """The probe of a service; one that cannot be made says so when it is asked."""
        if key in (NETWORK, API):
            return self._network if key == NETWORK else ProcessProbe(self._store)
        if service.check == "flow":
            return self._flow(service.name or key.name, service)
        if service.check in KINDS:
            return fact_of(key.name, service, self._settings, self._store)
        try:
            if key.topology == ours.NAME and service.check == "model":
                return self._model(service)
            return probe_of(key.name, service, self._settings)
        except ConfigurationInvalid as error:
            return Said(Observation("unknown", "configuration", error.message))

    def _model(self, service: ServiceSettings) -> Probe:
        """Of a model of ours, or of a whole provider."""
        provider = service.name or ""
        if service.model is not None:
            return ModelFact(provider, service.model, self._settings, self._store)
        return ProviderFact(provider, probe_of(provider, service, self._settings), self._settings, self._store)

    def _flow(self, name: str, service: ServiceSettings) -> Probe:
        if self._prefect is None:
            return Said(Observation("unreachable", "prefect_away", "Nobody was there to ask Prefect."))
        timeout = service.timeout or self._settings.sweeps.timeout
        return FlowProbe(name, service.grace, timeout, self._settings, self._prefect)

    async def online(self) -> bool:
        """Whether this machine has a network, as far as the configuration lets us tell."""
        return not self._settings.sweeps.prober or (await self._network.look()).state == "up"

    @staticmethod
    def is_local(key: Key, service: ServiceSettings) -> bool:
        """Whether a service is looked at without leaving this machine."""
        if key == NETWORK or service.check in LOCAL or service.url is None:
            return True
        try:
            host = urlsplit(service.url.get_secret_value()).hostname
        except ValueError:
            return False
        return not host or is_loopback(host)


@dataclass(frozen=True, slots=True)
class Said:
    """What is known without looking."""

    seen: Observation

    async def look(self) -> Observation:
        return self.seen


class NetworkProbe:
    """Asks every address of ``sweeps.prober`` at once; one that answers, whatever it says, is enough."""

    def __init__(self, settings: Settings) -> None:
        self._probes = [probe_of("prober", _asked(each), settings) for each in settings.sweeps.prober]
        self._timeout = settings.sweeps.timeout

    async def look(self) -> Observation:
        for _ in range(2):
            if await self._any():
                return Observation("up", message="An address outside answers.")
        return Observation(
            "down", "offline", "No address of sweeps.prober answers: this machine is offline, or they are all down."
        )

    async def _any(self) -> bool:
        looks = [asyncio.create_task(self._answers(each)) for each in self._probes]
        try:
            for done in asyncio.as_completed(looks):
                if await done:
                    return True
            return False
        finally:
            for look in looks:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)

    async def _answers(self, probe: Probe) -> bool:
        try:
            async with asyncio.timeout(self._timeout):
                seen = await probe.look()
        except TimeoutError:
            return False
        return seen.state in {"up", "degraded"} or seen.code == "status"


def _asked(address: str) -> ServiceSettings:
    return ServiceSettings(check="http" if address.startswith("http") else "tcp", url=SecretStr(address))


@dataclass(frozen=True, slots=True)
class ProcessProbe:
    """Whether an API process holds its lease."""

    store: Store

    async def look(self) -> Observation:
        known = await Processes(self.store).seen("api")
        if known.alive:
            return Observation("up", message=f"{known.alive} running.", facts={"processes": known.alive})
        if known.lapsed is None:
            return Observation("unknown", "none", "No API process has been started here within a day.")
        ago = (datetime.now(UTC) - known.lapsed).total_seconds()
        return Observation(
            "down", "lapsed", f"No API process has said for {ago:.0f} s that it lives: is it running, does it hang?"
        )
