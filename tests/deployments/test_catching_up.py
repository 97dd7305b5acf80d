"""A missed schedule is made up once; runs of a dead process are ended."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Completed, Running, Scheduled

from core.config import Settings
from deployments.catching_up import SCHEDULED, make_now, make_up, missed
from deployments.flows_server import end_orphans
from deployments.setup import deployment_of
from flows.catalogue import CATALOGUE
from tests.prefect_server import RunningServer

NIGHTLY = "0 3 * * *"
UTC_SETTINGS = Settings(data_dir=Path("/nowhere"))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("timezone", "last", "now", "expected"),
    [
        ("UTC", "2026-03-01T03:00", "2026-03-02T02:59:59", None),
        ("UTC", "2026-03-01T03:00", "2026-03-02T03:00", "2026-03-02T03:00"),
        ("UTC", "2026-03-01T03:00", "2026-03-02T03:00:01", "2026-03-02T03:00"),
        ("UTC", "2026-03-01T03:00", "2026-03-09T12:00", "2026-03-09T03:00"),
        ("UTC", "2026-03-02T03:00:01", "2026-03-02T12:00", None),
        ("Asia/Shanghai", "2026-03-01T00:00", "2026-03-01T20:00", "2026-03-01T19:00"),
        ("Europe/Berlin", "2026-07-01T00:00", "2026-07-01T02:00", "2026-07-01T01:00"),
    ],
)
def test_the_latest_missed_time(timezone: str, last: str, now: str, expected: str | None) -> None:
    assert missed(NIGHTLY, timezone, at(last), at(now)) == (at(expected) if expected else None)


MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001


@given(last=MOMENTS, now=MOMENTS, timezone=st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York"]))
def test_a_missed_time_lies_between_and_is_missed_no_longer_once_run(last: datetime, now: datetime, timezone: str) -> None:
    found = missed(NIGHTLY, timezone, last, now)
    if found is None:
        assert now - last < timedelta(hours=25)
    else:
        assert last < found <= now
        assert missed(NIGHTLY, timezone, found, now) is None


async def runs_of(client: PrefectClient, deployment_id: object) -> list[FlowRun]:
    wanted = FlowRunFilter.model_validate({"deployment_id": {"any_": [deployment_id]}})
    return await client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_DESC)


async def test_runs_that_piled_up_become_one_and_a_gap_is_filled_once(prefect_client: RunningServer) -> None:
    now = datetime.now(UTC)
    async with get_client() as client:
        deployment_id = await (await deployment_of(CATALOGUE["purge_history"], Settings(data_dir=Path("/nowhere")))).aapply()
        await client.pause_deployment(deployment_id)  # no run comes from Prefect's scheduler
        for run in await runs_of(client, deployment_id):
            await client.delete_flow_run(run.id)
        for days in (1, 2, 3):  # as Prefect's scheduler leaves them when nothing ran for days
            late = Scheduled(scheduled_time=now - timedelta(days=days))  # type: ignore[var-annotated]
            await client.create_flow_run_from_deployment(deployment_id, state=late, tags=[SCHEDULED])
        assert "purge_history" in await make_up(client, UTC_SETTINGS, now)
        waiting = {run.expected_start_time: run for run in await runs_of(client, deployment_id)}
        assert list(waiting) == [now - timedelta(days=1)]

        await client.set_flow_run_state(waiting.popitem()[1].id, Completed(), force=True)
        later = now + timedelta(days=1)
        assert "purge_history" in await make_up(client, UTC_SETTINGS, later)
        assert "purge_history" in await make_up(client, UTC_SETTINGS, later)  # still waiting to run: the same one
        (made,) = [run for run in await runs_of(client, deployment_id) if "made-up" in run.tags]
        assert made.parameters == {"dry_run": False}
        await client.delete_flow_run(made.id)
        await client.resume_deployment(deployment_id)


async def test_runs_of_a_dead_process_are_ended(prefect_client: RunningServer) -> None:
    async with get_client() as client:
        deployment_id = await (await deployment_of(CATALOGUE["purge_history"], Settings(data_dir=Path("/nowhere")))).aapply()
        run = await client.create_flow_run_from_deployment(deployment_id)
        await client.set_flow_run_state(run.id, Running(), force=True)
        assert await end_orphans(client) >= 1  # flows processes of other tests may have left runs too
        ended = await client.read_flow_run(run.id)
        assert ended.state is not None
        assert (ended.state.type, ended.state.message) == ("CRASHED", "The process that ran it was stopped.")
        assert await end_orphans(client) == 0


async def test_what_is_due_at_once_gets_one_run_whoever_asks(prefect_client: RunningServer) -> None:
    now = datetime(2026, 1, 1, 12, 0, 7, tzinfo=UTC)
    async with get_client() as client:
        deployment_id = await (await deployment_of(CATALOGUE["backup"], UTC_SETTINGS)).aapply()
        await client.pause_deployment(deployment_id)
        for _ in range(2):
            await make_now(client, "backup", UTC_SETTINGS, now)
        # Flows processes of other tests may have asked the same server at their own times.
        runs = [run for run in await runs_of(client, deployment_id) if "2026-01-01" in (run.idempotency_key or "")]
        (made,) = [run for run in runs if "made-up" in run.tags]
        assert made.parameters == {}
        await client.delete_flow_run(made.id)
        await client.resume_deployment(deployment_id)
