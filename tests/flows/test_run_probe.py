"""What the newest runs of a flow say: failed, crashed, late, well, or nothing yet."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import DeploymentSchedule, FlowRun, State
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.states import Cancelled, Completed, Crashed, Failed, Running

from flows.run_probe import judged

NOW = datetime(2026, 11, 21, 2, 30, tzinfo=UTC)
TONIGHT = NOW.replace(minute=0)
NIGHTLY = ["0 2 * * *"]
DAY = timedelta(days=1)
STATES: dict[str, State[None]] = {
    "completed": Completed(),
    "failed": Failed(),
    "crashed": Crashed(),
    "running": Running(),
    "cancelled": Cancelled(),
}


def deployment(created: datetime = NOW - 30 * DAY, *, active: bool = True) -> DeploymentResponse:
    schedule = DeploymentSchedule(id=uuid4(), schedule=CronSchedule(cron=NIGHTLY[0]), active=active)
    return DeploymentResponse.model_validate(
        {"id": uuid4(), "name": "backup", "flow_id": uuid4(), "created": created, "schedules": [schedule]}
    )


def runs(*words: str, first: datetime = TONIGHT) -> list[FlowRun]:
    """Newest first, a day apart."""
    found = []
    for number, word in enumerate(words):
        known = {"flow_id": uuid4(), "state": STATES[word], "state_type": STATES[word].type}
        found.append(FlowRun.model_validate(known | {"expected_start_time": first - number * DAY}))
    return found


@pytest.mark.parametrize(
    ("found", "state", "code"),
    [
        (runs("completed", "failed"), "up", "ok"),
        (runs("failed", "completed"), "down", "failed"),
        (runs("crashed"), "down", "crashed"),
        (runs("running", "failed"), "down", "failed"),
        (runs("running", "completed"), "up", "ok"),
        (runs("cancelled", "completed"), "up", "ok"),
        (runs("running"), "unknown", "never"),
        (runs("completed", first=TONIGHT - DAY), "down", "late"),
        ([], "down", "late"),
    ],
)
def test_what_runs_say(found: Sequence[FlowRun], state: str, code: str) -> None:
    seen = judged(found, deployment(), NIGHTLY, "UTC", 300, NOW)
    assert (seen.state, seen.code) == (state, code)


def test_nothing_is_late_within_its_grace_on_its_first_day_or_when_it_is_paused() -> None:
    assert judged([], deployment(NOW - timedelta(minutes=5)), NIGHTLY, "UTC", 300, NOW).code == "never"
    assert judged([], deployment(active=False), NIGHTLY, "UTC", 300, NOW).code == "never"
    yesterdays = runs("completed", first=TONIGHT - DAY)
    assert judged(yesterdays, deployment(), NIGHTLY, "UTC", 3600, NOW).state == "up"
