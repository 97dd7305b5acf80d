"""``run`` and ``chat`` as programs, against a served API and a served flows process."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from deployments.running import parsed
from tests.api.serving import Served, provider
from tests.ports import free_port
from tests.prefect_server import ServedFlows
from tests.upstream import FakeUpstream
from tests.waiting import eventually


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """A fake upstream for the module's API."""
    up = FakeUpstream()
    with asyncio.Runner() as runner:
        runner.run(up.__aenter__())
        yield up
        runner.run(up.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def served(served_flows: ServedFlows, upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API beside the session's flows process."""
    providers = {"fake": provider(upstream.base_url)}
    api = Served(tmp_path_factory.mktemp("commands"), served_flows.database_url, providers, served_flows.server.api_url)
    with ThreadPoolExecutor(1) as beside:
        api.token = beside.submit(asyncio.run, api.make_token()).result()
    api.start()
    yield api
    api.stop()


def started(served: Served, *arguments: str) -> "subprocess.Popen[str]":
    values = {
        "PATH": os.environ["PATH"],
        "HOME": str(served.folder),
        "PILOTHOUSE_URL": served.url,
        "PILOTHOUSE_TOKEN": served.token,
    }
    command = [sys.executable, "-m", "deployments.cli", *arguments]
    return subprocess.Popen(
        command, env=values, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def said(served: Served, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    process = started(served, *arguments)
    output, errors = process.communicate(timeout=90)
    return process.returncode, output, errors


def test_a_flow_is_run_to_its_result(served: Served) -> None:
    code, output, errors = said(served, "run", "purge_history", "-p", "dry_run=true")
    assert code == 0, errors
    assert json.loads(output)["dryRun"] is True
    assert "Running" in errors
    assert "Completed" in errors


def test_a_failed_flow_is_exit_1(served: Served) -> None:
    code, output, errors = said(served, "run", "health_sweep", "-p", "topology=nowhere")
    assert (code, output) == (1, "")
    assert "Failed: Flow run encountered an exception: NotFound: There is no topology of that name" in " ".join(errors.split())
    assert ("Traceback" in errors, "Finished in state" in errors) == (False, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("purge_history", "-p", "dry=1"), "parameters.dry"),
        (("purge_history", "-p", "dry_run"), "expected key=value"),
        (("chat_turn", "-p", "turn_id=no-such-turn"), "No such turn"),
        (("nothing",), "there are: backup, chat_turn, "),
        (("backup", "-p", "name=nothing"), "parameters.name: There is no source or set of that name; there are: "),
        (("drill", "-p", "name=nothing"), "parameters.name: There is no source of that name; there are: "),
        (("guarded_change", "-p", "name=nothing"), "there are: none; describe one in a section [changes.NAME]."),
        (("sync_models", "-p", "provider=nothing"), "parameters.provider: There is no provider of that name; there are: fake."),
    ],
)
def test_what_cannot_run_is_one_line(served: Served, arguments: tuple[str, ...], words: str) -> None:
    code, output, errors = said(served, "run", *arguments)
    assert (code, output) == (1, "")
    assert words in errors
    assert errors.count("\n") == 1


def test_a_cancelled_flow_is_exit_3(served: Served) -> None:
    with psycopg.connect(served.database_url) as blocking:
        blocking.execute("LOCK TABLE pilothouse.sessions IN ACCESS EXCLUSIVE MODE")
        process = started(served, "run", "purge_history")
        assert process.stderr is not None
        run_id = process.stderr.readline().removeprefix("run ").strip()
        while "Running" not in process.stderr.readline():
            pass
        cancelled = asyncio.run(_post(served, f"/runs/{run_id}/cancel"))
        assert cancelled == 202
        process.communicate(timeout=60)
        assert process.returncode == 3


async def _post(served: Served, path: str) -> int:
    async with served.client() as client:
        return (await client.post(path)).status_code


def test_an_answer_is_plain_text_and_a_session_goes_on(served: Served) -> None:
    code, output, errors = said(served, "chat", "hello", "--model", "plain", "--session", "mine")
    assert (code, errors) == (0, "")
    assert output.startswith("w0 w1 ")
    assert said(served, "chat", "and again", "--model", "echo", "--session", "mine")[0] == 0


def test_a_failed_answer_is_exit_1(served: Served) -> None:
    code, _, errors = said(served, "chat", "hello", "--model", "refuse-401")
    assert code == 1
    assert errors.strip()


async def test_ctrl_c_stops_the_answer_upstream(served: Served, upstream: FakeUpstream) -> None:
    process = started(served, "chat", "hello", "--model", "slow-100")
    assert process.stdout is not None
    assert process.stdout.read(3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    await eventually(lambda: "slow-100" in upstream.disconnects, what="the model call stopped")


def test_nothing_running_is_one_line_and_exit_2(served: Served, tmp_path: Path) -> None:
    values = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PILOTHOUSE_DATA_DIR": str(tmp_path)}
    for more, words in (
        ([], "pilothouse up"),
        (["--url", f"http://127.0.0.1:{free_port()}"], "token"),
        (["--url", f"http://127.0.0.1:{free_port()}", "--token", "x"], "Nothing answers"),
        (["--url", served.url, "--token", "x"], "not valid"),
    ):
        command = [sys.executable, "-m", "deployments.cli", "chat", "hello", *more]
        done = subprocess.run(command, env=values, capture_output=True, text=True, check=False, timeout=30)
        assert (done.returncode, done.stderr.count("\n")) == (1 if "valid" in words else 2, 1), done.stderr
        assert words in done.stderr


def test_parameters_are_json_where_they_can_be() -> None:
    given = ["a=true", "b=7", "c=text", "d=", 'e={"f": [1]}', "g=x=y"]
    assert parsed(given) == {"a": True, "b": 7, "c": "text", "d": "", "e": {"f": [1]}, "g": "x=y"}
