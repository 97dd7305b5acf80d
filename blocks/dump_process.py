"""Programs that dump and restore: their output as a stream, what they are fed, their last words, and an end that is waited for.

A program runs in a process group of its own, so that what it starts ends with it. Secrets go into its environment, never into its
arguments. It inherits the priority of the thread that starts it.
"""

import os
import select
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader, RawIOBase
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import IO, cast

from blocks.handover import CHUNK, Abandoned
from core.backups.errors import DumpFailed, ToolTooOld
from core.backups.place import Stream
from core.errors import PilothouseError

SILENCE = 1800.0
"""Seconds without a byte after which a dump counts as stuck."""
GRACE = 5.0
"""Seconds between asking a program to end and killing it."""
WORDS = 40
"""Lines that are kept of what it says."""
LONGEST = 400


@dataclass(frozen=True, slots=True)
class Tool:
    """A program, how it is called, and the values that must not be repeated from what it says."""

    command: tuple[str | Path, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    worth: Callable[[str], bool] = field(default=lambda _: True, repr=False)
    """Which of its lines are worth keeping."""
    strict: bool = False
    """Such a line is an error, after which it is not fed any further."""

    @property
    def name(self) -> str:
        return Path(self.command[0]).name


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit code (negative: the signal that killed it), its last words, and how many lines there were."""

    name: str
    code: int
    words: tuple[str, ...]
    lines: int = 0

    def __str__(self) -> str:
        if self.code < 0:
            with suppress(ValueError):
                return f"{self.name} was killed by {signal.Signals(-self.code).name}{self._said}"
        return f"{self.name} ended with {self.code}{self._said}"

    @property
    def _said(self) -> str:
        return f": {' | '.join(self.words[-4:])}" if self.words else " and said nothing."


Judge = Callable[[Ended], PilothouseError | None]
"""What is wrong with how a program ended; None where nothing is."""


def failed_dump(ended: Ended) -> PilothouseError | None:
    """The plain judgement: anything but exit code 0."""
    return DumpFailed(str(ended)) if ended.code else None


class Running:
    """A started program. A thread keeps its last words."""

    def __init__(self, tool: Tool, *, fed: bool = False, read: bool = False) -> None:
        try:
            self._process = subprocess.Popen(  # noqa: S603  (our own commands; arguments are a list)
                tool.command,
                stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
                stdout=subprocess.PIPE if read else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={"PATH": os.defpath, "LC_ALL": "C", **tool.environment},
                cwd="/",
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise ToolTooOld(f"{tool.name} cannot be run ({error.strerror}): install it or correct its path.") from error
        self._tool = tool
        self._words: deque[str] = deque(maxlen=WORDS)
        self._lines = 0
        self._listening = Thread(target=self._listen, name=f"{tool.name}-words", daemon=True)
        self._listening.start()
        self._stopped_at: float | None = None

    @property
    def has_failed(self) -> bool:
        """Whether it has complained already, and that is enough."""
        return self._tool.strict and self._lines > 0

    @property
    def output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def ask_to_end(self) -> None:
        """From any thread; returns at once."""
        if self._stopped_at is None:
            self._stopped_at = monotonic()
        self._signal(signal.SIGTERM)

    def kill_if_asked(self) -> None:
        """Whoever waits for it calls this now and then: one that was asked to end and did not is killed."""
        if self._stopped_at is not None and monotonic() - self._stopped_at > GRACE:
            self._signal(signal.SIGKILL)

    def wait(self) -> Ended:
        """Blocks until it has ended."""
        while True:
            with suppress(subprocess.TimeoutExpired):
                code = self._process.wait(timeout=1)
                break
            self.kill_if_asked()
        self._listening.join(timeout=GRACE)
        return Ended(self._tool.name, code, tuple(self._words), self._lines)

    def close(self) -> None:
        """It has ended afterwards, whatever it was doing."""
        if self._process.poll() is None:
            self.ask_to_end()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self.wait()

    def _signal(self, signum: signal.Signals) -> None:
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signum)

    def _listen(self) -> None:
        # Closed here: what the program started may hold on to it beyond the program's own end.
        with BufferedReader(cast("RawIOBase", self._process.stderr)) as said:
            while line := said.readline(64 * 1024):
                text = line.decode(errors="replace").strip()
                if text and self._tool.worth(text):
                    self._lines += 1
                    self._words.append(self._shown(text))

    def _shown(self, text: str) -> str:
        for secret in self._tool.secrets:
            text = text.replace(secret, "********")
        return text[:LONGEST]


class Output:
    """What a program writes, as a stream."""

    def __init__(self, running: Running, silence: float = SILENCE) -> None:
        self._running = running
        self._silence = silence
        self._poll = select.poll()
        self._poll.register(running.output, select.POLLIN)
        self.tail = b""
        """The last bytes that came."""
        self.ended = False

    def read(self, size: int = CHUNK, /) -> bytes:
        """As much as there is; empty at the end. Raises ``DumpFailed`` when nothing comes for too long."""
        quiet_until = monotonic() + self._silence
        while not self._poll.poll(1000):
            self._running.kill_if_asked()
            if monotonic() > quiet_until:
                self.stop()
                raise DumpFailed(f"The dump has written nothing for {self._silence / 60:.0f} minutes; it is ended.")
        chunk = os.read(self._running.output.fileno(), CHUNK if size < 0 else size)
        self.tail = (self.tail[-400:] + chunk[-400:])[-400:]
        self.ended = not chunk
        return chunk

    def stop(self) -> None:
        """See ``core.backups.place.Stoppable``."""
        self._running.ask_to_end()


@contextmanager
def output_of(tool: Tool, judge: Judge = failed_dump, *, ends_with: bytes = b"") -> Iterator[Output]:
    """What a program writes. On leaving raises what ``judge`` finds, and ``DumpFailed`` without ``ends_with`` near its end."""
    running = Running(tool, read=True)
    try:
        _widen(running.output)
        output = Output(running)
        yield output
        if not output.ended and output.read():
            raise DumpFailed(f"The output of {tool.name} was not read to its end.")
        if (wrong := judge(running.wait())) is not None:
            raise wrong
        if ends_with not in output.tail:
            raise DumpFailed(f"{tool.name} ended well, but the end of what it wrote is missing: is the disk or memory full?")
    finally:
        running.close()


def feed(tool: Tool, source: Stream, stopped: Event) -> Ended:
    """Run a program with ``source`` as its input, which is read to its end even if the program needs no more.

    Raises ``Abandoned`` when it was ``stopped``, and what ``source`` raises; the program never takes a part for the whole then.
    """
    running = Running(tool, fed=True)
    try:
        _widen(running.input)
        os.set_blocking(running.input.fileno(), False)
        wants_more = True
        while chunk := source.read(CHUNK):
            if stopped.is_set():
                raise Abandoned
            if running.has_failed:
                running.ask_to_end()
                return running.wait()
            wants_more = wants_more and _written(running, chunk, stopped)
        running.input.close()
        return running.wait()
    finally:
        running.close()


def run(tool: Tool, stopped: Event) -> Ended:
    """Run a program to its end. Raises ``Abandoned`` when it was ``stopped``."""
    running = Running(tool)
    try:
        waiting = Thread(target=running.wait, name=f"{tool.name}-end", daemon=True)
        waiting.start()
        while waiting.is_alive():
            waiting.join(0.5)
            if stopped.is_set():
                raise Abandoned
        return running.wait()
    finally:
        running.close()


def _written(running: Running, chunk: bytes, stopped: Event) -> bool:
    """Whether it took all of the chunk; False when it takes no more."""
    rest = memoryview(chunk)
    poll = select.poll()
    poll.register(running.input, select.POLLOUT)
    while rest:
        while not poll.poll(1000):
            if stopped.is_set():
                raise Abandoned
        try:
            rest = rest[os.write(running.input.fileno(), rest) :]
        except BlockingIOError:
            continue
        except BrokenPipeError:
            return False
    return True


def _widen(pipe: IO[bytes]) -> None:
    """A pipe of a megabyte in place of 64 kB: fewer switches between the two sides. Linux only."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl  # noqa: PLC0415  (not everywhere)

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, CHUNK)
