"""A sweep without Prefect: real ports that open and close, the states and alerts that come of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.config import load_settings
from core.settings import Settings
from core.store.alerts import Alerts
from core.store.base import Store
from core.store.services import Services, Sweeps
from core.sweeps.board import Board
from core.sweeps.service import Key, ServiceState
from core.topology.kept import topologies_of
from flows.own_probes import Probes
from flows.sweeping import Parts, Watched, swept
from tasks.probes import Looks
from tests.prefect_server import free_port

FAST = """
[sweeps]
recheck = 0.1
timeout = 2
"""


class Ports:
    """TCP servers on loopback that are opened and closed by name."""

    def __init__(self, *names: str) -> None:
        self.numbers = {name: free_port() for name in names}
        self._servers: dict[str, asyncio.Server] = {}

    async def open(self, *names: str) -> None:
        for name in names or self.numbers:
            self._servers[name] = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", self.numbers[name])

    async def close(self, *names: str) -> None:
        for name in names or list(self._servers):
            server = self._servers.pop(name)
            server.close()
            await server.wait_closed()


@pytest.fixture
async def ports() -> AsyncIterator[Ports]:
    found = Ports("db", "api", "web", "mail")
    await found.open()
    yield found
    await found.close()


class Stage:
    """One process that sweeps: made anew it is another one on the same database."""

    def __init__(self, settings: Settings) -> None:
        assert settings.database.url is not None
        self.settings = settings
        self.store = Store.from_settings(settings.database)
        self.alerts = Alerts(self.store)

    async def sweep(self, only: str | None = None) -> Board:
        parts = Parts(self.settings, self.store, Probes(self.settings, self.store), "standby")
        board = await swept(parts, Watched(topologies_of(self.settings)), take, lambda *_: None, only)
        assert board is not None
        return board

    async def states(self) -> dict[str, ServiceState]:
        return {each.name: each for each in await Services(self.store).all()}

    async def titles(self) -> list[str]:
        return sorted(each.title for each in await self.alerts.open_())


async def take(_what: str, looks: Looks) -> int:
    return await looks.take()


def configured(folder: Path, database_url: str, ports: Ports, more: str = "") -> Settings:
    edges = {"api": ["db"], "web": ["api"], "db": [], "mail": []}
    services = "".join(
        f'[services.{name}]\ncheck = "tcp"\nurl = "tcp://127.0.0.1:{port}"\ndepends_on = {edges[name]!r}\n'
        for name, port in ports.numbers.items()
    )
    file = folder / "pilothouse.toml"
    file.write_text(FAST + services + more)
    environ = {"PILOTHOUSE_CONFIG": str(file), "PILOTHOUSE_DATA_DIR": str(folder), "DATABASE_URL": database_url}
    return load_settings(environ=environ)


@pytest.fixture
async def stage(tmp_path: Path, database_url: str, ports: Ports) -> AsyncIterator[Stage]:
    stage = Stage(configured(tmp_path, database_url, ports))
    yield stage
    await stage.store.aclose()


async def test_what_is_well_is_told_to_nobody(stage: Stage) -> None:
    board = await stage.sweep()
    assert {each.state for each in (await stage.states()).values()} == {"up"}
    assert await stage.titles() == []
    last = await Sweeps(stage.store).last()
    assert last is not None
    assert last.counts == {"up": 4, "degraded": 0, "down": 0, "unreachable": 0, "unknown": 0, "flips": 0, "looks": 4}
    assert list(board.states) == [Key("services", name) for name in ("api", "db", "mail", "web")]


async def test_the_cause_is_told_once_and_its_end_once(stage: Stage, ports: Ports, database_url: str) -> None:
    await stage.sweep()
    await ports.close("db", "api", "web")
    await stage.sweep()
    (alert,) = await stage.alerts.open_()
    assert alert.title == "db is down"
    assert "2 services fail with it: api, web." in alert.text
    assert dict(alert.facts)["Depend on it"] == "2"
    states = await stage.states()
    assert (states["api"].root, states["web"].root, states["mail"].state) == ("services/db", "services/db", "up")
    again = Stage(stage.settings)  # a restart in mid-outage
    await again.sweep()
    assert [(each.id, each.times) for each in await again.alerts.open_()] == [(alert.id, 1)]
    await again.store.aclose()
    await ports.open("db", "api", "web")
    await stage.sweep()
    assert await stage.titles() == []
    assert [each.id for each in await stage.alerts.page(10)] == [alert.id]


async def test_a_child_that_stays_down_gets_its_own_alert(stage: Stage, ports: Ports) -> None:
    await stage.sweep()
    await ports.close("db", "web", "mail")
    await stage.sweep()
    assert await stage.titles() == ["db is down", "mail is down", "web is down"], "the api between them is up"
    await ports.close("api")
    await ports.open("web")
    await stage.sweep()
    assert await stage.titles() == ["db is down", "mail is down"]
    await ports.open("db")
    await stage.sweep()
    assert await stage.titles() == ["api is down", "mail is down"]


async def test_what_leaves_the_configuration_leaves_the_alerts(
    stage: Stage, ports: Ports, tmp_path: Path, database_url: str
) -> None:
    await ports.close("mail")
    await stage.sweep()
    assert await stage.titles() == ["mail is down"]
    del ports.numbers["mail"]
    stage.settings = configured(tmp_path, database_url, ports)
    await stage.sweep()
    (over,) = await stage.alerts.page(10)
    assert (over.status, over.resolved_words) == ("resolved", "It is no longer in the configuration.")
    assert list(await stage.states()) == ["api", "db", "web"]
