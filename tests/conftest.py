"""What every test may ask for: a real PostgreSQL for the session, and a fresh migrated database for each test; a Valkey."""

import asyncio
import gc
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from core.store.schema import migrate
from deployments.postgres import EmbeddedPostgres
from tests.databases import installed, statement
from tests.valkey import ValkeyServer

pytest_plugins = ["tests.mariadb", "tests.postgres_filled", "tests.prefect_server", "tests.s3", "tests.upstream"]

TOUR = "tests/tour/"
BUSY = (
    *(TOUR, "tests/deployments/", "tests/flows/", "tests/api/"),
    *("tests/blocks/test_models_block.py", "tests/blocks/test_teams.py", "tests/blocks/probes/test_prefect.py"),
)
"""Where tests keep the processor busy or need Prefect, the longest files first; all others mostly wait."""


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: some of the workers begin with tests that mostly wait."""
    return (os.cpu_count() or 1) + 1


class Mixed(LoadFileScheduling):  # type: ignore[misc]
    """Every other worker begins with the busy files, the others with the rest: some work at any time, and never too much.

    A file is one worker's, whose servers its tests share; the whole tour is, since it takes a whole ``up``.
    """

    def _split_scope(self, nodeid: str) -> str:
        return TOUR if nodeid.startswith(TOUR) else nodeid.split("::", 1)[0]

    def _assign_work_unit(self, node: object) -> None:
        busy = self.nodes.index(node) % 2 == 0
        wanted = next((scope for scope in self.workqueue if scope.startswith(BUSY) == busy), None)
        if wanted is not None:
            self.workqueue.move_to_end(wanted, last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Mixed:
    """What a worker gets at a time."""
    return Mixed(config, log)


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first and the many short ones last, so that no worker is left alone with a long one in the end."""

    def place(item: pytest.Item) -> int:
        last = len(BUSY) + item.nodeid.startswith("tests/core/")
        return next((number for number, folder in enumerate(BUSY) if item.nodeid.startswith(folder)), last)

    items.sort(key=place)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One server for all tests; ``.url(database)`` gives the superuser's address of a database."""
    server = EmbeddedPostgres(Path(tmp_path_factory.mktemp("postgres"))).start()
    # No machine fails here but by intent, and what a killed process had written the kernel keeps.
    for setting in ("fsync", "full_page_writes"):
        statement(server, f"ALTER SYSTEM SET {setting} = off")
    statement(server, "SELECT pg_reload_conf()")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_url(postgres: EmbeddedPostgres) -> str:
    """The superuser's address of the server's own database, from which others may be created."""
    return postgres.url()


@pytest.fixture(scope="session")
def template_database(postgres: EmbeddedPostgres) -> str:
    """The name of a database with our newest schema and no rows."""
    name = "template_migrated"
    statement(postgres, f"CREATE DATABASE {name}")
    with ThreadPoolExecutor(1) as beside:  # this thread may belong to a test's event loop
        beside.submit(asyncio.run, migrate(postgres.url(name))).result()
    return name


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, template_database: str) -> Iterator[str]:
    """A fresh database with our newest schema, gone after the test."""
    name = f"test_{secrets.token_hex(6)}"
    yield installed(postgres, name, template_database)
    statement(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A fresh database without any table, gone after the test."""
    name = f"test_{secrets.token_hex(6)}"
    statement(postgres, f"CREATE DATABASE {name}")
    yield postgres.url(name)
    statement(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Valkey for all tests that do not stop it."""
    server = ValkeyServer(Path(tmp_path_factory.mktemp("valkey"))).start()
    yield server.url
    server.kill()
