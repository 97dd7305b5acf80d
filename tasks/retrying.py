"""What our tasks have in common: when another try makes sense, and results that are kept nowhere."""

import tempfile
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from core.errors import PilothouseError

NOWHERE = Path(tempfile.gettempdir()) / "pilothouse-results"
"""``result_storage`` of flows and tasks whose results are not persisted; nothing is ever written there.

A path, not a block: with a storage of its own a run never asks the server for one, and so a task runs with no server at all.
"""


async def worth_another_try(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry condition: whatever is not one of our permanent errors."""
    error = await state.aresult(raise_on_failure=False)
    return not (isinstance(error, PilothouseError) and error.permanent)
