"""Running one tool and keeping what it made, seen, timed and retried by Prefect."""

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.tasks import Task

from core.errors import PilothouseError, ToolInterrupted
from core.keeping import Keeper, Keeping
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
async def run_tool(call: RunningCall, whole: bool = True) -> None:
    """Run ``call``; what came of it is in the call and in its row. Not ``whole``: without keeping the files that it made.

    Raises what ``RunningCall.attempt`` raises, told by its code: messages of a tool may quote what it was given, and Prefect
    keeps no inputs. Runs inside a flow run or on its own.
    """
    context = TaskRunContext.get()
    if context is not None:
        run = context.task_run
        call.noted(str(run.id), str(run.flow_run_id) if run.flow_run_id else None)
    try:
        await (call.attempt() if whole else call.make())
    except PilothouseError as error:
        raise _discreet(error, call) from None


@task(
    name="keep_file",
    task_run_name="{kept}",
    retries=3,
    retry_delay_seconds=[0.5, 2, 8],
    retry_jitter_factor=0.5,
    retry_condition_fn=worth_another_try,
    timeout_seconds=60,
    cache_policy=NO_CACHE,
    persist_result=False,
    result_storage=NOWHERE,
)
async def keep_file(keeper: Keeper, kept: Keeping) -> str:
    """Keep a file that a tool made; its URL. Tried again it is the same file. Raises what ``Keeper.keep`` raises."""
    return await keeper.keep(kept)


def _discreet(error: PilothouseError, call: RunningCall) -> PilothouseError:
    return type(error)(f"{error.code}: the record of tool run {call.id} says why.", retry_after=error.retry_after)
