"""The backlog of events: its memory, its bound, and what is known of those beyond it."""

import asyncio
import tracemalloc
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.events.schemas.events import Event
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.relay import EventRelay

LIMIT = 20_000


@pytest.fixture(autouse=True)
def nobody_there() -> Iterator[None]:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        yield


def an_event(run: UUID, state: str) -> tuple[str, Event]:
    """As a task run's change of state makes one, in content and size."""
    tags = [{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in ("a", "b", "c")]
    task_run: dict[str, Any] = {
        "name": str(uuid4()),
        "task_key": "answer_turn-fa27d8b7",
        "dynamic_key": str(uuid4()),
        "empirical_policy": {"retries": 10, "retry_delay": [0.5, 1, 2, 4, 8, 8, 8, 8, 8, 8], "retry_jitter_factor": 0.5},
        "task_inputs": {"turn": [{"input_type": "parameter", "name": "turn"}]},
        "labels": {f"label.{number}": str(uuid4()) for number in range(20)},
    }
    event = {
        "event": f"prefect.task-run.{state}",
        "resource": {"prefect.resource.id": f"prefect.task-run.{run}", "prefect.state-type": state.upper()},
        "related": [{"prefect.resource.id": f"prefect.flow-run.{uuid4()}", "prefect.resource.role": "flow-run"}, *tags],
        "payload": {"intended": {"from": "PENDING", "to": state.upper()}, "task_run": task_run},
    }
    return "key", Event.model_validate(event)


async def test_a_full_backlog_takes_under_100_megabytes() -> None:
    relay = EventRelay(LIMIT)
    tracemalloc.start()
    try:
        some = [an_event(uuid4(), "Running") for _ in range(500)]
        for number in range(LIMIT):
            relay.put(some[number % len(some)])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(relay), relay.dropped) == (LIMIT, 0)
    assert held < 100_000_000, held


async def test_beyond_its_limit_events_are_dropped_counted_and_their_runs_known() -> None:
    relay = EventRelay(100)
    runs = [uuid4() for _ in range(103)]
    for run in runs:
        relay.put(an_event(run, "Running"))
    assert (len(relay), relay.dropped) == (100, 3)
    assert list(relay.dropped_runs) == [str(run) for run in runs[100:]]


async def test_draining_gives_up_in_time() -> None:
    relay = EventRelay(100)
    relay.put(an_event(uuid4(), "Running"))
    async with asyncio.timeout(20):
        assert await relay.drain(0.1) is False
    assert await EventRelay(100).drain(0.1) is True
