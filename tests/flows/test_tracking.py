"""Runs that dead processes left in Prefect: ended by their own installation, and by no other one on the same server."""

import pytest
from prefect import flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Running

from core.config import DatabaseSettings
from core.ids import new_id
from core.store.base import Store
from core.store.processes import Processes
from flows.holding import OpenRuns
from flows.prefect_link import PrefectLink
from flows.relay import EventRelay
from flows.tracking import HELD, RunKeeper, boot_tag, installation_tag
from tests.prefect_server import RunningServer
from tests.waiting import eventually


@flow(name="held elsewhere")
def held_elsewhere() -> None:
    """Only its runs are wanted."""


async def left_by(client: PrefectClient, installation: str) -> FlowRun:
    """A run that a process of that installation left when it died."""
    state: State[None] = Running()
    tags = [HELD, boot_tag(new_id()), installation_tag(installation)]
    return await client.create_flow_run(held_elsewhere, tags=tags, state=state)


@pytest.mark.usefixtures("prefect_client")
async def test_only_runs_of_our_own_installation_are_ended(database_url: str, prefect_client: RunningServer) -> None:
    store = Store.from_settings(DatabaseSettings.model_validate({"url": database_url}))
    ours, boot_id = await Processes(store).installation(), new_id()
    async with PrefectLink.opened() as link:
        others_run, our_run = await left_by(link.client, new_id()), await left_by(link.client, ours)
        keeper = RunKeeper(boot_id, ours, store, OpenRuns(link.presence, idle=1, items=1), link, EventRelay(100))
        keeper.start()

        async def ended() -> bool:
            return (await link.client.read_flow_run(our_run.id)).state_type == "CRASHED"

        await eventually(ended, 20, "our own dead process's run is CRASHED")
        assert (await link.client.read_flow_run(others_run.id)).state_type == "RUNNING"
        await keeper.stop()
    await store.aclose()
