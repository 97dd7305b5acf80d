"""Whether a flow of ours that runs by schedule did, and whether its last run was good; as Prefect tells it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort

from core.errors import NotFound, PrefectNotReady
from core.schedules import latest
from core.settings import Settings
from core.sweeps.observation import Observation
from flows.catalogue import CATALOGUE, CatalogueEntry
from flows.prefect_link import asked
from flows.run_views import plain

RUNS_BACK = 20
BEGUN = ("RUNNING", "PENDING", "CANCELLING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED")
GOOD = frozenset({StateType.COMPLETED})
BAD = frozenset({StateType.FAILED, StateType.CRASHED})
SHARE = 0.8
"""Of a look's time, after which Prefect is what does not answer, and not the flow."""
MOMENT = timedelta(minutes=1)
"""By which a run may be older than the time that it was made for."""


@dataclass(frozen=True, slots=True)
class FlowProbe:
    """Looks at the flow ``name`` of the catalogue. ``grace``: seconds that a run may be late; ``timeout``: those of a look."""

    name: str
    grace: float
    timeout: float
    settings: Settings
    client: PrefectClient

    async def look(self) -> Observation:
        """``failed``, ``crashed`` or ``late`` is down; a flow that has never run yet is unknown."""
        entry = CATALOGUE.get(self.name)
        if entry is None:
            return Observation("unknown", "no_such_flow", f"There is no flow {self.name}.")
        try:
            async with asyncio.timeout(SHARE * self.timeout):
                return await self._judged(entry)
        except NotFound:
            return Observation("unknown", "not_published", "Prefect does not know it yet: `pilothouse serve flows` publishes it.")
        except (PrefectNotReady, httpx.HTTPError, TimeoutError):
            return Observation("unreachable", "prefect_away", "Prefect does not say: it does not answer.")

    async def _judged(self, entry: CatalogueEntry) -> Observation:
        lines = [each.cron for each in entry.schedules(self.settings)]
        deployment = await asked(lambda: self.client.read_deployment_by_name(entry.deployment))
        runs = await asked(lambda: self._runs(deployment))
        return judged(runs, deployment, lines, self.settings.timezone, self.grace, datetime.now(UTC))

    async def _runs(self, deployment: DeploymentResponse) -> list[FlowRun]:
        begun: dict[str, Any] = {"deployment_id": {"any_": [deployment.id]}, "state": {"type": {"any_": BEGUN}}}
        wanted = FlowRunFilter.model_validate(begun)
        sort = FlowRunSort.EXPECTED_START_TIME_DESC
        return await self.client.read_flow_runs(flow_run_filter=wanted, sort=sort, limit=RUNS_BACK)


def judged(
    runs: Sequence[FlowRun], deployment: DeploymentResponse, lines: Sequence[str], zone: str, grace: float, now: datetime
) -> Observation:
    """What the newest ``runs`` that have begun say of a deployment with these cron ``lines``."""
    late = _late(runs, deployment, lines, zone, grace, now)
    if late is not None:
        return late
    ended = next((run for run in runs if run.state_type in GOOD | BAD), None)
    if ended is None:
        return Observation("unknown", "never", "It has not run yet.")
    at = ended.end_time or ended.expected_start_time
    facts = {"run": ended.name, "ended": f"{plain(at):%Y-%m-%d %H:%M:%S} UTC" if at else ""}
    if ended.state_type in BAD:
        word = str(ended.state_type.value).lower() if ended.state_type else ""
        return Observation("down", word, f"Its last run {word}: the run's log in Prefect says why.", facts=facts)
    return Observation("up", message="Its last run was good.", facts=facts)


def _late(
    runs: Sequence[FlowRun], deployment: DeploymentResponse, lines: Sequence[str], zone: str, grace: float, now: datetime
) -> Observation | None:
    if not lines or deployment.paused or not any(each.active for each in deployment.schedules):
        return None
    due = max(latest(line, zone, now - timedelta(seconds=grace)) for line in lines)
    made = plain(deployment.created) if deployment.created else now
    begun = [plain(run.expected_start_time) for run in runs if run.expected_start_time is not None]
    if due < made or any(at >= due - MOMENT for at in begun):
        return None
    minutes = (now - due).total_seconds() / 60
    message = (
        f"It was due {minutes:.0f} minutes ago and has not begun: does `pilothouse serve flows` run, are all its places taken?"
    )
    return Observation("down", "late", message, facts={"due": f"{due:%Y-%m-%d %H:%M:%S} UTC"})
