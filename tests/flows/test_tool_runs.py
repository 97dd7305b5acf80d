"""tool_run: kept inputs run in a flow run of their own; what came of it is kept, shown, and told in ids alone."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort

from core.config import DatabaseSettings
from core.errors import Conflict, InputInvalid, NotFound, StoreUnavailable, ToolFailed
from core.ids import new_id
from core.store.base import Store
from core.store.runs import Runs
from core.store.tool_runs import NewToolRun
from core.tools.shelf import Shelf
from flows import tool_runs
from flows.tool_runs import tool_run
from tasks.tools import keep_file, run_tool
from tests.flows.workshop import How, Workshop, a_call
from tests.prefect_server import RunningServer
from tests.waiting import eventually

STAMP = "testing/stamp"


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    opened = Store.from_settings(DatabaseSettings.model_validate({"url": database_url}))
    yield opened
    await opened.aclose()


@pytest.fixture
async def workshop(
    store: Store, database_url: str, prefect_client: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Workshop:
    """What the flow finds in the process of its run, but for the tests' tool and store."""
    monkeypatch.setenv("PILOTHOUSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", database_url)
    made = Workshop(store, tmp_path / "stamps")
    monkeypatch.setattr(tool_runs, "shelf", lambda: Shelf((), (made.tool,)))
    monkeypatch.setattr(tool_runs, "files_for", lambda *_: SimpleNamespace(keeper=made.keeper))
    for task in (run_tool, keep_file):
        monkeypatch.setattr(task, "retry_delay_seconds", [0.01, 0.01, 0.01])
    return made


async def kept(workshop: Workshop, how: How = "works", **inputs: Any) -> str:
    """The id of inputs that wait for a flow run."""
    asked = a_call(how=how)
    run = NewToolRun(new_id(), STAMP, "1", "api", "", asked.digest(), {**asked.inputs, **inputs}, "token")
    await workshop.rows.queue(run)
    return run.id


async def last_run() -> FlowRun:
    async with get_client() as client:
        named = FlowRunFilter.model_validate({"name": {"any_": [STAMP]}})
        (run,) = await client.read_flow_runs(flow_run_filter=named, sort=FlowRunSort.START_TIME_DESC, limit=1)
    return run


async def test_kept_inputs_are_run_and_the_picture_is_shown(workshop: Workshop, store: Store) -> None:
    input_id = await kept(workshop)
    result = await tool_run(STAMP, input_id)
    run = await workshop.rows.get(input_id)
    assert (run.status, run.token_id, workshop.runs) == ("done", "token", {"paid": 1})
    assert run.output is not None
    assert result == {"toolRunId": input_id, "toolId": STAMP, "files": [run.output["stamp"]]}
    flow_run = await last_run()
    assert str(flow_run.id) == run.flow_run_id
    assert await Runs(store).result_of(str(flow_run.id)) == result
    assert flow_run.parameters == {"tool_id": STAMP, "input_id": input_id}
    async with get_client() as client:
        (artifact,) = await client.read_artifacts(sort=ArtifactSort.CREATED_DESC, limit=1)
    assert str(artifact.data).startswith(f"![stamp.svg]({run.output['stamp']})")
    assert "paid" not in f"{artifact}"


async def test_the_tool_and_each_file_are_task_runs_of_their_own(workshop: Workshop) -> None:
    input_id = await kept(workshop)
    await tool_run(STAMP, input_id)
    flow_run = await last_run()
    of_run = TaskRunFilter.model_validate({"flow_run_id": {"any_": [flow_run.id]}})

    async def names() -> set[str]:
        async with get_client() as client:
            return {task_run.name.split("-")[0] for task_run in await client.read_task_runs(task_run_filter=of_run)}

    expected = {input_id.split("-")[0], "file", "keep_result"}

    async def all_there() -> bool:
        return await names() == expected

    await eventually(all_there, 30, f"task runs {expected}")


async def test_what_has_ended_is_run_once_more_as_a_new_run(workshop: Workshop) -> None:
    input_id = await kept(workshop)
    await tool_run(STAMP, input_id)
    first = await workshop.rows.get(input_id)
    again = await tool_run(STAMP, input_id)
    assert again["toolRunId"] != input_id
    copy = await workshop.rows.get(again["toolRunId"])
    assert (copy.source, copy.inputs, copy.digest) == ("flow", first.inputs, first.digest)
    assert await workshop.rows.get(input_id) == first


async def test_a_store_that_is_away_for_a_moment_does_not_make_the_tool_run_again(workshop: Workshop) -> None:
    workshop.folder.away = 3
    await tool_run(STAMP, await kept(workshop))
    assert (workshop.runs, workshop.folder.puts) == ({"paid": 1}, 4)


async def test_a_store_that_stays_away_fails_the_run(workshop: Workshop) -> None:
    workshop.folder.away = 100
    input_id = await kept(workshop)
    with pytest.raises(StoreUnavailable):
        await tool_run(STAMP, input_id)
    run = await workshop.rows.get(input_id)
    assert (run.status, run.error) == ("failed", {"code": "store_unavailable", "message": "The store does not answer."})
    assert (workshop.runs, workshop.folder.puts) == ({"paid": 1}, 4)


async def test_a_failure_is_kept_in_full_and_told_to_prefect_by_its_code(workshop: Workshop) -> None:
    input_id = await kept(workshop, "fails")
    with pytest.raises(ToolFailed):
        await tool_run(STAMP, input_id)
    run = await workshop.rows.get(input_id)
    assert (run.status, run.error) == ("failed", {"code": "tool_failed", "message": "There is no ink left; fill it up."})
    state = (await last_run()).state
    assert state is not None
    assert state.is_failed()
    assert input_id in str(state.message)
    assert "ink" not in str(state.message)


async def test_what_cannot_be_run_is_told_and_left_alone(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    input_id = await kept(workshop)
    with pytest.raises(NotFound):
        await tool_run("testing/none", input_id)
    with pytest.raises(NotFound):
        await tool_run(STAMP, new_id())
    other = replace(workshop.tool, id="testing/other")
    monkeypatch.setattr(tool_runs, "shelf", lambda: Shelf((), (other,)))
    with pytest.raises(InputInvalid, match=STAMP):
        await tool_run("testing/other", input_id)
    assert (await workshop.rows.get(input_id)).status == "queued"


async def test_inputs_that_a_newer_tool_refuses_fail(workshop: Workshop) -> None:
    input_id = await kept(workshop, word=7)
    with pytest.raises(InputInvalid, match="word"):
        await tool_run(STAMP, input_id)
    assert (await workshop.rows.get(input_id)).status == "failed"


async def test_a_run_that_runs_is_not_run_beside_itself(workshop: Workshop) -> None:
    input_id = await kept(workshop)
    process = await workshop.process()
    await workshop.rows.take(input_id, STAMP, workshop.boot_ids[0])
    with pytest.raises(Conflict):
        await tool_run(STAMP, input_id)
    assert workshop.runs == {}
    await process.aclose(1)
