"""Files, one effect at a time: keeping one, deleting many."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from core.keeping import Keeper, Keeping
from tasks.retrying import NOWHERE, worth_another_try


@task(
    name="keep_file",
    task_run_name="{kept}",
    # Someone waits for it: three tries within a few seconds.
    retries=2,
    retry_delay_seconds=[0.5, 2],
    retry_jitter_factor=0.5,
    retry_condition_fn=worth_another_try,
    cache_policy=NO_CACHE,
    persist_result=False,
    result_storage=NOWHERE,
    timeout_seconds=60,
)
async def keep_file(keeper: Keeper, kept: Keeping) -> str:
    """Keep a file; its URL. Raises what ``Keeper.keep`` raises."""
    return await keeper.keep(kept)
