"""One real Prefect server for the test session, on a database of its own, with the settings that ``up`` gives it."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from core.config import PrefectServer, Settings, child_environment, prefect_environment
from deployments.postgres import EmbeddedPostgres
from tests.databases import installed
from tests.ports import free_port

START = 120.0


@dataclass
class RunningServer:
    """A Prefect server; ``stop`` and ``start`` keep its address and database, ``freeze`` makes it hang until ``thaw``."""

    settings: Settings
    port: int
    database_url: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def environment(self, role: str) -> dict[str, str]:
        """For a process of ours: ``api`` or ``flows``."""
        assert role in ("api", "flows")
        return prefect_environment(self.settings, "api" if role == "api" else "flows", PrefectServer(port=self.port))

    def start(self) -> None:
        server = PrefectServer(database_url=self.database_url, port=self.port)
        values = prefect_environment(self.settings, "server", server)
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port), "--no-ui"]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(  # its own group, so that what it starts ends with it
                command, env=child_environment(values), stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + START
        while not self._answers():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, f"no Prefect server within {START} s: {self.log.read_text()[-3000:]}"
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.api_url}/health", timeout=1, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        if self.process is None:
            return
        self.thaw()
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()
        self.process = None

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


@pytest.fixture(scope="session")
def prefect_server(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Running, for whoever leaves it running."""
    folder = tmp_path_factory.mktemp("prefect")
    url = postgres.url("prefect").replace("postgresql://", "postgresql+asyncpg://", 1)
    server = RunningServer(Settings(data_dir=folder), free_port(), url, folder / "server.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def prefect_client(prefect_server: RunningServer) -> Iterator[RunningServer]:
    """Prefect's client in this process speaks to the session's server, as in the API process."""
    import prefect.settings  # noqa: PLC0415  (only tests that need Prefect pay for its import)

    values = prefect_server.environment("api")
    known = {getattr(prefect.settings, name): value for name, value in values.items() if hasattr(prefect.settings, name)}
    with prefect.settings.temporary_settings(known):
        yield prefect_server


SERVE = """
import asyncio
from core.config import apply_environment, load_settings, prefect_environment
settings = load_settings()
apply_environment(prefect_environment(settings, "flows"))
from deployments.flows_server import serve
asyncio.run(serve(settings))
"""


@dataclass
class ServedFlows:
    """A flows process and what it works with."""

    server: RunningServer
    database_url: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        values = {
            "DATABASE_URL": self.database_url,
            "PILOTHOUSE_DATA_DIR": str(self.server.settings.data_dir),
            "PREFECT_API_URL": self.server.api_url,
        }
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVE], env=child_environment(values), stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + START
        while b"flows_served" not in self.log.read_bytes():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.1)

    def stop(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def served_flows(
    prefect_server: RunningServer, postgres: EmbeddedPostgres, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedFlows]:
    """A flows process for one module's tests, which share its database; it takes every due run on the session's server."""
    url = installed(postgres, f"served_{secrets.token_hex(4)}", template_database)
    served = ServedFlows(prefect_server, url, tmp_path_factory.mktemp("flows") / "flows.log")
    served.start()
    yield served
    served.stop()
