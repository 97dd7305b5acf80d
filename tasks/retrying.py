"""What our tasks have in common: when another try makes sense, and results that are kept nowhere."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from core.errors import PilothouseError

P = ParamSpec("P")
R = TypeVar("R")

DAY = 86_400
NOWHERE = Path(tempfile.gettempdir()) / "pilothouse-results"
"""``result_storage`` of flows and tasks whose results are not persisted; nothing is ever written there.

A path, not a block: with a storage of its own a run never asks the server for one, and so a task runs with no server at all.
"""


async def worth_another_try(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry condition: whatever is not one of our permanent errors."""
    error = await state.aresult(raise_on_failure=False)
    return not (isinstance(error, PilothouseError) and error.permanent)


def tried(
    timeout: float, delays: Sequence[float] = (1, 5, 20), run_name: str | None = None
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A task decorator: once more after each of ``delays`` (seconds, with jitter), ``timeout`` seconds at most for each try."""
    return task(
        task_run_name=run_name,
        retries=len(delays),
        retry_delay_seconds=list(delays),
        retry_jitter_factor=0.5,
        retry_condition_fn=worth_another_try,
        cache_policy=NO_CACHE,
        persist_result=False,
        result_storage=NOWHERE,
        timeout_seconds=timeout,
    )


retried = tried(300)
"""For short effects on our database or Prefect's server: tried four times within half a minute."""
patient = tried(DAY)
"""For what takes as long as there is much: of files, of objects."""
