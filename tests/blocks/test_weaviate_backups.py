"""Weaviate's backup API, on a stand-in that checks what it is sent: no Weaviate is to be had in tests."""

import io
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr

from blocks.weaviate_backups import WeaviateServer
from core.backups.errors import BackupDamaged, DumpFailed, PlaceRefused, PlaceUnavailable, RestoreFailed, TargetNotEmpty

KEY = "a-key-of-weaviate"


class StandIn(ThreadingHTTPServer):
    """Collections with a number of objects; backups that take three questions to be done."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.classes = {"Document": 120, "Page_1": 7}
        self.backups: dict[str, dict[str, int]] = {}
        self.modules: dict[str, object] = {"backup-filesystem": {}, "text2vec-openai": {}}
        self.asked: list[str] = []
        self.left = 0
        self.ends = "SUCCESS"


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def _answer(self, body: object, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _handle(self) -> None:  # noqa: PLR0911  (one for each path)
        state, length = self.server, int(self.headers.get("Content-Length") or 0)
        body: dict[str, Any] = json.loads(self.rfile.read(length)) if length else {}
        state.asked.append(f"{self.command} {self.path}")
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return self._answer({}, 401)
        if self.path == "/v1/meta":
            return self._answer({"version": "1.27.0", "modules": state.modules})
        if self.path == "/v1/schema":
            return self._answer({"classes": [{"class": name} for name in state.classes]})
        if self.command == "DELETE" and (name := self.path.removeprefix("/v1/schema/")) in state.classes:
            del state.classes[name]
            return self._answer({})
        if self.path == "/v1/graphql" and (found := re.fullmatch(r"{ Aggregate { (\w+) { meta { count } } } }", body["query"])):
            count = state.classes[found.group(1)]
            return self._answer({"data": {"Aggregate": {found.group(1): [{"meta": {"count": count}}]}}})
        if found := re.fullmatch(r"/v1/backups/filesystem(?:/([a-z0-9_-]+))?(/restore)?", self.path):
            return self._backup(body, found.group(1), found.group(2) is not None)
        return self._answer({}, 404)

    def _backup(self, body: dict[str, Any], backup_id: str | None, restores: bool) -> None:
        state = self.server
        if self.command == "GET":
            state.left -= 1
            return self._answer({"status": "TRANSFERRING" if state.left > 0 else state.ends, "path": "/backups"})
        state.left = 3
        if restores and backup_id in state.backups and state.ends == "SUCCESS":
            state.classes |= {name: state.backups[backup_id][name] for name in body["include"]}
        elif not restores and re.fullmatch(r"[a-z0-9_-]+", body["id"]):
            state.backups[body["id"]] = {name: state.classes[name] for name in body["include"]}
        else:
            return self._answer({}, 422)
        return self._answer({"status": "STARTED"})

    do_GET = do_POST = do_DELETE = _handle  # noqa: N815


@pytest.fixture
def weaviate() -> Iterator[StandIn]:
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def place(server: StandIn, key: str = KEY) -> WeaviateServer:
    url = SecretStr(f"http://127.0.0.1:{server.server_port}")
    return WeaviateServer(name="sources.test", url=url, api_key=SecretStr(key), every=0.01)


async def dumped(source: WeaviateServer) -> tuple[bytes, Any]:
    async with source.dumping(await source.inspect()) as dump:
        with dump.parts[0].open() as stream:
            return stream.read(), dump


async def test_what_is_deleted_comes_back(weaviate: StandIn) -> None:
    source = place(weaviate)
    found = await source.inspect()
    assert (found.server, found.databases, found.empty) == ("Weaviate 1.27.0", ("Document", "Page_1"), False)
    data, dump = await dumped(source)
    assert dump.fingerprint.counts == {"Document": 120, "Page_1": 7}
    assert sum("GET /v1/backups/filesystem/pilothouse-" in line for line in weaviate.asked) == 3
    with pytest.raises(TargetNotEmpty):
        await source.restore("weaviate.json", "weaviate", io.BytesIO(data))
    await source.clear()
    assert (await source.inspect()).empty
    await source.restore("weaviate.json", "weaviate", io.BytesIO(data), only="Page_1")
    assert weaviate.classes == {"Page_1": 7}
    await source.clear()
    await source.restore("weaviate.json", "weaviate", io.BytesIO(data))
    assert await source.fingerprint(dump.fingerprint) == dump.fingerprint
    with pytest.raises(RestoreFailed, match="no such collection"):
        await source.restore("weaviate.json", "weaviate", io.BytesIO(data), only="Nothing")
    with pytest.raises(BackupDamaged):
        await source.restore("weaviate.json", "weaviate", io.BytesIO(data[:-5]))


async def test_a_backup_that_fails_there_fails_here(weaviate: StandIn) -> None:
    source = place(weaviate)
    data, _ = await dumped(source)
    weaviate.ends = "FAILED"
    with pytest.raises(DumpFailed, match="FAILED"):
        await dumped(source)
    weaviate.classes.clear()
    with pytest.raises((RestoreFailed, DumpFailed)):
        await source.restore("weaviate.json", "weaviate", io.BytesIO(data))


async def test_a_wrong_key_and_a_missing_module_are_told(weaviate: StandIn) -> None:
    with pytest.raises(PlaceRefused, match="api_key") as raised:
        await place(weaviate, "not-the-key").inspect()
    assert "not-the-key" not in raised.value.message
    weaviate.modules = {"text2vec-openai": {}}
    with pytest.raises(PlaceRefused, match="backup module"):
        await place(weaviate).inspect()


async def test_one_that_is_away_is_told(weaviate: StandIn) -> None:
    away = place(weaviate).model_copy(update={"url": SecretStr("http://127.0.0.1:9")})
    with pytest.raises(PlaceUnavailable):
        await away.inspect()
