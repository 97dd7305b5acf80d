"""The API as its own process, on real engines, with the fake upstream as its provider; may be killed and started again."""

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
from pydantic import SecretStr

from core.config import DatabaseSettings
from core.ids import new_id
from core.store.access import Tokens
from core.store.base import Store
from deployments.postgres import EmbeddedPostgres
from tests.databases import installed
from tests.ports import free_port
from tests.upstream import KEY

T = TypeVar("T")
ADMIN, PASSWORD = "ann@example.com", "correct horse battery"
"""Whom an API of ``administered`` lets in."""
START = 60.0
MODELS = (
    "plain",
    "echo",
    "tools",
    "json",
    "slow-20",
    "slow-100",
    "long-400",
    "refuse-401",
    "refuse-429-2",
    "fail-500-1",
    "fail-500",
    "think",
    "repeats",
    "too-long",
    "cut-after-5",
    *("chart", "charts", "endless", "broken-call", "slow-chart-500", "no-tools-400", "no-tools-404", "no-tools-500"),
    {"name": "vision", "vision": True},
)
"""What the session's API offers: names, or tables of a model's settings."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of an SSE stream; ``data`` parsed unless it is ``[DONE]``."""

    id: int | None
    name: str | None
    data: Any


@dataclass
class Served:
    """``url`` and ``headers`` of a running API."""

    folder: Path
    database_url: str
    providers: Mapping[str, Mapping[str, Any]]
    prefect_url: str = "http://127.0.0.1:9/api"
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: str = ""
    port: int = field(default_factory=free_port)
    token: str = ""
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def log(self) -> Path:
        return self.folder / "api.log"

    def start(self) -> Self:
        """Returns when it serves."""
        config = self.folder / "pilothouse.toml"
        config.write_text(self._configuration(), encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "TMPDIR"}}
        variables = {"HOME": str(self.folder), "DATABASE_URL": self.database_url, "PREFECT_API_URL": self.prefect_url}
        command = [sys.executable, "-m", "deployments.cli", "serve", "api", "--port", str(self.port)]
        options = ["--config", str(config), "--data-dir", str(self.folder / "data")]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command + options, env=kept | variables | dict(self.environment), stdout=output, stderr=output
            )
        deadline = time.monotonic() + START
        while not self._answers():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.05)
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        self.process = None
        return code

    async def make_token(self, *scopes: str) -> str:
        """A new token in the API's database."""
        store = Store.from_settings(DatabaseSettings(url=SecretStr(self.database_url)))
        try:
            return (await Tokens(store, None).create("test", list(scopes or ("admin",))))[1]
        finally:
            await store.aclose()

    def client(self, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=self.headers, timeout=30, trust_env=False, **options)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _configuration(self) -> str:
        lines = [self.settings]
        for name, values in self.providers.items():
            lines += [
                f"[providers.{name}]",
                *(f"{key} = {json.dumps(value)}" for key, value in values.items() if key != "models"),
            ]
            for model in values.get("models", ()):
                table = {"name": model} if isinstance(model, str) else model
                lines += [f"[[providers.{name}.models]]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        return "\n".join(lines)


@contextmanager
def launched(
    postgres: EmbeddedPostgres, template: str, folder: Path, providers: Mapping[str, Mapping[str, Any]], **more: Any
) -> Iterator[Served]:
    """An API on a database of its own, which must stop cleanly in the end."""
    api = Served(folder, installed(postgres, f"api_{secrets.token_hex(4)}", template), providers, **more)
    api.token = beside(api.make_token())
    api.start()
    try:
        yield api
    finally:
        code = api.stop()
    assert code == 0


def beside(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work`` in a thread of its own: the caller's may belong to a test's event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def provider(base_url: str, *models: str | Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A ``[providers.X]`` on the fake upstream."""
    return {"base_url": base_url, "api_key": KEY, "models": models or MODELS, **more}


class Chat:
    """One session of a served API, spoken to over HTTP."""

    def __init__(self, client: httpx.AsyncClient, session_id: str | None = None) -> None:
        self.client = client
        self.id = session_id or new_id()

    async def open(self, **body: Any) -> Self:
        response = await self.client.post("/chat/sessions", json={"sessionId": self.id, **body})
        assert response.status_code == 201, response.text
        return self

    def body(self, text: str, model: str | None, **more: Any) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": text}], "modelConfig": {"model": model} if model else {}, **more}

    async def ask(self, text: str = "hello", model: str | None = "plain", **more: Any) -> httpx.Response:
        """Without streaming."""
        return await self.client.post(f"/chat/{self.id}", json=self.body(text, model, stream=False, **more))

    async def stream(self, text: str = "hello", model: str | None = "plain", **more: Any) -> tuple[httpx.Headers, list[Event]]:
        """The response's headers and its whole stream."""
        async with self.client.stream("POST", f"/chat/{self.id}", json=self.body(text, model, **more)) as response:
            assert response.status_code == 200, (await response.aread()).decode()
            return response.headers, [event async for event in events(response)]

    async def turn(self, turn_id: str) -> dict[str, Any]:
        response = await self.client.get(f"/chat/{self.id}/turns/{turn_id}")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    async def history(self, **query: Any) -> list[dict[str, Any]]:
        response = await self.client.get(f"/history/{self.id}", params=query)
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()["messages"]
        return found


async def events(response: httpx.Response) -> AsyncGenerator[Event, None]:
    """The events of a stream as they come; comments are passed over."""
    number: int | None = None
    name: str | None = None
    async for line in response.aiter_lines():
        key, _, value = line.partition(": ")
        if key == "id":
            number = int(value)
        elif key == "event":
            name = value
        elif key == "data":
            yield Event(number, name, value if value == "[DONE]" else json.loads(value))
            number = name = None


def text_of(stream: list[Event]) -> str:
    """What the chunks of a stream say."""
    chunks = (event.data for event in stream if event.name is None and event.data != "[DONE]")
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


async def first_chunk(response: httpx.Response) -> AsyncGenerator[Event, None]:
    """The stream, once something was said; the caller goes on with the rest."""
    stream = events(response)
    async for event in stream:
        if event.data != "[DONE]" and text_of([event]):
            break
    return stream


async def gathered(*work: Any) -> list[Any]:
    """All results, in order."""
    return list(await asyncio.gather(*work))
