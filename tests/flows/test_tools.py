"""A tool call from its row to its result: retried where it helps, joined where it is the same, ended with whoever ran it."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from prefect.context import AsyncClientContext
from sqlalchemy.engine import make_url

from core.config import DatabaseSettings
from core.errors import (
    DatabaseUnavailable,
    InputInvalid,
    NotFound,
    PilothouseError,
    StoreUnavailable,
    ToolBusy,
    ToolFailed,
    ToolInterrupted,
    ToolTimedOut,
)
from core.ids import new_id
from core.store.base import Store
from core.store.sessions import Sessions
from core.store.tool_runs import ToolRunRecord
from core.tools import running
from core.tools.calls import CallResult, ToolCall
from core.tools.shelf import Shelf
from flows.holding import OpenRuns, conversation, tool_calls
from flows.prefect_link import PrefectLink
from flows.tools import ToolCalls
from tasks.tools import run_tool
from tests.flows.workshop import NoBench, Workshop, a_call
from tests.prefect_server import RunningServer
from tests.waiting import eventually


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    opened = Store.from_settings(DatabaseSettings.model_validate({"url": database_url}))
    yield opened
    await opened.aclose()


@pytest.fixture
async def workshop(
    store: Store, prefect_client: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Workshop]:
    monkeypatch.setattr(run_tool, "retry_delay_seconds", [0.01, 0.01, 0.01])
    async with AsyncClientContext.get_or_create():
        yield Workshop(store, tmp_path)


@pytest.fixture
async def calls(workshop: Workshop) -> AsyncIterator[ToolCalls]:
    here = await workshop.process()
    yield here
    workshop.go_on.set()
    await here.aclose(5)


async def the_only_run(workshop: Workshop) -> ToolRunRecord:
    async with workshop.store.single() as connection:
        (run_id,) = (await connection.exec_driver_sql("SELECT id FROM pilothouse.tool_runs")).scalars()
    return await workshop.rows.get(run_id)


async def row_count(workshop: Workshop) -> int:
    async with workshop.store.single() as connection:
        return int((await connection.exec_driver_sql("SELECT count(*) FROM pilothouse.tool_runs")).scalar_one())


async def test_a_call_is_kept_with_what_came_of_it(workshop: Workshop, calls: ToolCalls) -> None:
    result = await calls.call(a_call("paid"))
    assert result.output["word"] == "paid"
    key = result.output["stamp"].removeprefix("http://files.test/")
    assert b"".join([part async for part in workshop.folder.read(key)]) == b"<svg/>"
    run = await workshop.rows.get(result.run_id)
    assert (run.status, run.output, run.error) == ("done", result.output, None)
    assert (run.inputs, run.token_id) == ({"word": "paid", "how": "works"}, "token")
    assert run.task_run_id
    assert calls.calls == {}


@pytest.mark.parametrize(
    ("asked", "kind", "status"),
    [
        (a_call(how="fails"), ToolFailed, "failed"),
        (a_call(how="breaks"), ToolFailed, "failed"),
        (a_call(how="lies"), ToolFailed, "failed"),
        (a_call(how="is busy"), ToolBusy, "failed"),
    ],
)
async def test_a_failure_is_told_and_kept(
    workshop: Workshop, calls: ToolCalls, asked: ToolCall, kind: type[PilothouseError], status: str
) -> None:
    with pytest.raises(kind) as caught:
        await calls.call(asked)
    run = await the_only_run(workshop)
    assert (run.status, run.output) == (status, None)
    assert run.error is not None
    assert run.error["message"] == caught.value.message
    assert "mistake" not in run.error["message"], "what is our fault is not told to a caller"


async def test_a_tool_that_is_busy_is_asked_again(workshop: Workshop, calls: ToolCalls) -> None:
    result = await calls.call(a_call("late", "is busy once"))
    assert workshop.runs == {"late": 2}
    assert (await workshop.rows.get(result.run_id)).status == "done"


async def test_a_store_that_is_away_for_a_moment_is_asked_again_and_nothing_is_made_twice(
    workshop: Workshop, calls: ToolCalls
) -> None:
    workshop.folder.away = 2
    result = await calls.call(a_call())
    assert (workshop.runs, workshop.folder.puts) == ({"paid": 1}, 3)
    async with workshop.store.single() as connection:
        (row,) = await connection.exec_driver_sql("SELECT key, tool_run_id FROM pilothouse.files")
    assert row.tool_run_id == result.run_id
    assert result.output["stamp"].endswith(row.key)


async def test_a_store_that_stays_away_is_told(workshop: Workshop, calls: ToolCalls) -> None:
    workshop.folder.away = 100
    with pytest.raises(StoreUnavailable):
        await calls.call(a_call())
    assert (workshop.runs, workshop.folder.puts) == ({"paid": 1}, 4)
    run = await the_only_run(workshop)
    assert (run.status, run.error) == ("failed", {"code": "store_unavailable", "message": "The store does not answer."})


async def test_a_tool_that_takes_too_long_is_ended(workshop: Workshop, calls: ToolCalls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LIMIT", 0.05)
    with pytest.raises(ToolTimedOut, match=r"0\.05 seconds"):
        await calls.call(a_call(how="waits"))
    assert workshop.runs == {"paid": 1}, "it would take too long again"
    assert (await the_only_run(workshop)).status == "failed"


async def test_what_cannot_run_leaves_no_row(workshop: Workshop, calls: ToolCalls) -> None:
    with pytest.raises(NotFound, match="testing/stamp"):
        await calls.call(ToolCall("testing/none", {}, "api"))
    for inputs, said in (({}, "word"), ({"word": "a" * 9, "how": "magic"}, "how"), ({"word": "\ud800"}, "inputs")):
        with pytest.raises(InputInvalid, match=said):
            await calls.call(ToolCall("testing/stamp", inputs, "api"))
    with pytest.raises(InputInvalid, match="64 bits"):
        await calls.call(ToolCall("testing/stamp", {"word": "a", "more": 2**70}, "api"))
    assert await row_count(workshop) == 0


async def test_a_text_that_the_database_cannot_keep_is_run_all_the_same(workshop: Workshop, calls: ToolCalls) -> None:
    result = await calls.call(a_call("a\x00b"))
    assert result.output["word"] == "a\x00b"
    assert (await workshop.rows.get(result.run_id)).inputs["word"] == "a\ufffdb"


async def test_ten_same_calls_of_fastgpt_are_one_run(workshop: Workshop, calls: ToolCalls) -> None:
    asked = a_call(how="waits", source="fastgpt", system={"time": "now"})
    waiting = [asyncio.create_task(calls.call(asked)) for _ in range(10)]
    await eventually(lambda: workshop.runs == {"paid": 1}, what="one run")
    workshop.go_on.set()
    results = await asyncio.gather(*waiting)
    assert results == [results[0]] * 10
    again = await calls.call(asked)
    assert (again.run_id, again.output) == (results[0].run_id, results[0].output), "what is done is repeated"
    assert (workshop.runs, await row_count(workshop)) == ({"paid": 1}, 1)


@pytest.mark.parametrize(
    "other",
    [
        a_call(source="fastgpt", token_id="another"),
        a_call(source="fastgpt", system={"time": "later"}),
        a_call("unpaid", source="fastgpt"),
        a_call(source="api"),
    ],
)
async def test_another_call_is_another_run(workshop: Workshop, calls: ToolCalls, other: ToolCall) -> None:
    first = await calls.call(a_call(source="fastgpt"))
    assert (await calls.call(other)).run_id != first.run_id


async def test_a_call_that_failed_is_run_anew(workshop: Workshop, calls: ToolCalls) -> None:
    for _ in range(2):
        with pytest.raises(ToolFailed):
            await calls.call(a_call(how="fails", source="fastgpt"))
    assert workshop.runs == {"paid": 2}


async def test_what_was_done_a_minute_ago_is_done_anew(workshop: Workshop, calls: ToolCalls) -> None:
    first = await calls.call(a_call(source="fastgpt"))
    async with workshop.store.single() as connection:
        await connection.exec_driver_sql("UPDATE pilothouse.tool_runs SET finished_at = now() - interval '61 seconds'")
    results = await asyncio.gather(*(calls.call(a_call(source="fastgpt")) for _ in range(5)))
    assert {result.run_id for result in results} == {results[0].run_id} != {first.run_id}
    assert workshop.runs == {"paid": 2}


async def test_processes_join_each_others_runs(workshop: Workshop, calls: ToolCalls) -> None:
    others = [await workshop.process() for _ in range(3)]
    asked = a_call(how="waits", source="fastgpt")
    waiting = [asyncio.create_task(each.call(asked)) for each in (calls, *others) for _ in range(3)]
    await eventually(lambda: workshop.runs, what="a run")
    workshop.go_on.set()
    results = await asyncio.gather(*waiting)
    assert len({result.run_id for result in results}) == 1
    assert (workshop.runs, await row_count(workshop)) == ({"paid": 1}, 1)


async def test_a_run_of_a_dead_process_is_ended_and_run_anew_for_whoever_joined_it(workshop: Workshop, calls: ToolCalls) -> None:
    dying = await workshop.process()
    asked = a_call(how="waits", source="fastgpt")
    lost = asyncio.create_task(dying.call(asked))
    await eventually(lambda: workshop.runs == {"paid": 1}, what="the run of the process that dies")
    joined = asyncio.create_task(calls.call(asked))
    assert await workshop.rows.end_orphans() == []
    async with workshop.store.single() as connection:
        await connection.exec_driver_sql(f"DELETE FROM pilothouse.processes WHERE boot_id = '{workshop.boot_ids[-1]}'")
    (dead,) = dying.calls
    assert await workshop.rows.end_orphans() == [dead]
    assert (await workshop.rows.get(dead)).status == "interrupted"
    await eventually(lambda: workshop.runs == {"paid": 2}, what="the run of the process that joined")
    workshop.go_on.set()
    assert (await joined).run_id != dead
    await lost


async def test_the_caller_may_leave_but_a_turn_takes_its_calls_with_it(workshop: Workshop, calls: ToolCalls) -> None:
    for word, source in (("left", "api"), ("stopped", "chat")):
        caller = asyncio.create_task(calls.call(a_call(word, "waits", source=source)))
        await eventually(partial(workshop.runs.get, word), what="the tool runs")
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
    (left,) = (call for call in calls.calls.values() if call.run.inputs["word"] == "left")
    workshop.go_on.set()
    await eventually(lambda: not calls.calls, what="both have ended")
    async with workshop.store.single() as connection:
        rows = await connection.exec_driver_sql("SELECT inputs->>'word' AS word, status FROM pilothouse.tool_runs")
    assert dict(rows.tuples().all()) == {"left": "done", "stopped": "interrupted"}
    assert left.result().output["word"] == "left"


async def test_told_to_stop_short_calls_end_and_long_ones_are_interrupted(workshop: Workshop, calls: ToolCalls) -> None:
    waiting = asyncio.create_task(calls.call(a_call(how="waits")))
    await eventually(lambda: workshop.runs, what="the tool runs")
    closing = asyncio.create_task(calls.aclose(30))
    await asyncio.sleep(0)
    with pytest.raises(ToolInterrupted):
        await calls.call(a_call("more"))
    workshop.go_on.set()
    await closing
    assert (await waiting).output["word"] == "paid"

    other = await workshop.process()
    workshop.go_on.clear()
    waiting = asyncio.create_task(other.call(a_call("long", "waits")))
    await eventually(lambda: "long" in workshop.runs, what="the tool runs")
    await other.aclose(0.05)
    with pytest.raises(ToolInterrupted):
        await waiting


async def test_a_database_that_is_away_is_told_before_anything_runs(workshop: Workshop, calls: ToolCalls) -> None:
    await workshop.store.aclose()
    gone = Store.from_settings(DatabaseSettings.model_validate({"url": "postgresql://nobody@127.0.0.1:9/none"}))
    here = ToolCalls(new_id(), type(workshop.rows)(gone), NoBench(), workshop.keeper, None, Shelf((), (workshop.tool,)))
    for source in ("api", "fastgpt", "fastgpt"):
        with pytest.raises(DatabaseUnavailable):
            await here.call(a_call(source=source))
    assert workshop.runs == {}


async def test_a_result_is_given_although_the_database_left_meanwhile_and_kept_later(
    workshop: Workshop, calls: ToolCalls, database_url: str, postgres_url: str
) -> None:
    unkept: list[running.RunningCall] = []
    calls.on_end.append(unkept.append)
    waiting = asyncio.create_task(calls.call(a_call(how="waits and says")))
    await eventually(lambda: workshop.runs, what="the tool runs")
    name = make_url(database_url).database
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        workshop.go_on.set()
        result: CallResult = await waiting
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
    assert result.output == {"stamp": "paid", "word": "paid"}
    assert (await workshop.rows.get(result.run_id)).status == "running"
    (call,) = unkept
    assert call.unkept
    await call.keep()
    assert (await workshop.rows.get(result.run_id)).output == result.output


async def test_a_turns_call_is_held_by_its_conversation_and_any_other_by_its_process(workshop: Workshop, store: Store) -> None:
    session = new_id()
    await Sessions(store, 3600).create(session)
    async with PrefectLink.opened() as link:
        assert await link.presence.wait_up(30)
        open_runs = OpenRuns(link.presence, idle=60, items=10)
        calls = await workshop.process(open_runs)
        process = workshop.boot_ids[-1]
        assert await open_runs.place(conversation, session, 30)
        assert await open_runs.place(tool_calls, process, 30)
        results = [await calls.call(a_call(source="chat", session_id=session)), await calls.call(a_call(source="fastgpt"))]
        await calls.aclose(5)
        await open_runs.aclose()
        held_by = []
        for result in results:
            flow_run_id = (await workshop.rows.get(result.run_id)).flow_run_id
            held_by.append((await link.client.read_flow_run(UUID(flow_run_id))).name)
    assert held_by == [session, process]
