"""Charts drawn in worker processes: off the event loop, one core left free, each with a limit of time and of memory.

A thread waits for each busy worker, so a studio serves any event loop, whichever thread that runs in. One worker is warmed at
the start; others come when charts wait. A worker inherits nothing but its socket, and nothing of our environment.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from time import monotonic

import orjson
import structlog

from core.charts.chart import Chart, Picture
from core.charts.worker import receive, send
from core.errors import PilothouseError, ToolBusy, ToolFailed, ToolInterrupted, ToolTimedOut, named
from core.settings_charts import ChartSettings

log = structlog.get_logger(__name__)

ROOT = Path(__file__).parents[2]
START = 60.0
"""Seconds a worker may take until it can draw."""
SPARE = 60.0
"""Seconds after which a worker beyond the first leaves when there is nothing to draw."""
ENDING = "Pilothouse is ending; ask again when it is back."
TRIES = 3
"""Workers that one chart is given to where they had ended before they began it."""


class Studio:
    """Draws charts. ``folder`` keeps what matplotlib finds out about the machine's fonts."""

    def __init__(self, settings: ChartSettings, folder: Path) -> None:
        self._settings, self._folder = settings, folder.absolute()
        self._size = settings.workers or max(1, cores() - 1)
        self._threads = ThreadPoolExecutor(self._size, thread_name_prefix="studio")
        self._lock = Lock()
        self._idle: list[Worker] = []
        self._workers: set[Worker] = set()
        self._asked = 0
        self._closed = False

    def start(self) -> None:
        """Have a worker ready in the background."""
        self._threads.submit(self._warm)

    async def draw(self, chart: Chart) -> Picture:
        """The chart as a picture. Raises what the drawing raises, ``ToolTimedOut``, ``ToolFailed``, ``ToolBusy``."""
        with self._lock:
            if self._closed:
                raise ToolInterrupted(ENDING)
            if self._asked >= self._settings.queue:
                raise ToolBusy("Too many charts are waiting to be drawn; ask again in a moment.", retry_after=2.0)
            self._asked += 1
        waiting = self._threads.submit(self._drawn, chart, monotonic())
        waiting.add_done_callback(self._done)
        return await asyncio.wrap_future(waiting)

    async def aclose(self) -> None:
        """End all workers, those at work too."""
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.kill()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        while self._workers:
            self._workers.pop().end()

    def _done(self, _: Future[Picture]) -> None:
        with self._lock:
            self._asked -= 1

    def _drawn(self, chart: Chart, asked: float) -> Picture:
        if monotonic() - asked > self._settings.wait_limit:
            raise ToolBusy("The charts before this one took too long; ask again in a moment.", retry_after=5.0)
        request = chart.model_dump_json(exclude_defaults=True).encode()
        for _ in range(TRIES):
            worker = self._taken()
            try:
                return worker.draw(request, self._settings.time_limit)
            except WorkerLeft:
                continue
            except ToolFailed as error:
                if self._closed:
                    raise ToolInterrupted(ENDING) from error
                raise
            finally:
                self._given_back(worker)
        raise ToolFailed("No worker that draws charts stays alive; the log says why.")

    def _warm(self) -> None:
        with self._lock:
            if self._workers or self._closed:
                return
        worker = self._taken()
        try:
            worker.ready()
        except PilothouseError as error:
            log.warning("no worker for charts", reason=error.message)
        finally:
            self._given_back(worker)

    def _taken(self) -> "Worker":
        """The worker used last, so that spare ones are seen as idle; a new one where none is free."""
        with self._lock:
            for gone in [worker for worker in self._idle if not worker.lives()]:
                self._idle.remove(gone)
                self._workers.discard(gone)
                gone.end()
            if self._idle:
                return self._idle.pop()
            spare = any(not other.spare for other in self._workers)
        worker = Worker(self._settings, self._folder, spare)  # outside the lock, which the event loop takes too
        with self._lock:
            self._workers.add(worker)
            if not self._closed:
                return worker
        self._given_back(worker)
        raise ToolInterrupted(ENDING)

    def _given_back(self, worker: "Worker") -> None:
        with self._lock:
            if worker.lives() and not self._closed:
                self._idle.append(worker)
                return
            self._workers.discard(worker)
            if not self._workers and not self._closed:
                self._threads.submit(self._warm)
        worker.end()


