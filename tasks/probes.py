"""Looking at services: many at once, each within its time, and once more where the first look failed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from prefect import task
from prefect.cache_policies import NO_CACHE

from core.errors import PilothouseError
from core.sweeps.observation import Observation, Probe
from core.sweeps.service import Key
from tasks.retrying import NOWHERE

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """A service to look at. ``again``: seconds until the second look where the first one failed; None: there is none."""

    key: Key
    probe: Probe
    timeout: float
    again: float | None = 1.0


class Looks:
    """The looks at one level of the graph; ``seen`` is what came of them. ``gate`` says how many may be taken at once.

    Not a dataclass: Prefect searches those that a task is given for results of other tasks, through all they hold.
    """

    def __init__(self, targets: Sequence[Target], gate: asyncio.Semaphore) -> None:
        self.seen: dict[Key, Observation] = {}
        self._targets = targets
        self._gate = gate

    def __len__(self) -> int:
        return len(self._targets)

    async def take(self) -> int:
        """Look at all of them; how many failed."""
        async with asyncio.TaskGroup() as group:
            for target in self._targets:
                group.create_task(self._look(target))
        return sum(each.state == "down" for each in self.seen.values())

    async def _look(self, target: Target) -> None:
        async with self._gate:
            seen = await _once(target)
        if seen.state == "down" and target.again is not None:
            await asyncio.sleep(target.again)
            async with self._gate:
                seen = await _once(target)
        self.seen[target.key] = seen


# One run a level, not one a probe: what a person opens is "level 1 was looked at, 3 of 200 failed, 1.2 s". A run of its own for
# each of a thousand probes would be recorded at some 150 a second, long after the sweep.
@task(
    name="look_at",
    task_run_name="{what}",
    cache_policy=NO_CACHE,
    persist_result=False,
    result_storage=NOWHERE,
)
async def look_at(what: str, looks: Looks) -> int:
    """Take ``looks``; how many failed. ``what`` is the run's name."""
    return await looks.take()


async def _once(target: Target) -> Observation:
    try:
        async with asyncio.timeout(target.timeout):
            return await target.probe.look()
    except TimeoutError:
        return Observation("down", "timeout", f"No answer within {target.timeout:g} s.")
    except PilothouseError as error:
        return Observation("unknown", error.code, error.message)
    except Exception as error:  # one probe's fault must not hide the other services
        log.exception("probe_failed", service=str(target.key))
        return Observation("unknown", "probe_failed", f"The probe itself failed ({type(error).__name__}); the log says more.")
