"""``pilothouse up`` end to end: what it says, what it refuses, and that nothing is left running whatever ends it."""

import asyncio
import contextlib
import json
import re
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.deployments.running_up import RunningUp, alive
from tests.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUp]:
    """One running installation that the tests below look at, in this order; the last ones stop and start it."""
    running = RunningUp(tmp_path_factory.mktemp("up") / "data")
    yield running
    running.clear()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def refused(up: RunningUp) -> str:
    """What ``up`` said in its one line before it ended with exit code 2; it left nothing running and no part's log."""
    await eventually(lambda: up.process.poll() is not None, within=60, what="its end")
    assert up.process.returncode == 2, up.said
    lines = up.said.splitlines()
    assert len(lines) == 1, up.said
    return lines[0]


async def test_it_says_each_part_with_its_time_and_source(up: RunningUp) -> None:
    await up.until("all parts up in", within=120)
    for line in (
        r"^database: embedded \(\d+\.\d s\)$",
        r"^model: embedded, smollm2-135m-instruct \(\d+\.\d s\)$",
        r"^ready: http://127\.0\.0\.1:\d+$",
        r"^prefect: http://127\.0\.0\.1:\d+$",
        r"^all parts up in \d+ s$",
    ):
        assert re.search(line, up.said, re.MULTILINE), line
    assert up.said.index("ready:") < up.said.index("flows:")


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_the_curl_line_streams_an_answer_when_pasted(up: RunningUp) -> None:
    line = await up.until("^curl ")
    token = (up.data_dir / "admin-token").read_text().strip()
    assert token not in line
    pasted = await asyncio.create_subprocess_exec("bash", "-c", line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    told = (await asyncio.wait_for(pasted.communicate(), 60))[0].decode()
    assert told.count("data: {") > 2
    assert told.rstrip().endswith("data: [DONE]")


async def test_both_databases_are_saved_after_the_first_start(up: RunningUp) -> None:
    await up.until("all parts up in", within=120)
    kept = up.data_dir / "backups"

    def saved() -> dict[str, Path]:
        return {path.relative_to(kept).parts[0]: path for path in kept.glob("*/*/*/*/*/manifest.json")}

    manifests = await eventually(lambda: saved() if len(saved()) == 2 else {}, within=90, what="two backups")
    assert set(manifests) == {"pilothouse", "prefect"}
    told = {name: json.loads(path.read_text()) for name, path in manifests.items()}
    assert told["pilothouse"]["counts"]["pilothouse.tokens"] > 0
    assert told["prefect"]["counts"]["public.flow_run"] > 0
    assert told["prefect"]["counts"]["public.events"] == 0  # they are left out
    assert "recipients" in told["pilothouse"]["notes"][0]  # the keys are left out, and said to be
    secrets = [path.read_text().strip() for path in (up.data_dir / "secrets").iterdir()]
    everything = str(told) + "".join(path.read_text() for path in (up.data_dir / "logs").glob("*.log"))
    assert not [secret for secret in secrets if secret in everything]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700


async def test_secrets_are_in_private_files_and_in_no_argument(up: RunningUp) -> None:
    await up.until("all parts up in", within=120)
    files = [up.data_dir / "admin-token", up.data_dir / "run" / "engines.json", *(up.data_dir / "secrets").iterdir()]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    commands = " ".join(word for process in up.family() for word in process.cmdline())
    assert not [path for path in files if path.read_text().strip() in commands]
    noted = json.loads((up.data_dir / "address.json").read_text())
    assert noted == {"url": up.line("^ready: ").removeprefix("ready: "), "pid": up.process.pid}


async def test_everything_listens_on_loopback_only(up: RunningUp) -> None:
    await up.until("all parts up in", within=120)
    listening = set()
    for process in up.family():
        with contextlib.suppress(psutil.NoSuchProcess):  # a program that a backup had started
            listening |= {each.laddr.ip for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


async def test_prefect_and_the_model_answer_only_those_who_know_their_secret(up: RunningUp) -> None:
    await up.until("all parts up in", within=120)
    engines = json.loads((up.data_dir / "run" / "engines.json").read_text())
    async with httpx.AsyncClient(trust_env=False) as client:
        flows = f"{engines['prefect_url']}/flows/count"
        assert (await client.post(flows)).status_code == 401
        user, _, password = engines["prefect_auth"].partition(":")
        assert (await client.post(flows, auth=(user, password))).status_code == 200
        # The page may load from its own server only, and pictures that tools made from where links lead.
        page = await client.get(engines["prefect_url"].removesuffix("/api"), auth=(user, password), follow_redirects=True)
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'self'")
        assert f"img-src 'self' data: blob: {up.line('^ready:').removeprefix('ready: ')};" in policy
        models = f"{engines['demo_url']}/chat/completions"
        assert (await client.post(models, json={"messages": []})).status_code == 401


async def test_a_second_start_on_the_directory_is_refused(up: RunningUp, tmp_path: Path) -> None:
    await up.until("^ready:")
    link = tmp_path / "same"
    link.symlink_to(up.data_dir)
    line = await refused(RunningUp(link))
    assert re.fullmatch(rf"{link} is in use by process {up.process.pid}: stop it first, or choose another --data-dir\.", line)


async def test_a_part_that_dies_comes_back_and_chat_with_it(up: RunningUp) -> None:
    await up.until("all parts up in", within=120)
    before = up.parts()
    assert set(before) == {"postgres", "model", "api", "prefect", "flows"}
    for name in ("postgres", "api"):
        psutil.Process(before[name]).kill()
    await up.until(r"^postgres: ended \(SIGKILL\), starting again")
    await up.until(r"^api: ended \(SIGKILL\), starting again")
    url = up.line("^ready: ").removeprefix("ready: ")
    headers = {"Authorization": f"Bearer {(up.data_dir / 'admin-token').read_text().strip()}"}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        # What connects while the API is away waits, since ``up`` holds the listening socket.
        question = {"messages": [{"role": "user", "content": "Hi"}], "model": "smollm2-135m-instruct", "max_tokens": 5}
        answer = await client.post(f"{url}/v1/chat/completions", json=question, headers=headers)
    assert answer.status_code == 200, answer.text


async def test_killed_with_minus_nine_it_leaves_nothing_and_starts_again(up: RunningUp) -> None:
    await up.until("all parts up in", within=120)
    token = (up.data_dir / "admin-token").read_text()
    family = up.family()
    up.process.kill()
    up.process.wait()
    again = RunningUp(up.data_dir)
    try:
        await again.until("^ready:", within=120)
        assert not alive(family)
        assert (up.data_dir / "admin-token").read_text() == token
        headers = {"Authorization": f"Bearer {token.strip()}"}
        url = again.line("^ready: ").removeprefix("ready: ")
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            assert (await client.get(f"{url}/v1/models", headers=headers)).status_code == 200
        # Stopped while Prefect and the flows are still on their way.
        family = again.family()
        assert again.interrupt() == 0
        assert not alive(family)
        assert again.said.rstrip().splitlines()[-1].startswith("stopped (")
        assert not (up.data_dir / "address.json").exists()
    finally:
        again.clear()


async def test_an_ended_token_file_is_made_anew(up: RunningUp) -> None:
    if up.process.poll() is None:
        up.interrupt()
    (up.data_dir / "admin-token").write_text("ph_0000000000_lost\n")
    again = RunningUp(up.data_dir, "--no-model")
    try:
        await again.until(r"^model: none \(--no-model\)")
        url = (await again.until("^ready:", within=120)).removeprefix("ready: ")
        headers = {"Authorization": f"Bearer {(up.data_dir / 'admin-token').read_text().strip()}"}
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            assert (await client.get(f"{url}/v1/models", headers=headers)).status_code == 200
    finally:
        again.process.send_signal(signal.SIGTERM)
        assert again.process.wait(60) == 0


@pytest.mark.parametrize("option", ["--port", "--prefect-port"])
async def test_a_taken_port_is_named_with_its_option(data_dir: Path, option: str) -> None:
    other = {"--port": "--prefect-port", "--prefect-port": "--port"}[option]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = RunningUp(data_dir, other, "0", option, str(port), *(("--port", "0") if option == "--prefect-port" else ()))
        line = await refused(up)
    assert line == f"Port {port} on 127.0.0.1 is taken: stop what uses it, or choose another with {option}."
    assert not (data_dir / "logs").exists()


async def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    line = await refused(RunningUp(blocked))
    assert line == f"{blocked} cannot be written (File exists): choose another --data-dir."


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PG_BIN": "/usr/share"}, "PG_BIN must be a folder with PostgreSQL's initdb and postgres: /usr/share is none."),
        (
            {"DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/d"},
            "127.0.0.1/d does not answer; is the server running and the address right? (database.url is from DATABASE_URL)",
        ),
        (
            {"REDIS_URL": "redis://:secret@127.0.0.1:1/0"},
            "Redis or Valkey at 127.0.0.1:1/0 does not answer; is it running and the address right? "
            "(redis.url is from REDIS_URL; without it streams stay in memory)",
        ),
    ],
)
async def test_an_engine_that_will_not_do_is_named_with_its_setting(
    data_dir: Path, environ: dict[str, str], expected: str
) -> None:
    up = RunningUp(data_dir, "--no-model", environ=environ)
    await eventually(lambda: up.process.poll() is not None, within=60, what="its end")
    assert up.process.returncode == 2, up.said
    assert expected in up.said.splitlines()
    assert "secret" not in up.said
