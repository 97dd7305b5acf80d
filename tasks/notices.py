"""Sending one message to its channel, seen and timed by Prefect; tried again by the outbox, which outlives any run."""

from prefect import task
from prefect.cache_policies import NO_CACHE

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
async def send_notice(delivery: Delivery) -> None:
    """Send it; what came back is in the delivery. Raises what ``Delivery.attempt`` raises, told by its code: what a channel
    answers may quote the message."""
    try:
        await delivery.attempt()
    except PilothouseError as error:
        raise type(error)(f"{error.code}: the outbox says why.", retry_after=error.retry_after) from None
