"""Schedules that were missed while nothing ran: each is made up once, whatever the number of times."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from zoneinfo import ZoneInfo

import structlog

# Prefect's own copy, which its server computes schedules with, so that both agree; nothing public offers it without the server.
from prefect._vendor.croniter import croniter  # type: ignore[attr-defined]
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from core.config import Settings
from flows.catalogue import TAG, Schedule, deployable, triggerable

log = structlog.get_logger(__name__)

SCHEDULED = "auto-scheduled"
"""Prefect's tag on a schedule's runs."""
MADE_UP = "made-up"
LOOK_BACK = 200
"""Runs read per deployment, newest first; Prefect schedules a hundred ahead."""


def missed(cron: str, timezone: str, last: datetime, now: datetime) -> datetime | None:
    """The latest time after ``last`` and up to ``now`` that ``cron`` names in ``timezone``; None when there is none."""
    # A moment later, since the time before a matching one would be the one before that.
    local = now.astimezone(ZoneInfo(timezone)) + timedelta(microseconds=1)
    at: datetime = croniter(cron, local).get_prev(datetime)  # type: ignore[no-untyped-call]
    return at.astimezone(UTC) if last < at <= now else None


async def make_up(client: PrefectClient, settings: Settings, now: datetime) -> list[str]:
    """For each flow with a schedule: one run where any was missed. Returns the names of the flows that got one."""
    made_up = []
    for entry in deployable():
        schedules = entry.schedules(settings)
        if not schedules:
            continue
        try:
            deployment = await client.read_deployment_by_name(entry.deployment)
        except ObjectNotFound:
            continue
        if await _make_up_one(client, deployment, schedules, settings.timezone, now):
            log.info("missed_schedule_made_up", flow=entry.name)
            made_up.append(entry.name)
    return made_up


async def _make_up_one(
    client: PrefectClient, deployment: DeploymentResponse, schedules: Sequence[Schedule], timezone: str, now: datetime
) -> bool:
    runs = await _runs_of_schedule(client, deployment)
    waiting = [run for run in runs if _waiting(run)]
    overdue = sorted((run for run in waiting if _due(run) <= now), key=_due)
    for run in overdue[:-1]:
        await client.delete_flow_run(run.id)
    if overdue:
        return True
    begun = [_due(run) for run in runs if not _waiting(run)]
    last = max([*begun, deployment.created or now])
    missing = [(at, each) for each in schedules if (at := missed(each.cron, timezone, last, now)) is not None]
    if not missing:
        return False
    at, schedule = max(missing, key=itemgetter(0))
    # Two flows processes that start at once make up one run.
    await _create(client, deployment, schedule, f"{MADE_UP} {deployment.id} {at.isoformat()}")
    return True


async def make_now(client: PrefectClient, name: str, settings: Settings, now: datetime) -> None:
    """A run of a flow with a schedule for what is due though no time was missed: it has never been done, or it failed."""
    entry = triggerable(name)
    deployment = await client.read_deployment_by_name(entry.deployment)
    await _create(client, deployment, entry.schedules(settings)[0], f"{MADE_UP} {deployment.id} now {now:%Y-%m-%d %H:%M}")
    log.info("due_run_made", flow=name)


async def _create(client: PrefectClient, deployment: DeploymentResponse, schedule: Schedule, key: str) -> None:
    parameters = dict(schedule.parameters)
    await client.create_flow_run_from_deployment(deployment.id, parameters=parameters, tags=[TAG, MADE_UP], idempotency_key=key)


async def _runs_of_schedule(client: PrefectClient, deployment: DeploymentResponse) -> list[FlowRun]:
    wanted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]), tags=FlowRunFilterTags(any_=[SCHEDULED, MADE_UP])
    )
    return await client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=LOOK_BACK)


def _waiting(run: FlowRun) -> bool:
    return run.state_type == StateType.SCHEDULED and run.run_count == 0


def _due(run: FlowRun) -> datetime:
    assert run.expected_start_time is not None
    return run.expected_start_time
