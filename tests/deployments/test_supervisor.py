"""Parts are restarted, given up, stopped in order, and none outlives its supervisor."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from core.errors import PartMissing
from deployments import supervisor as module
from deployments.part import Program
from deployments.part_files import DirectoryLock, end_leftovers
from deployments.supervisor import PartKeepsDying, Supervisor
from tests.waiting import eventually

Make = Callable[..., Program]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.01)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
async def supervisor(data_dir: Path, told: list[str]) -> AsyncIterator[Supervisor]:
    made = Supervisor(data_dir, told.append)
    yield made
    await made.stop()


def program(data_dir: Path, name: str, script: str, **more: object) -> Program:
    """A part that runs a shell script; ready when it has made the file ``NAME.ready``."""
    mark = data_dir / f"{name}.ready"

    async def ready() -> bool:
        return mark.exists()

    return Program(name, ["/bin/sh", "-c", f"echo $$ > {mark}\n{script}"], {"PATH": "/usr/bin:/bin"}, ready, **more)  # type: ignore[arg-type]


def pid(data_dir: Path, name: str) -> int:
    """The part's process number, 0 while it has told none."""
    mark = data_dir / f"{name}.ready"
    return int(mark.read_text().strip() or 0) if mark.exists() else 0


def gone(number: int) -> bool:
    """Whether the process has ended; a zombie has, and only waits for whoever inherited it."""
    try:
        return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_what_a_part_writes_is_in_its_log(supervisor: Supervisor, data_dir: Path) -> None:
    await supervisor.start(program(data_dir, "talker", "echo out; echo err >&2; exec sleep 60"))
    log = data_dir / "logs" / "talker.log"
    await eventually(lambda: log.exists() and log.read_text() == "out\nerr\n", what="both lines")


async def test_a_part_that_died_is_started_again_and_said_so(supervisor: Supervisor, data_dir: Path, told: list[str]) -> None:
    part = program(data_dir, "mortal", "exec sleep 60")
    await supervisor.start(part)
    await supervisor.ready(part)
    first = await eventually(lambda: pid(data_dir, "mortal"))
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: pid(data_dir, "mortal") not in (0, first), what="another process")
    assert told == [f"mortal: ended (SIGKILL), starting again in 0.0 s; see {data_dir}/logs/mortal.log"]
    assert not supervisor.failed.done()


async def test_what_a_dead_part_left_running_is_ended(supervisor: Supervisor, data_dir: Path) -> None:
    child = data_dir / "child"
    await supervisor.start(program(data_dir, "parent", f"sleep 60 & echo $! > {child}; wait"))
    number = int(await eventually(lambda: child.exists() and child.read_text().strip()))
    os.kill(pid(data_dir, "parent"), signal.SIGKILL)
    await eventually(lambda: gone(number), what="the grandchild's end")


async def test_a_part_that_keeps_dying_is_given_up_with_its_last_lines(supervisor: Supervisor, data_dir: Path) -> None:
    await supervisor.start(program(data_dir, "hopeless", "echo I cannot; exit 7"))
    error = await asyncio.wait_for(supervisor.failed, 10)
    assert isinstance(error, PartKeepsDying)
    assert error.exit_code == 1
    assert error.message.startswith("hopeless keeps dying (exit code 7, 5 times in two minutes). Its last lines:\n  I cannot")


async def test_a_part_that_says_it_cannot_run_is_not_tried_again(supervisor: Supervisor, data_dir: Path, told: list[str]) -> None:
    await supervisor.start(program(data_dir, "lost", "echo set PG_BIN; exit 2"))
    error = await asyncio.wait_for(supervisor.failed, 10)
    assert (error.message, error.exit_code, told) == ("set PG_BIN", 2, [])


async def test_parts_end_by_stage_and_those_that_lean_on_others_first(supervisor: Supervisor, data_dir: Path) -> None:
    order = data_dir / "order"
    for name, stage in (("ground", 0), ("middle", 1), ("top", 2)):
        part = program(data_dir, name, f"trap 'echo {name} >> {order}; exit 0' TERM; while :; do sleep 0.01; done", stage=stage)
        await supervisor.start(part)
        await supervisor.ready(part)
    await supervisor.stop()
    assert order.read_text().split() == ["top", "middle", "ground"]
    assert not (data_dir / "run" / "parts.json").exists()


async def test_a_part_that_does_not_end_is_killed_after_its_grace(
    supervisor: Supervisor, data_dir: Path, told: list[str]
) -> None:
    deaf = data_dir / "is-deaf"  # it is ready before it is
    part = program(data_dir, "deaf", f"trap '' TERM; touch {deaf}; while :; do sleep 0.05; done", grace=0.2)
    await supervisor.start(part)
    await supervisor.ready(part)
    await eventually(deaf.exists)
    number = await eventually(lambda: pid(data_dir, "deaf"))
    await supervisor.stop()
    assert gone(number)
    assert told == ["deaf: did not end within 0 s and was killed"]


async def test_a_part_waiting_for_its_next_start_is_not_started_by_a_stop(
    supervisor: Supervisor, data_dir: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 30.0)
    await supervisor.start(program(data_dir, "paused", "exit 1"))
    await eventually(lambda: told, what="its end")
    (data_dir / "paused.ready").unlink()
    await supervisor.stop()
    assert not (data_dir / "paused.ready").exists()


SUPERVISING = """
import asyncio, pathlib, sys
from deployments.supervisor import Supervisor
from tests.deployments.test_supervisor import program
async def main():
    data_dir = pathlib.Path(sys.argv[1])
    supervisor = Supervisor(data_dir, print)
    part = program(data_dir, "orphan", sys.argv[2])
    await supervisor.start(part)
    await supervisor.ready(part)
    print("ready", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def supervised_elsewhere(data_dir: Path, script: str) -> int:
    """Starts a supervisor with one part in a process of its own, kills it with -9, and gives the part's number."""
    arguments = ("-c", SUPERVISING, str(data_dir), script)
    parent = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert (await parent.stdout.readline()) == b"ready\n"
    number = await eventually(lambda: pid(data_dir, "orphan"))
    assert not gone(number)
    parent.kill()
    await parent.wait()
    return number


async def test_no_part_outlives_a_killed_supervisor(data_dir: Path) -> None:
    number = await supervised_elsewhere(data_dir, "exec sleep 60")
    await eventually(lambda: gone(number), what="the part's end")


async def test_the_next_start_ends_what_a_killed_one_left(data_dir: Path) -> None:
    number = await supervised_elsewhere(data_dir, "trap '' TERM; while :; do sleep 0.05; done")
    assert not gone(number)
    assert await asyncio.to_thread(end_leftovers, data_dir) == ["orphan"]
    assert gone(number)
    assert end_leftovers(data_dir) == []


def test_a_directory_is_used_by_one_at_a_time(data_dir: Path) -> None:
    with (
        DirectoryLock(data_dir),
        pytest.raises(PartMissing, match=rf"{data_dir} is in use by process {os.getpid()}: .*--data-dir"),
        DirectoryLock(data_dir),
    ):
        pass
    with DirectoryLock(data_dir):
        pass
