"""Watches the parts of ``pilothouse up``: starts them, restarts one that died, ends all in order, leaves no process behind.

Everything runs on one event loop in the main thread, which matters: children ask to die with the *thread* that forked them.
Each part is a session of its own, so that Ctrl-C reaches only us, and what a part leaves behind can be ended as a group.
"""

import asyncio
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from core.errors import PilothouseError
from deployments.logs import PartLog
from deployments.part import Part
from deployments.part_files import RunningParts

HOPELESS = 2
"""The exit code of a part that cannot run until someone sets something right; it is not started again."""
_DEATHS, _WITHIN = 5, 120.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
_POLL = 0.2


class PartKeepsDying(PilothouseError):
    """A part died again and again, or said that it cannot run; ``exit_code`` is what ``up`` ends with."""

    code = "part_keeps_dying"

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass
class _Watched:
    part: Part
    log: PartLog
    process: subprocess.Popen[bytes] | None = None
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=_DEATHS))
    reader: int | None = None
    task: asyncio.Task[None] | None = None
    stopping: bool = False


class Supervisor:
    """``say`` takes the lines meant for the terminal; ``failed`` is set when ``up`` has to end."""

    def __init__(self, data_dir: Path, say: Callable[[str], None]) -> None:
        self._say = say
        self._watched: dict[str, _Watched] = {}
        self._running = RunningParts(data_dir)
        self._logs = data_dir / "logs"
        self.failed: asyncio.Future[PartKeepsDying] = asyncio.get_running_loop().create_future()

    async def start(self, part: Part) -> None:
        """Start a part and watch it from now on; does not wait until it is ready."""
        watched = self._watched[part.name] = _Watched(part, PartLog(self._logs, part.name))
        await self._spawn(watched)
        watched.task = asyncio.create_task(self._watch(watched), name=f"watch {part.name}")

    async def ready(self, part: Part, every: float = 0.03) -> None:
        """Returns when the part says that it is ready; a part that keeps dying sets ``failed`` instead."""
        while not await part.is_ready():  # noqa: ASYNC110 - another process's state has no event to wait for
            await asyncio.sleep(every)

    async def stop(self) -> None:
        """End all parts: the highest stage first, those of one stage together; killed when their grace has passed."""
        for watched in self._watched.values():
            watched.stopping = True
        for stage in sorted({watched.part.stage for watched in self._watched.values()}, reverse=True):
            await asyncio.gather(*(self._end(watched) for watched in self._watched.values() if watched.part.stage == stage))
        self._running.clear()

    def kill(self) -> None:
        """End all parts at once; what ``stop`` waits for then comes at once as well."""
        for watched in self._watched.values():
            _kill_group(watched.process)

    async def _spawn(self, watched: _Watched) -> None:
        await asyncio.to_thread(watched.part.prepare)
        reader, writer = os.pipe()
        try:
            watched.process = watched.part.spawn(writer)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        os.set_blocking(reader, False)
        watched.reader = reader
        asyncio.get_running_loop().add_reader(reader, self._take, watched, reader)
        self._running.note(watched.part.name, watched.process.pid)

    def _take(self, watched: _Watched, reader: int) -> None:
        """What the part wrote goes to its log; at the end of file the pipe is given up."""
        try:
            data = os.read(reader, 65536)
        except BlockingIOError:
            return
        if data:
            known = watched.log.dropped
            watched.log.write(data)
            if watched.log.dropped and not known:
                self._say(f"{watched.part.name}: its log cannot be written for now (is the disk full?); the part runs on")
            return
        self._close_reader(watched, reader)

    def _close_reader(self, watched: _Watched, reader: int) -> None:
        asyncio.get_running_loop().remove_reader(reader)
        os.close(reader)
        if watched.reader == reader:
            watched.reader = None

    async def _watch(self, watched: _Watched) -> None:
        """Waits for the part's end, again and again, until it is meant to end."""
        while True:
            assert watched.process is not None
            code = await _exit_of(watched.process)
            self._clean_up(watched)
            if self._is_meant_to_end(watched):
                return
            pause = self._after_death(watched, code)
            if pause is None:
                return
            await asyncio.sleep(pause)
            if self._is_meant_to_end(watched):
                return
            try:
                await self._spawn(watched)
            except (PilothouseError, OSError) as error:
                self._fail(PartKeepsDying(f"{watched.part.name} cannot be started again: {error}"))
                return

    @staticmethod
    def _is_meant_to_end(watched: _Watched) -> bool:
        return watched.stopping

    def _clean_up(self, watched: _Watched) -> None:
        _kill_group(watched.process)  # whatever the part left running
        if watched.reader is not None:
            self._take(watched, watched.reader)
        if watched.reader is not None:  # still open: held by a process that left the group
            self._close_reader(watched, watched.reader)
        self._running.forget(watched.part.name)

    def _after_death(self, watched: _Watched, code: int) -> float | None:
        """Seconds until the next start, or None when there will be none."""
        name, how = watched.part.name, _told(code)
        last = watched.log.last_lines()
        if code == HOPELESS:
            self._fail(PartKeepsDying(last[-1] if last else f"{name} ended ({how})", exit_code=HOPELESS))
            return None
        now = monotonic()
        watched.deaths.append(now)
        recent = [moment for moment in watched.deaths if now - moment < _WITHIN]
        if len(recent) >= _DEATHS:
            lines = "\n".join(f"  {line}" for line in last)
            self._fail(
                PartKeepsDying(f"{name} keeps dying ({how}, {len(recent)} times in two minutes). Its last lines:\n{lines}")
            )
            return None
        pause: float = min(_FIRST_PAUSE * 2.0 ** (len(recent) - 1), _LONGEST_PAUSE)
        self._say(f"{name}: ended ({how}), starting again in {pause:.1f} s; see {watched.log.path}")
        return pause

    def _fail(self, error: PartKeepsDying) -> None:
        if not self.failed.done():
            self.failed.set_result(error)

    async def _end(self, watched: _Watched) -> None:
        process, task = watched.process, watched.task
        if process is not None and process.poll() is None:
            with suppress(ProcessLookupError):
                process.send_signal(watched.part.stop_signal)
            try:
                await asyncio.wait_for(_exit_of(process), watched.part.grace)
            except TimeoutError:
                self._say(f"{watched.part.name}: did not end within {watched.part.grace:.0f} s and was killed")
                _kill_group(process)
                await _exit_of(process)
        if task is not None:
            task.cancel()  # it may be in a pause before a restart
            await asyncio.gather(task, return_exceptions=True)
        if process is not None:
            self._clean_up(watched)
        await asyncio.to_thread(watched.part.release)
        watched.log.close()


async def _exit_of(process: subprocess.Popen[bytes]) -> int:
    """The child's exit code, without a thread and, where the kernel can tell (Linux), without polling."""
    try:
        descriptor = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None
    except OSError:  # it is gone already, or the kernel lacks the call
        descriptor = None
    if descriptor is not None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
    while (code := process.poll()) is None:  # noqa: ASYNC110 - nothing tells us on this system
        await asyncio.sleep(_POLL)
    return code


def _kill_group(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _told(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
