"""Programs that dump and restore: how they end, what is kept of their words, and that none of them is left running."""

import io
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from blocks.dump_process import Output, Running, Tool, feed, output_of, run
from blocks.handover import Abandoned
from core.backups.errors import BackupDamaged, DumpFailed, ToolTooOld
from core.backups.place import Stream
from tests.children import children
from tests.waiting import eventually


def python(code: str, **more: object) -> Tool:
    return Tool((sys.executable, "-c", f"import os, signal, sys, time\n{code}"), **more)  # type: ignore[arg-type]


def whole(stream: Stream) -> bytes:
    return b"".join(iter(stream.read, b""))


def left_running() -> list[psutil.Process]:
    return children("import os, signal")


def test_output_comes_whole() -> None:
    with output_of(python("sys.stdout.write('x' * 3_000_000)")) as output:
        assert len(whole(output)) == 3_000_000


def test_an_exit_code_fails_after_all_has_come_and_says_why_without_secrets() -> None:
    tool = python(
        "print('rows'); print('login', os.environ['PW'], 'refused', file=sys.stderr); sys.exit(3)",
        environment={"PW": "hunter22"},
        secrets=("hunter22",),
    )
    with pytest.raises(DumpFailed, match=r"ended with 3: login \*+ refused$"), output_of(tool) as output:
        assert whole(output) == b"rows\n"
    assert "hunter22" not in repr(tool)


def test_what_says_nothing_is_said_too() -> None:
    with pytest.raises(DumpFailed, match="ended with 1 and said nothing"), output_of(python("sys.exit(1)")) as output:
        whole(output)


def test_an_end_that_is_missing_fails() -> None:
    cut, complete = python("print('rows')"), python("print('rows\\n-- complete')")
    with pytest.raises(DumpFailed, match="the end of what"), output_of(cut, ends_with=b"-- complete") as output:
        whole(output)
    with output_of(complete, ends_with=b"-- complete") as output:
        assert whole(output).startswith(b"rows")


def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(ToolTooOld, match="no_such_program cannot be run"), output_of(Tool((Path("/no_such_program"),))):
        pass


def test_many_words_fill_no_pipe_and_the_last_are_kept() -> None:
    tool = python("[print('word', number, 'x' * 900, file=sys.stderr) for number in range(2000)]; print('rows'); sys.exit(1)")
    with pytest.raises(DumpFailed, match="word 1999") as raised, output_of(tool) as output:
        whole(output)
    assert len(raised.value.message) < 2000


def test_silence_is_ended() -> None:
    running = Running(python("print('rows', flush=True); time.sleep(60)"), read=True)
    output = Output(running, silence=0.5)
    assert output.read() == b"rows\n"
    with pytest.raises(DumpFailed, match="written nothing"):
        output.read()
    running.close()
    assert left_running() == []


async def test_one_that_does_not_want_to_end_is_killed_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blocks.dump_process.GRACE", 0.2)
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); print('ready', flush=True); time.sleep(60)"

    def fails_while_it_runs() -> None:
        with output_of(python(stubborn)) as output:
            output.read()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_while_it_runs()
    await eventually(lambda: left_running() == [])


async def test_stopping_from_another_thread_ends_a_read() -> None:
    def stopped_from_elsewhere() -> None:
        with output_of(python("time.sleep(60)")) as output:
            threading.Timer(0.2, output.stop).start()
            assert whole(output) == b""

    with pytest.raises(DumpFailed, match="killed by SIGTERM"):
        stopped_from_elsewhere()


def test_a_program_is_fed_to_the_end() -> None:
    counting = python("n = len(sys.stdin.buffer.read()); print(n, file=sys.stderr); sys.exit(n != 5_000_000)")
    ended = feed(counting, io.BytesIO(b"x" * 5_000_000), threading.Event())
    assert (ended.code, ended.words) == (0, ("5000000",))


def test_what_a_program_does_not_want_is_read_all_the_same() -> None:
    source = io.BytesIO(b"x" * 9_000_000)
    assert feed(python("sys.stdin.buffer.read(10)"), source, threading.Event()).code == 0
    assert source.read() == b""


class Damaged(io.BytesIO):
    """Fails where it would end."""

    def read(self, size: int | None = -1, /) -> bytes:
        if chunk := super().read(size):
            return chunk
        raise BackupDamaged("the stored bytes are others")


async def test_a_damaged_source_never_looks_like_the_end(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with pytest.raises(BackupDamaged):
        feed(python(f"sys.stdin.buffer.read(); open({str(done)!r}, 'w')"), Damaged(b"x" * 100), threading.Event())
    await eventually(lambda: left_running() == [])
    assert not done.exists()


def test_an_error_ends_feeding_where_that_is_asked() -> None:
    tool = python("print('error: no', file=sys.stderr, flush=True); sys.stdin.buffer.read()", strict=True)
    read = 0

    class Endless(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            nonlocal read
            read += 1
            return b"x" * 1000

    ended = feed(tool, Endless(), threading.Event())
    assert ended.words == ("error: no",)
    assert read


@pytest.mark.parametrize("work", [run, lambda tool, stopped: feed(tool, io.BytesIO(b"x" * 9_000_000), stopped)])
def test_being_stopped_ends_it(work: Callable[[Tool, threading.Event], object]) -> None:
    stopped = threading.Event()
    threading.Timer(0.3, stopped.set).start()
    with pytest.raises(Abandoned):
        work(python("time.sleep(60)"), stopped)
    assert left_running() == []
