"""What a measurement runs against: the fake upstream, ``pilothouse up`` and the litellm proxy, each a process of its own."""

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import psycopg

from tests.ports import free_port, listens
from tests.upstream.server import KEY

HERE = Path(__file__).parents[2]
START = 180.0


@contextmanager
def running(
    command: list[str], log: Path, ready: str | int, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is up when ``ready`` is in its log, or when it listens on that port; asked to end afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=HERE, env=os.environ | (environment or {}), stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + START
        while not (listens(ready) if isinstance(ready, int) else ready in log.read_text()):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[0]} did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def fake_upstream(folder: Path) -> Iterator[int]:
    """Gives its port."""
    port = free_port()
    with running([sys.executable, "-m", "tests.upstream", "--port", str(port)], folder / "upstream.log", "fake upstream:"):
        yield port


class Pilothouse:
    """A running ``pilothouse up``."""

    def __init__(self, process: subprocess.Popen[bytes], data_dir: Path, port: int, log: Path) -> None:
        self.data_dir, self.port, self.log = data_dir, port, log
        self.token = (data_dir / "admin-token").read_text().strip()
        self._up = psutil.Process(process.pid)
        self._api: psutil.Process | None = None
        self._engines = json.loads((data_dir / "run" / "engines.json").read_text())

    def memory(self) -> dict[str, float]:
        """Megabytes by part; PostgreSQL's shared pages are counted once (proportional set size)."""
        parts: dict[str, float] = {"up": self._up.memory_info().rss / 1e6}
        for child in self._up.children():
            name = part_of(child.cmdline())
            for process in (child, *child.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    used = process.memory_full_info().pss if name == "postgres" else process.memory_info().rss
                    parts[name] = parts.get(name, 0.0) + used / 1e6
        return parts

    def api_memory(self) -> float:
        """Megabytes of the API's process."""
        used: int = self._api_process().memory_info().rss
        return used / 1e6

    def worker_memory(self) -> list[float]:
        """Megabytes of each process that the API draws charts in."""
        return [child.memory_info().rss / 1e6 for child in self._api_process().children()]

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time by part since the start; the API's workers apart."""
        parts: dict[str, float] = {}
        for child in self._up.children():
            name = part_of(child.cmdline())
            for process in (child, *child.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    used = process.cpu_times()
                    own = "workers" if name == "api" and process != child else name
                    parts[own] = parts.get(own, 0.0) + used.user + used.system
        return parts

    def _api_process(self) -> psutil.Process:
        if self._api is None:
            self._api = next(child for child in self._up.children() if part_of(child.cmdline()) == "api")
        return self._api

    @property
    def database_url(self) -> str:
        """Of our database, for another process of ours."""
        return str(self._engines["database_url"])

    def part(self, name: str) -> psutil.Process:
        """The process of a part, by the name that ``memory`` gives it."""
        return next(child for child in self._up.children() if part_of(child.cmdline()) == name)

    def query(self, statement: str) -> int:
        ((number,),) = self.rows(statement)
        return int(number)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._engines["database_url"]) as connection:
            return connection.execute(statement.encode()).fetchall()

    def sizes(self) -> tuple[float, float]:
        """Megabytes of our database and of Prefect's."""
        ours, prefects = (self.query(f"SELECT pg_database_size('{name}')") for name in ("pilothouse", "prefect"))
        return ours / 1e6, prefects / 1e6

    def task_runs(self, ids: Sequence[str] | None = None) -> int:
        """Completed task runs that Prefect knows, of all or of ``ids``."""
        completed = {"state": {"type": {"any_": ["COMPLETED"]}}}
        if ids is None:
            return self._counted(completed)
        return sum(self._counted({**completed, "id": {"any_": ids[at : at + 1000]}}) for at in range(0, len(ids), 1000))

    def _counted(self, wanted: Mapping[str, object]) -> int:
        url = f"{self._engines['prefect_url']}/task_runs/count"
        login = self._engines["prefect_auth"].encode()
        headers = {"Authorization": f"Basic {base64.b64encode(login).decode()}", "Content-Type": "application/json"}
        with urlopen(Request(url, json.dumps({"task_runs": wanted}).encode(), headers), timeout=30) as answer:
            return int(answer.read())


def part_of(command: list[str]) -> str:
    """The name of a part of ``up`` by its command line."""
    text = " ".join(command)
    known = {
        "serve api": "api",
        "serve flows": "flows",
        "prefect_process": "prefect",
        "postgres": "postgres",
        "model_server": "model",
    }
    return next((name for mark, name in known.items() if mark in text), text[:30])


@contextmanager
def pilothouse(folder: Path, upstream_port: int, models: tuple[str, ...] = ("plain", "slow-20")) -> Iterator[Pilothouse]:
    """Everything on: embedded PostgreSQL, Prefect, flows; the fake upstream is its only provider."""
    config, data, port, log = folder / "pilothouse.toml", folder / "data", free_port(), folder / "up.log"
    offered = ", ".join(f'{{name = "{name}"}}' for name in models)
    config.write_text(
        f'[providers.fake]\nbase_url = "http://127.0.0.1:{upstream_port}/v1"\napi_key = "{KEY}"\nmodels = [{offered}]\n'
    )
    command = [sys.executable, "-m", "deployments.cli", "up", "--config", str(config), "--data-dir", str(data)]
    command += ["--port", str(port), "--prefect-port", str(free_port())]
    with running(command, log, "all parts up") as process:
        yield Pilothouse(process, data, port, log)


@dataclass(frozen=True)
class Proxy:
    """A running litellm proxy."""

    port: int
    key: str
    process: psutil.Process


@contextmanager
def litellm(folder: Path, upstream_port: int, venv: Path) -> Iterator[Proxy]:
    """The proxy with one worker and no database, installed into ``venv`` unless it is there."""
    if not (venv / "bin" / "litellm").exists():
        uv = shutil.which("uv")
        if uv is None:
            raise SystemExit("uv is needed to install litellm; or give --without-litellm")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(venv)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(venv / "bin" / "python"), "litellm[proxy]"], check=True)
    parameters = {"model": "openai/plain", "api_base": f"http://127.0.0.1:{upstream_port}/v1", "api_key": KEY}
    config = folder / "litellm.json"
    config.write_text(json.dumps({"model_list": [{"model_name": "plain", "litellm_params": parameters}]}))
    port = free_port()
    command = [str(venv / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    key = f"sk-{secrets.token_hex(32)}"  # it does not start without one
    environment = {
        "LITELLM_MASTER_KEY": key,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "LITELLM_LOG": "ERROR",
        "DO_NOT_TRACK": "1",
    }
    with running(command, folder / "litellm.log", port, environment) as process:
        yield Proxy(port, key, psutil.Process(process.pid))
