"""A platform of fifteen servers goes through outages: each cause is told once, its end once, and nothing in between.

Four real stores, eleven services that really use them, from the first look to the message that arrives.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect.context import AsyncClientContext

from core.config import load_settings
from core.settings import Settings
from core.store.alerts import Alerts
from core.store.base import Store
from core.store.services import Services
from core.sweeps.service import Key, ServiceState
from core.topology.kept import topologies_of
from deployments.postgres import EmbeddedPostgres
from flows.alerting import Alerting
from flows.own_probes import Probes
from flows.sweeping import Parts, Watched, swept
from tasks.probes import Looks
from tests.alert_inbox import AlertInbox, alert_inbox
from tests.mariadb import PROGRAM, MariaDBServer
from tests.prefect_server import RunningServer
from tests.s3 import S3Server
from tests.stack import NEEDS, STORES, Stack, store_questions
from tests.valkey import ValkeyServer

SETTINGS = """
[sweeps]
recheck = 0.1
timeout = 5

[alerts]
wait = 0
interval = 0

[channels.team]
kind = "webhook"
url = "{inbox}"
per_second = 100
"""


@dataclass
class Stores:
    """The four, each of which can be ended and started again."""

    postgres: EmbeddedPostgres
    mysql: MariaDBServer
    redis: ValkeyServer
    minio: S3Server

    def checks(self) -> dict[str, str]:
        return {
            "postgres": f'check = "postgres"\nurl = "{self.postgres.url()}"',
            "mysql": f'check = "mysql"\nurl = "mysql://root@127.0.0.1:{self.mysql.port}/mysql"\npassword = "a/b@c:d%e"',
            "redis": f'check = "redis"\nurl = "{self.redis.url}"',
            "minio": f'check = "http"\nurl = "{self.minio.url}/minio/health/live"',
        }


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    if PROGRAM is None:
        pytest.skip("mariadbd is not installed (Debian: mariadb-server)")
    folder = tmp_path_factory.mktemp("stack")
    folders = {name: folder / name for name in STORES}
    for each in folders.values():
        each.mkdir()
    found = Stores(
        EmbeddedPostgres(folders["postgres"]).start(),
        MariaDBServer(folders["mysql"]).start(),
        ValkeyServer(folders["redis"]).start(),
        S3Server(folders["minio"]).start(),
    )
    yield found
    found.postgres.stop()
    for server in (found.mysql, found.redis, found.minio):
        server.kill()


class Watch:
    """One process that sweeps and tells; made anew it is another one on the same database."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store.from_settings(settings.database)
        self.alerts = Alerts(self.store)
        self._desk = Alerting("boot", settings, self.store)

    async def sweep(self, only: str | None = None) -> None:
        parts = Parts(self.settings, self.store, Probes(self.settings, self.store), "standby")
        assert await swept(parts, Watched(topologies_of(self.settings)), take, lambda *_: None, only)
        await self._desk.settle()
        await self._desk.deliver()

    async def states(self) -> dict[Key, ServiceState]:
        return {each.key: each for each in await Services(self.store).all()}


def _service(name: str, url: str, needs: Sequence[str]) -> str:
    return f'[services.{name}]\ncheck = "http"\nurl = "{url}"\ndepends_on = {list(needs)!r}\n'


async def take(_what: str, looks: Looks) -> int:
    return await looks.take()


@pytest.fixture
def inbox() -> Iterator[AlertInbox]:
    with alert_inbox() as opened:
        yield opened


