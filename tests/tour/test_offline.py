"""Nothing leaves the machine: every Python process of ours refuses and notes what is not loopback, and nothing was noted."""

import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.offline.sitecustomize import is_local
from tests.tour.running import OFFLINE, Running

TRY = """
import asyncio, sys, httpx, uvloop
async def main():
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.get(sys.argv[2])
(uvloop.run if sys.argv[1] == "uvloop" else asyncio.run)(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("url", ["http://192.0.2.1/", "http://telemetry.example/"])
def test_the_guard_refuses_and_notes(loop: str, url: str, tmp_path: Path) -> None:
    record = tmp_path / "record"
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(OFFLINE), "OFFLINE_RECORD": str(record)}
    done = subprocess.run([sys.executable, "-c", TRY, loop, url], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ConnectError" in done.stderr
    assert url.split("/")[2] in record.read_text(encoding="utf-8")


async def test_nothing_leaves_the_machine(up: Running, api: httpx.AsyncClient) -> None:
    up.said("all parts up")
    question = {"messages": [{"role": "user", "content": "Say hello."}], "stream": False}
    session = (await api.post("/chat/sessions", json={})).json()["sessionId"]
    assert (await api.post(f"/chat/{session}", json=question)).json()["message"]["content"]
    assert (await api.get("/v1/models")).json()["data"]
    page = (await api.get("/docs")).text
    assert re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page) == []
    run = (await api.post("/flows/purge_history/runs", json={})).json()
    async with api.stream("GET", run["events"]) as response:
        assert "COMPLETED" in "".join([line async for line in response.aiter_lines()])
    # A process that draws gets nothing of our environment, the guard included; its connections are looked at below.
    others = [process for process in pythons(up.family()) if "core.charts.worker" not in process.cmdline()]
    assert [process.cmdline() for process in others if process.pid not in up.guarded()] == []
    assert len(pythons(up.family())) >= 5, "up, the model, the API, Prefect and the flows"
    assert [connection for connection in connections(up.family()) if not is_local(connection)] == []
    assert not up.record.exists(), up.record.read_text(encoding="utf-8")


def pythons(family: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in family:
        with suppress(psutil.NoSuchProcess):
            found += [process] if "python" in Path(process.exe()).name else []
    return found


def connections(family: list[psutil.Process]) -> list[str]:
    """The far ends of all open connections, those of programs without Python included."""
    ends = []
    for process in family:
        with suppress(psutil.NoSuchProcess):
            ends += [getattr(found.raddr, "ip", "") for found in process.net_connections()]
    return ends
