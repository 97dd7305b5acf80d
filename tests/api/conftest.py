"""One API for most tests of its paths; those that break something start their own."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from deployments.postgres import EmbeddedPostgres
from tests.api.peopled import Peopled, peopled
from tests.api.serving import ADMIN, PASSWORD, Chat, Served, beside, launched, provider
from tests.prefect_server import RunningServer
from tests.upstream import FakeUpstream

Serve = Callable[..., Served]


@pytest.fixture(scope="session")
def standing_upstream() -> Iterator[FakeUpstream]:
    """A fake upstream for the session's API."""
    up = FakeUpstream()
    runner = asyncio.Runner()
    runner.run(up.__aenter__())
    yield up
    runner.run(up.__aexit__(None, None, None))
    runner.close()


@pytest.fixture(scope="session")
def served(
    postgres: EmbeddedPostgres,
    template_database: str,
    prefect_server: RunningServer,
    standing_upstream: FakeUpstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    """The API on the session's engines."""
    providers = {"fake": provider(standing_upstream.base_url)}
    folder = tmp_path_factory.mktemp("api")
    with launched(postgres, template_database, folder, providers, prefect_url=prefect_server.api_url) as api:
        yield api


@pytest.fixture(scope="session")
def people(
    postgres: EmbeddedPostgres,
    template_database: str,
    prefect_server: RunningServer,
    standing_upstream: FakeUpstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Peopled]:
    """An API with workspaces and people of every role."""
    folder = tmp_path_factory.mktemp("people")
    with peopled(postgres, template_database, folder, standing_upstream.base_url, prefect_server.api_url) as found:
        yield found


@pytest.fixture(scope="module")
def administered(
    postgres: EmbeddedPostgres, template_database: str, standing_upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """An API of a file's own, with a first administrator and without Prefect."""
    environment = {"ADMIN_EMAIL": ADMIN, "ADMIN_PASSWORD": PASSWORD}
    providers = {"fake": provider(standing_upstream.base_url)}
    folder = tmp_path_factory.mktemp("api")
    with launched(postgres, template_database, folder, providers, environment=environment) as api:
        yield api


@pytest.fixture
async def chat(served: Served) -> AsyncGenerator[Chat, None]:
    """A fresh session of the session's API."""
    async with served.client() as client:
        yield await Chat(client).open()


@pytest.fixture
def serve(database_url: str, tmp_path: Path) -> Iterator[Serve]:
    """Starts APIs of the test's own, all on one fresh database; stopped after it."""
    with ExitStack() as stack:

        def start(*, providers: dict[str, Any], token: str = "", **more: Any) -> Served:
            folder = tmp_path / secrets.token_hex(4)
            folder.mkdir()
            api = Served(folder, database_url, providers, **more)
            stack.callback(api.stop)
            api.token = token or beside(api.make_token())
            return api.start()

        yield start
