"""Dispatchers of alerts in processes of their own, for tests that kill them.

All come from one process that has loaded Prefect and does nothing but fork: its input is one line of settings (JSON) for each,
its output their process ids. So a killed one has its successor within a tenth of a second.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.config import Settings, child_environment, prefect_environment
from core.ids import new_id
from core.logs import configure
from core.store.base import Store
from tests.waiting import eventually

LEASE = 0.5
"""Seconds in which a channel is free again after its process was killed; nobody wants to wait for fifteen here."""
FIRST_PAUSE = 0.05
TICK = 0.2


@dataclass
class Desks:
    """``begin`` starts a dispatcher, which tells of alerts until ``kill``; one at a time."""

    forking: subprocess.Popen[str]
    pids: list[int] = field(default_factory=list)

    def begin(self, settings: dict[str, Any]) -> None:
        assert self.forking.stdin
        assert self.forking.stdout
        print(json.dumps(settings), file=self.forking.stdin, flush=True)
        self.pids.append(int(self.forking.stdout.readline()))

    async def kill(self) -> None:
        os.kill(self.pids[-1], signal.SIGKILL)
        await eventually(self._gone, what="the process is gone")

    def _gone(self) -> bool:
        try:
            os.kill(self.pids[-1], 0)
        except ProcessLookupError:
            return True
        return False


@contextmanager
def desks(folder: Path) -> Iterator[Desks]:
    """Where they come from; they find no Prefect. What they log is in ``folder``."""
    away = Settings.model_validate({"data_dir": folder, "prefect_port": 9})
    with (folder / "desks.log").open("w") as log:
        forking = subprocess.Popen(
            [sys.executable, "-m", "tests.flows.alert_desk"],
            env=child_environment(prefect_environment(away, "api")),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        opened = Desks(forking)
        try:
            yield opened
        finally:
            for pid in opened.pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            forking.communicate()


def _fork_for_each_line() -> None:
    import requests  # noqa: F401, PLC0415  (what takes seconds, once for all of them)

    import flows.alerting  # noqa: F401, PLC0415

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            asyncio.run(_tell(Settings.model_validate(json.loads(line))))
        print(pid, flush=True)


async def _tell(settings: Settings) -> None:
    from core.alerts import delivering  # noqa: PLC0415  (as above)
    from core.store import notices  # noqa: PLC0415
    from flows import alerting  # noqa: PLC0415

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    configure("info", stream=sys.stderr)
    for module in (notices, alerting):
        setattr(module, "LEASE_SECONDS", LEASE)  # noqa: B010  (imported there by name)
    delivering.FIRST_PAUSE, alerting.TICK = FIRST_PAUSE, TICK
    desk = alerting.Alerting(new_id(), settings, Store.from_settings(settings.database))
    await desk.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    _fork_for_each_line()
