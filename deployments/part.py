"""What the supervisor knows of a part: how it is started, when it is ready, how it is ended."""

import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from deployments.children import HAS_PDEATHSIG, dying_with_parent, forking_beside_threads, watch_from_outside


class Part(Protocol):
    """A child process of ``up``. ``stage``: parts of a lower stage end later, since the others lean on them."""

    name: str
    stage: int
    grace: float
    stop_signal: signal.Signals

    def prepare(self) -> None:
        """What has to be done before each start; runs in a thread."""

    def spawn(self, output: int) -> subprocess.Popen[bytes]:
        """The process, as leader of its own session, writing to the descriptor ``output``."""

    async def is_ready(self) -> bool:
        """Whether it does its work now."""

    def release(self) -> None:
        """Give back what it held, after its end; runs in a thread."""


@dataclass
class Program:
    """A part that is a plain program. ``death_signal`` is what it gets when we are killed; ``nice`` lowers its priority."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Callable[[], Awaitable[bool]]
    stage: int = 1
    grace: float = 15.0
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM
    nice: int = 0
    inherited: tuple[int, ...] = ()
    _watchers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def prepare(self) -> None:
        self._watchers = [watcher for watcher in self._watchers if watcher.poll() is None]

    def spawn(self, output: int) -> subprocess.Popen[bytes]:
        dying = dying_with_parent(self.death_signal)

        def before_exec() -> None:
            if self.nice:
                os.nice(self.nice)
            dying()

        with forking_beside_threads():
            process = subprocess.Popen(  # noqa: S603 - our own programs
                self.command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self.inherited,
                preexec_fn=before_exec,  # noqa: PLW1509 - see above
            )
        if not HAS_PDEATHSIG:
            self._watchers.append(watch_from_outside(process.pid, self.death_signal))
        return process

    async def is_ready(self) -> bool:
        return await self.ready()

    def release(self) -> None:
        for watcher in self._watchers:
            watcher.wait()
        self._watchers.clear()
