"""A thousand HTTP checks: ``python -m tests.benchmarks.sweeps [--services 10000] [--without-prefect]``.

Everything is a process of its own, all on this machine: the server that is checked, a process that only probes, one that sweeps
without Prefect as the API does while Prefect is away (the same database and rules), and then ``pilothouse up`` with the fake
upstream, where ``health_sweep`` does the same as a flow while chat turns are asked beside it. Aim on two quiet cores: 1,000
checks in 5 s and 250 MB, and ten times that in 50 s with little more memory.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from time import perf_counter, process_time, sleep
from typing import cast

import httpx
import psutil
import uvloop

from tests.benchmarks.chat import QUESTION, ms, opened, p95, whole
from tests.benchmarks.client import Line
from tests.benchmarks.processes import Pilothouse, fake_upstream, pilothouse, running
from tests.ports import free_port

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"status":"ok"}'
TOPOLOGY = "thousand"
ROUNDS = 3
AT_ONCE = 100
TURNS = 100
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Answering(asyncio.Protocol):
    """Says the same to all that come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def said(seconds: float, processor: float) -> str:
    """What a measured process prints; ``ru_maxrss`` is in KB on Linux."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return json.dumps({"seconds": seconds, "processor": processor, "peak": peak})


async def look(port: int, services: int) -> None:
    """Probes and nothing else: Prefect is not even imported."""
    from blocks.probes.choosing import probe_of  # noqa: PLC0415 - each process loads what it measures
    from core.settings import Settings  # noqa: PLC0415
    from core.settings_services import ServiceSettings  # noqa: PLC0415

    settings, gate = Settings(data_dir=Path("/nonexistent")), asyncio.Semaphore(AT_ONCE)
    values = [{"check": "http", "url": f"http://127.0.0.1:{port}/health/{number}"} for number in range(services)]
    probes = [probe_of(f"s{at}", ServiceSettings.model_validate(each), settings) for at, each in enumerate(values)]

    async def one(at: int) -> tuple[str, str]:
        async with gate:
            seen = await probes[at].look()
            return seen.state, seen.message

    began, used = perf_counter(), process_time()
    states = await asyncio.gather(*map(one, range(services)))
    assert set(states) == {("up", "")}, set(states) - {("up", "")}
    print(said(perf_counter() - began, process_time() - used), flush=True)


async def sweep(url: str, folder: str) -> None:
    """A whole sweep as an API process makes it: topology, looks, rules, what is kept."""
    from core.config import load_settings  # noqa: PLC0415
    from core.store.base import Store  # noqa: PLC0415
    from flows.own_probes import Probes  # noqa: PLC0415
    from flows.sweeping import Parts, swept, watched  # noqa: PLC0415
    from tasks.probes import Looks  # noqa: PLC0415

    async def take(_what: str, looks: Looks) -> int:
        return await looks.take()

    settings = load_settings(environ={"DATABASE_URL": url, "PILOTHOUSE_DATA_DIR": folder, "HOME": folder})
    store = Store.from_settings(settings.database)
    began, used = perf_counter(), process_time()
    parts = Parts(settings, store, Probes(settings, store), "standby")
    board = await swept(parts, watched(settings), take, lambda *_: None, TOPOLOGY)
    took = perf_counter() - began
    assert board is not None
    counts = board.counts(TOPOLOGY)
    assert counts["up"] == sum(counts.values()) > 0, counts
    await store.aclose()
    print(said(took, process_time() - used), flush=True)


def told(name: str, *arguments: str) -> None:
    """A measured process, started anew for each round."""
    found = []
    for _ in range(ROUNDS):
        command = [sys.executable, "-m", "tests.benchmarks.sweeps", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        found.append(json.loads(done.stdout.splitlines()[-1]))
    seconds, processor, peak = (median(each[key] for each in found) for key in ("seconds", "processor", "peak"))
    print(f"{name}: {seconds:.2f} s, {processor:.2f} s of processor time, at most {peak:.0f} MB", flush=True)


def written(folder: Path, port: int, services: int) -> None:
    """The topology, where sweeps look for it."""
    lines = [f'name = "{TOPOLOGY}"']
    for number in range(services):
        lines += [f"[services.s{number}]", 'check = "http"', f'url = "http://127.0.0.1:{port}/health/{number}"']
    (folder / "topologies").mkdir(parents=True, exist_ok=True)
    (folder / "topologies" / f"{TOPOLOGY}.toml").write_text("\n".join(lines), encoding="utf-8")


class Peak:
    """The most memory that one process of the flows part had, in MB, while the block ran."""

    def __init__(self, house: Pilothouse) -> None:
        self.most = 0.0
        self._flows = house.part("flows")
        self._ended = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            for process in self._flows.children(recursive=True):
                with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    self.most = max(self.most, process.memory_info().rss / 1e6)


def by_flow(house: Pilothouse, client: httpx.Client) -> tuple[float, float]:
    """Seconds of a sweep, and of its whole run from the request on."""
    began = perf_counter()
    asked = client.post("/flows/health_sweep/runs", json={"parameters": {"topology": TOPOLOGY}})
    if asked.status_code != 202:
        raise SystemExit(f"no run of the sweep: {asked.status_code} {asked.text[:300]}")
    run = asked.json()["runId"]
    while (state := client.get(f"/runs/{run}").json()["state"]["type"]) not in ENDED:
        sleep(0.05)
    took = perf_counter() - began
    if state != "COMPLETED":
        raise SystemExit(f"the sweep's run is {state}")
    question = f"SELECT extract(epoch FROM finished_at - started_at) FROM pilothouse.sweeps WHERE flow_run_id = '{run}'"
    ((seconds,),) = house.rows(question)
    return float(seconds), took


async def first_tokens(house: Pilothouse, until: threading.Event | None = None) -> list[float]:
    """Of chat turns in an open conversation: ``TURNS``, or as many as come before ``until``."""
    async with Line("127.0.0.1", house.port, house.token) as line:
        session, found = await opened(line), list[float]()
        while len(found) < TURNS if until is None else not until.is_set():
            found.append(whole(await line.post(f"/chat/{session}", QUESTION)).first)
        return found


def with_prefect(house: Pilothouse) -> None:
    headers = {"Authorization": f"Bearer {house.token}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{house.port}", headers=headers, trust_env=False, timeout=60) as client:
        by_flow(house, client)
        peak = Peak(house)
        with peak.watched():
            found = [by_flow(house, client) for _ in range(ROUNDS)]
        swept, took = (median(values) for values in zip(*found, strict=True))
        print(f"as a flow: {swept:.2f} s, {took:.2f} s with its run's start and end, at most {peak.most:.0f} MB", flush=True)
        idle, ended, busy = uvloop.run(first_tokens(house)), threading.Event(), list[float]()
        beside = threading.Thread(target=lambda: busy.extend(asyncio.run(first_tokens(house, ended))))
        beside.start()
        for _ in range(ROUNDS):
            by_flow(house, client)
        ended.set()
        beside.join()
    print(f"first token idle {ms(median(idle)).strip()} ms, beside sweeps {ms(median(busy)).strip()} ms: ", end="")
    print(f"{median(busy) / median(idle):.2f} median, {p95(busy) / p95(idle):.2f} p95 (at most 1.5)", flush=True)


def measure(services: int, folder: Path, stack: ExitStack, *, prefect: bool) -> None:
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks.sweeps", "--serve", str(port)]
    stack.enter_context(running(command, folder / "checked.log", port))
    print(f"\n{services} checks, {AT_ONCE} at a time", flush=True)
    told("probes alone", "--look", str(port), "--services", str(services))
    written(folder / "data", port, services)
    house = stack.enter_context(pilothouse(folder, stack.enter_context(fake_upstream(folder)))) if prefect else None
    if house is not None:
        told("without Prefect", "--sweep", house.database_url, "--folder", str(folder / "data"))
        with_prefect(house)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=1000, help="checks of a sweep")
    parser.add_argument("--without-prefect", action="store_true", help="only the probes")
    parser.add_argument("--folder", type=Path, help="keeps logs and data there; default: a temporary directory")
    for own in ("--serve", "--look", "--sweep"):
        parser.add_argument(own, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve(int(options.serve)))
    elif options.look:
        asyncio.run(look(int(options.look), options.services))
    elif options.sweep:
        asyncio.run(sweep(options.sweep, str(options.folder)))
    else:
        with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as temporary, ExitStack() as stack:
            folder = options.folder or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            measure(options.services, folder, stack, prefect=not options.without_prefect)


if __name__ == "__main__":
    main()
