"""Sending one message to its channel, seen and timed by Prefect; tried again by the outbox, which outlives any run."""

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from core.alerts.delivering import LIMIT, Delivery
from core.errors import PilothouseError
from tasks.retrying import NOWHERE


@task(
    name="send_notice",
    task_run_name="{delivery}",
    timeout_seconds=LIMIT * 2,
    cache_policy=NO_CACHE,
    persist_result=False,
    result_storage=NOWHERE,
)
async def send_notice(delivery: Delivery) -> State[None]:
    """Send it; what came of it is in the delivery. The state tells a failure by its code: what a channel answers may quote the
    message. Returned and not raised, since a channel that is away is no error of ours to be traced in the log at every try."""
    try:
        await delivery.attempt()
    except PilothouseError as error:
        return Failed(message=f"{error.code}: the outbox says why.")
    return Completed()
