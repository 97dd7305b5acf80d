"""Running one tool, seen, timed and retried by Prefect."""

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.tasks import Task

from core.errors import ToolInterrupted
from core.tools.running import LIMIT, RunningCall
from tasks.retrying import NOWHERE, worth_another_try


async def _may_go_on(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Retry condition: a call that was stopped stays stopped."""
    error = await state.aresult(raise_on_failure=False)
    return not isinstance(error, ToolInterrupted) and await worth_another_try(task, run, state)


@task(
    name="run_tool",
    task_run_name="{call}",
    retries=3,
    retry_delay_seconds=[0.5, 2, 8],
    retry_jitter_factor=0.5,
    retry_condition_fn=_may_go_on,
    # The call limits the tool itself; this bounds what lies around it as well.
    timeout_seconds=LIMIT * 2,
    cache_policy=NO_CACHE,
    persist_result=False,
    result_storage=NOWHERE,
)
async def run_tool(call: RunningCall) -> None:
    """Run ``call``; what came of it is in the call and in its row.

    Raises what ``RunningCall.attempt`` raises. Runs inside a flow run or on its own.
    """
    context = TaskRunContext.get()
    if context is not None:
        run = context.task_run
        call.noted(str(run.id), str(run.flow_run_id) if run.flow_run_id else None)
    await call.attempt()
