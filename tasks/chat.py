"""Answering one turn, seen, timed and retried by Prefect."""

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext

from core.turns import RunningTurn
from tasks.retrying import NOWHERE, worth_another_try


@task(
    name="answer_turn",
    task_run_name="{turn}",
    # The turn itself counts tries by provider and moves on to the next; this only bounds their sum.
    retries=10,
    retry_delay_seconds=[0.5, 1, 2, 4, 8, 8, 8, 8, 8, 8],
    retry_jitter_factor=0.5,
    retry_condition_fn=worth_another_try,
    cache_policy=NO_CACHE,
    persist_result=False,
    result_storage=NOWHERE,
)
async def answer_turn(turn: RunningTurn) -> dict[str, str | None]:
    """Answer ``turn``; returns ``{"turnId", "status", "model"}``.

    Raises what ``RunningTurn.attempt`` raises. Runs inside a flow run or on its own.
    """
    context = TaskRunContext.get()
    if context is not None:
        run = context.task_run
        turn.noted(str(run.id), str(run.flow_run_id) if run.flow_run_id else None)
    outcome = await turn.attempt()
    return {"turnId": turn.id, "status": outcome.status, "model": outcome.model}