@pytest.fixture
async def stack(stores: Stores) -> AsyncIterator[Stack]:
    found = Stack(store_questions(stores.postgres.url(), stores.mysql, stores.redis, stores.minio))
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def watch(
    stores: Stores, stack: Stack, inbox: AlertInbox, database_url: str, tmp_path: Path, prefect_client: RunningServer
) -> AsyncIterator[Watch]:
    stores_of_it = "".join(f"[services.{name}]\n{check}\n" for name, check in stores.checks().items())
    services = {name: _service(name, stack.url(name), needs) for name, needs in NEEDS.items()}
    docs = services.pop("docs")
    folder = tmp_path / "topologies"
    folder.mkdir()
    (folder / "astron.toml").write_text('name = "astron"\n' + stores_of_it + "".join(services.values()))
    (folder / "leaf.toml").write_text('name = "leaf"\n' + docs)
    file = tmp_path / "pilothouse.toml"
    file.write_text(SETTINGS.format(inbox=inbox.url))
    environ = {"PILOTHOUSE_CONFIG": str(file), "PILOTHOUSE_DATA_DIR": str(tmp_path), "DATABASE_URL": database_url}
    async with AsyncClientContext.get_or_create():
        opened = Watch(load_settings(environ=environ))
        yield opened
        await opened.store.aclose()


async def test_a_dead_store_is_told_once_with_what_hangs_under_it(
    watch: Watch, stack: Stack, stores: Stores, inbox: AlertInbox
) -> None:
    await watch.sweep()
    assert {str(key): each.state for key, each in (await watch.states()).items() if each.state != "up"} == {}
    assert inbox.asked == []

    await asyncio.to_thread(stores.mysql.kill)
    await stack.stop("docs")  # a leaf that has nothing to do with it
    await watch.sweep()
    assert sorted(inbox.titles) == ["docs is down", "mysql is down"]
    (told,) = (each for each in inbox.taken if each["title"] == "mysql is down")
    assert "6 services fail with it: " in told["text"]
    states = {key.name: each for key, each in (await watch.states()).items()}
    under = {name for name, each in states.items() if each.root == "astron/mysql"}
    assert under == {"tenant", "link", "agent", "workflow", "console", "frontend"}
    assert {states[name].state for name in under} == {"down"}
    assert {name for name, each in states.items() if each.state == "up"} == {
        *("postgres", "redis", "minio", "aitools", "database", "memory", "knowledge")
    }

    again = Watch(watch.settings)  # Pilothouse restarts in the midst of it
    await again.sweep()
    await again.sweep()
    assert len(inbox.taken) == 2
    await asyncio.to_thread(stores.mysql.start)
    await again.sweep()
    await again.sweep()
    await again.store.aclose()
    assert [each["kind"] for each in inbox.taken] == ["firing", "firing", "resolved"]
    assert inbox.titles[-1].startswith("mysql is up again")
    await stack.start("docs")
    await watch.sweep()
    assert [each["kind"] for each in inbox.taken] == ["firing", "firing", "resolved", "resolved"]
    assert len(await watch.alerts.page(10)) == 2


async def test_a_service_that_flaps_twenty_times_is_two_messages_at_most(watch: Watch, stack: Stack, inbox: AlertInbox) -> None:
    usual = watch.settings.alerts.model_copy(update={"interval": 300.0})
    patient = Watch(watch.settings.model_copy(update={"alerts": usual}))
    stack.wavering["docs"] = True
    await patient.sweep("leaf")
    for number in range(20):
        stack.wavering["docs"] = number % 2 == 1
        await patient.sweep("leaf")
    await patient.store.aclose()
    docs = (await watch.states())[Key("leaf", "docs")]
    assert (docs.state, docs.flips) == ("up", 20)
    assert len(await watch.alerts.page(50)) == 10, "each time that it was down for sure was an alert"
    assert len(inbox.taken) <= 2, inbox.titles


async def test_one_that_wavers_from_look_to_look_is_never_told(watch: Watch, stack: Stack, inbox: AlertInbox) -> None:
    await watch.sweep()
    answers = iter([False, False, True] * 40)

    async def wavering(name: str) -> bool:
        return next(answers) if name == "docs" else await well(name)

    well = stack.well
    stack.well = wavering  # type: ignore[method-assign]
    for _ in range(8):
        await watch.sweep("leaf")
    assert (await watch.states())[Key("leaf", "docs")].flips == 0
    assert inbox.asked == []
