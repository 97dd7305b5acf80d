"""``pilothouse serve flows``: our deployments served without a worker, each run in a process of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import structlog
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.runner import Runner
from prefect.states import Crashed

from core.config import Settings
from core.errors import ConfigurationInvalid, DatabaseUnavailable
from core.ids import new_id
from core.store.backups import Backups
from core.store.base import Store
from core.store.processes import LEASE_SECONDS, RENEW_SECONDS, Processes
from core.store.schema import migrate
from deployments.catching_up import make_now, make_up
from deployments.setup import deployment_of, publish_blocks, server_up
from flows.backups import due_units
from flows.catalogue import deployable

log = structlog.get_logger(__name__)

ROLE = "flows"
AT_ONCE = 8
"""Runs at once in this process; each is a Python process of about 150 MB."""
SERVER_WAIT = 600.0


async def serve(settings: Settings, served: Callable[[], None] = lambda: None) -> None:
    """Publish, make up what was missed, then run what is due until the process is told to end; ``served`` is called in between.

    Raises ``PrefectNotReady`` when there is no server for ten minutes.
    """
    if settings.database.url is None:
        raise ConfigurationInvalid("No database is configured: set DATABASE_URL, or start everything with `pilothouse up`.")
    await migrate(settings.database.url.get_secret_value())
    await server_up(SERVER_WAIT)
    store = Store.from_settings(settings.database, application="pilothouse serve flows")
    try:
        async with _lease(Processes(store)) as alone, get_client() as client:
            await publish_blocks(settings)
            runner = Runner(name="pilothouse", limit=AT_ONCE, pause_on_shutdown=False)
            for entry in deployable():
                await runner.aadd_deployment(await deployment_of(entry, settings))
            if alone:
                await end_orphans(client)
            now = datetime.now(UTC)
            made_up = await make_up(client, settings, now)
            if alone and "backup" not in made_up and await due_units(Backups(store), settings, now):
                await make_now(client, "backup", settings, now)
            log.info("flows_served", flows=[entry.name for entry in deployable()])
            served()
            await runner.start(webserver=False)
    finally:
        await store.aclose()


async def end_orphans(client: PrefectClient) -> int:
    """Runs that a flows process left behind when it was killed are set CRASHED; nothing on Prefect's side would end them.

    Only for a process that knows it is the only one. Runs of a worker (they have a work pool) are the worker's.
    """
    ended = 0
    for entry in deployable():
        try:
            deployment = await client.read_deployment_by_name(entry.deployment)
        except ObjectNotFound:
            continue
        left = FlowRunFilter.model_validate(
            {
                "deployment_id": {"any_": [deployment.id]},
                "state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}},
            }
        )
        for run in await client.read_flow_runs(flow_run_filter=left, sort=FlowRunSort.ID_DESC, limit=200):
            if run.work_pool_name is None:
                state: State[Any] = Crashed(message="The process that ran it was stopped.")
                await client.set_flow_run_state(run.id, state, force=True)
                ended += 1
    if ended:
        log.warning("orphaned_runs_ended", runs=ended)
    return ended


@contextlib.asynccontextmanager
async def _lease(processes: Processes) -> AsyncIterator[bool]:
    """Hold a lease while the block runs; gives whether this is the only flows process."""
    boot_id = new_id()
    alone = await _alone(processes)
    await processes.renew(boot_id, ROLE)
    renewing = asyncio.create_task(_renew(processes, boot_id), name="lease")
    try:
        yield alone
    finally:
        renewing.cancel()
        with contextlib.suppress(DatabaseUnavailable):
            await processes.leave(boot_id)


async def _alone(processes: Processes) -> bool:
    """Whether no other holds a lease; one that was just killed is given the time to lose it."""
    deadline = monotonic() + LEASE_SECONDS + 1
    while await processes.alive(ROLE):
        if monotonic() > deadline:
            return False
        await asyncio.sleep(0.5)
    return True


async def _renew(processes: Processes, boot_id: str) -> None:
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        with contextlib.suppress(DatabaseUnavailable):  # tried again in a moment
            await processes.renew(boot_id, ROLE)