class WorkerLeft(Exception):
    """It had ended before it began the chart."""


class Worker:
    """One worker process as its parent sees it. Only one thread uses it at a time; any may ``kill`` it."""

    def __init__(self, settings: ChartSettings, folder: Path, spare: bool) -> None:
        """Raises ``ToolFailed`` where the machine has no room for another process."""
        self.spare, self._memory = spare, settings.memory_limit
        self._ready = self._killed = False
        self._line, theirs = socket.socketpair()
        limits = (settings.memory_limit, settings.time_limit, SPARE if spare else 0)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._process = subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, "-P", "-m", "core.charts.worker", *map(str, limits)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env={"PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(folder), "OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
                start_new_session=True,  # a Ctrl-C in the terminal is for us, and we end it
            )
        except OSError as error:
            self._line.close()
            raise ToolFailed("No process could be started to draw the chart; is there memory and disk left?") from error
        finally:
            theirs.close()

    def ready(self) -> None:
        """Wait until it can draw. Raises ``ToolFailed``."""
        if self._ready:
            return
        try:
            receive(self._line, monotonic() + START)
        except (EOFError, OSError) as error:
            self.kill()
            raise ToolFailed("The worker that draws charts does not start; is matplotlib installed whole?") from error
        self._ready = True

    def draw(self, request: bytes, seconds: float) -> Picture:
        """Raises ``WorkerLeft``, ``ToolTimedOut``, ``ToolFailed``, and what the drawing raises."""
        self.ready()
        deadline = monotonic() + seconds
        try:
            self._line.settimeout(seconds)
            send(self._line, request)
        except TimeoutError as error:
            raise self._too_slow(seconds) from error
        except OSError as error:
            raise WorkerLeft from error
        try:
            head = orjson.loads(receive(self._line, deadline))
            if "media_type" not in head:
                raise self._refusal(head)
            return Picture(receive(self._line, deadline), head["media_type"], head["alt"])
        except TimeoutError as error:
            raise self._too_slow(seconds) from error
        except ConnectionResetError as error:  # it ended with the request unread
            self.kill()
            raise WorkerLeft from error
        except (EOFError, OSError, ValueError) as error:
            raise self._ended() from error

    def _too_slow(self, seconds: float) -> ToolTimedOut:
        self.kill()
        return ToolTimedOut(f"The chart was not drawn within {seconds:g} s; draw fewer points or series.")

    def _refusal(self, head: Mapping[str, str | None]) -> PilothouseError:
        if "memory" in head:
            self.kill()
            return ToolFailed(f"Drawing the chart takes more than {self._memory} MB; draw fewer points or a smaller picture.")
        if "defect" in head:
            log.error("a chart could not be drawn", defect=head["defect"])
            return ToolFailed("The chart could not be drawn, which is a mistake of Pilothouse; its log names the place.")
        error = named(head)
        error.field = head["field"]
        return error

    def _ended(self) -> ToolFailed:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self.kill()
        code = self._process.wait()
        log.warning("a worker that drew a chart was ended", code=code)
        return ToolFailed("The process that drew the chart was ended from outside or ran out of memory; draw fewer points.")

    def lives(self) -> bool:
        return not self._killed and self._process.poll() is None

    def kill(self) -> None:
        self._killed = True
        self._process.kill()

    def end(self) -> None:
        """Let its socket and its place in the process table go."""
        self._line.close()
        self._process.kill()
        self._process.wait()


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
