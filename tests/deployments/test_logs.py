"""A part's log turns over at its limit, keeps the last three compressed, and can be read back and followed."""

import gzip
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.errors import NotFound
from deployments.cli import app
from deployments.logs import PartLog
from tests.waiting import eventually


def filled(log: PartLog, text: str) -> None:
    """One turn of the log: a line that reaches its limit."""
    log.write(text.encode() * 100 + b"\n")
    if log._compressing is not None:
        log._compressing.join()


def unpacked(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


def test_a_full_log_is_compressed_and_the_last_three_are_kept(tmp_path: Path) -> None:
    log = PartLog(tmp_path, "api", limit=100, kept=3)
    for text in "abcde":
        filled(log, text)
    log.write(b"now\n")
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["api.log", "api.log.1.gz", "api.log.2.gz", "api.log.3.gz"]
    assert (tmp_path / "api.log").read_text() == "now\n"
    kept = [unpacked(tmp_path / f"api.log.{number}.gz")[0] for number in (1, 2, 3)]
    assert kept == ["e", "d", "c"]


def test_a_line_is_never_cut_in_two_files(tmp_path: Path) -> None:
    log = PartLog(tmp_path, "api", limit=10)
    log.write(b"the first half, ")
    assert not list(tmp_path.glob("*.1*"))
    log.write(b"the second\n")
    log.close()
    assert unpacked(tmp_path / "api.log.1.gz") == "the first half, the second\n"


def test_the_last_lines_are_at_hand(tmp_path: Path) -> None:
    log = PartLog(tmp_path, "api", tail=2)
    log.write(b"one\ntwo\nth")
    log.write(b"ree\nand a half")
    assert log.last_lines() == ["two", "three", "and a half"]
    log.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    log = PartLog(tmp_path, "api")
    log.path.unlink()
    log.path.symlink_to("/dev/full")
    log._file.close()
    log._file = log.path.open("ab", buffering=0)
    log.write(b"lost\n")
    assert log.dropped == 5
    assert log.last_lines() == ["lost"]
    log.close()


def run(data_dir: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["logs", "--data-dir", str(data_dir), *arguments])
    if isinstance(result.exception, NotFound):
        return 1, result.exception.message
    return result.exit_code, result.output


def test_parts_are_listed_and_one_is_shown(tmp_path: Path) -> None:
    log = PartLog(tmp_path / "logs", "api")
    log.write(b"".join(b"line %d\n" % number for number in range(300)))
    log.close()
    assert run(tmp_path) == (0, f"{'api':<10} {tmp_path}/logs/api.log\n")
    code, shown = run(tmp_path, "api")
    assert (code, shown.splitlines()[0], shown.splitlines()[-1]) == (0, "line 200", "line 299")
    assert run(tmp_path, "nothing") == (1, f"There is no log of a part called nothing in {tmp_path}/logs, only of: api.")


async def test_a_log_is_followed_beyond_its_turn(tmp_path: Path) -> None:
    log = PartLog(tmp_path / "logs", "api", limit=100)
    log.write(b"before\n")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "deployments.cli", "logs", "api", "-f", "--data-dir", str(tmp_path)]
    with out.open("wb") as output, subprocess.Popen(command, stdout=output) as reader:  # noqa: ASYNC220 - it goes on by itself
        try:
            await eventually(lambda: "before" in out.read_text(), what="what was there")
            log.write(b"x" * 100 + b"\n")
            await eventually(lambda: "xxx" in out.read_text(), what="what was appended")
            log.write(b"after\n")
            await eventually(lambda: "after" in out.read_text(), what="what came after the turn")
        finally:
            reader.terminate()
            log.close()


def test_help_answers_at_once_and_loads_no_command() -> None:
    script = (
        "import sys, deployments.cli as c; c.app(['--help'], standalone_mode=False); print([m for m in sys.modules if m in "
        + ("('prefect', 'sqlalchemy', 'psutil', 'deployments.up')])")
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.rstrip().endswith("[]")
    assert "Start everything on this machine" in done.stdout
    assert time.monotonic() - began < 10
