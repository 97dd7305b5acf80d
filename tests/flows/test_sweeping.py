"""A sweep without Prefect: real ports that open and close, the states and alerts that come of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from core.config import load_settings
from core.settings import Settings
from core.store.alerts import Alerts
from core.store.base import Store
from core.store.processes import Processes
from core.store.services import Services, Sweeps
from core.sweeps.board import Board
from core.sweeps.service import Key, ServiceState
from core.topology import ours
from core.topology.kept import topologies_of
from flows.own_probes import Probes, ProcessProbe
from flows.sweeping import Parts, Watched, swept, watched
from tasks.probes import Looks
from tests.ports import free_port

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

    async def sweep(self, seen: Watched | None = None, only: str | None = None) -> Board:
        parts = Parts(self.settings, self.store, Probes(self.settings, self.store), "standby")
        chosen = seen or Watched(topologies_of(self.settings))
        board = await swept(parts, chosen, take, lambda *_: None, only)
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
    (folder / "pilothouse.toml").write_text(FAST + services + more)
    return configured_from(folder, database_url)


def configured_from(folder: Path, database_url: str) -> Settings:
    environ = {
        "PILOTHOUSE_CONFIG": str(folder / "pilothouse.toml"),
        "PILOTHOUSE_DATA_DIR": str(folder),
        "DATABASE_URL": database_url,
    }
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


async def test_what_grows_worse_is_the_same_alert_in_new_words(tmp_path: Path, database_url: str, ports: Ports) -> None:
    stage = Stage(configured(tmp_path, database_url, ports, "slow = 1e-9"))
    await stage.sweep()
    (before,) = await stage.alerts.open_()
    assert (before.title, before.severity) == ("mail is degraded", "warning")
    await ports.close("mail")
    await stage.sweep()
    (after,) = await stage.alerts.open_()
    assert (after.title, after.severity, after.id) == ("mail is down", "critical", before.id)
    assert after.text != before.text
    await stage.store.aclose()


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


async def test_only_one_process_sweeps_at_a_time(stage: Stage) -> None:
    async with Sweeps(stage.store).held("another"):
        parts = Parts(stage.settings, stage.store, Probes(stage.settings, stage.store), "standby")
        assert await swept(parts, Watched(topologies_of(stage.settings)), take, lambda *_: None) is None
    await stage.sweep()


async def test_in_maintenance_it_is_looked_at_and_not_told(stage: Stage, ports: Ports, tmp_path: Path, database_url: str) -> None:
    plain = stage.settings
    window = '[services.db]\nmaintenance = ["daily 00:00-24:00"]\n'
    before = (tmp_path / "pilothouse.toml").read_text()
    (tmp_path / "pilothouse.toml").write_text(before.replace("[services.db]\n", window))
    stage.settings = configured_from(tmp_path, database_url)
    await ports.close("db", "api")
    await stage.sweep()
    states = await stage.states()
    assert (states["db"].state, states["db"].maintenance, states["api"].root) == ("down", True, "services/db")
    assert await stage.titles() == []
    stage.settings = plain
    await stage.sweep()
    assert await stage.titles() == ["db is down"], "what is still down at the end of the window is told"


async def test_without_a_network_what_is_elsewhere_stays_as_it_was(
    stage: Stage, ports: Ports, tmp_path: Path, database_url: str
) -> None:
    gate = free_port()
    far = '[services.far]\ncheck = "tcp"\nurl = "tcp://192.0.2.1:9"\ntimeout = 0.2\nopen_after = 1\n'
    stage.settings = configured(tmp_path, database_url, ports, far)
    prober = stage.settings.sweeps.model_copy(update={"prober": (f"tcp://127.0.0.1:{gate}",)})
    stage.settings = stage.settings.model_copy(update={"sweeps": prober})
    seen = Watched([ours.ours(stage.settings), *topologies_of(stage.settings)])
    await ports.close("mail")
    await stage.sweep(seen)
    found = await stage.states()
    assert (found["far"].state, found["far"].code) == ("unknown", "offline")
    assert found["mail"].state == "down", "what is on this machine is not hidden by that"
    assert "Network of this machine is down" in await stage.titles()
    assert "far is down" not in await stage.titles()
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", gate)
    async with server:
        await stage.sweep(seen)
    assert "far is down" in await stage.titles()
    assert "Network of this machine is down" not in await stage.titles()


async def test_topologies_that_cannot_be_read_are_told_and_keep_what_they_name(
    stage: Stage, ports: Ports, tmp_path: Path
) -> None:
    await stage.sweep()
    broken = tmp_path / "topologies" / "broken.toml"
    broken.parent.mkdir()
    broken.write_text("[services.x]\ncheck = 7\n")
    await stage.sweep(watched(stage.settings))
    (alert,) = [each for each in await stage.alerts.open_() if each.title == "Topology files is down"]
    assert "broken.toml" in alert.text
    assert {"db", "api"} <= set(await stage.states())
    broken.unlink()
    await stage.sweep(watched(stage.settings))
    assert "Topology files is down" not in await stage.titles()


async def test_an_api_process_that_stopped_renewing_its_lease_is_down(stage: Stage) -> None:
    probe = ProcessProbe(stage.store)
    assert (await probe.look()).state == "unknown"
    await Processes(stage.store).renew("boot", "api")
    assert (await probe.look()).facts == {"processes": 1}
    async with stage.store.single() as connection:
        await connection.execute(text("UPDATE pilothouse.processes SET lease_until = now() - interval '30 seconds'"))
    seen = await probe.look()
    assert (seen.state, seen.code) == ("down", "lapsed")
    await Processes(stage.store).leave("boot")
    assert (await probe.look()).state == "unknown", "one that was stopped says so"
