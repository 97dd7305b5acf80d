"""Turns of a session: one at a time, in order, kept whatever happens to whom answers them."""

import asyncio
from typing import Any

import pytest

from core.errors import Conflict, NotFound, SessionBusy
from core.ids import new_id
from core.store.base import Store
from core.store.processes import Processes
from core.store.sessions import Sessions
from core.store.tracking import Tracking
from core.store.turns import NewTurn, Outcome, Turns

OWNER = "boot-1"


@pytest.fixture
async def session_id(store: Store) -> str:
    return (await Sessions(store, 3600).create("s1", system="Be brief.")).id


def asked(session_id: str | None, text: str = "hello", **more: Any) -> NewTurn:
    message = {"role": "user", "content": text}
    return NewTurn(new_id(), session_id, OWNER, [message], {"temperature": 0.5}, **more)


def said(text: str) -> Outcome:
    return Outcome("done", answer=text, marks=[len(text)], message={"role": "assistant", "content": text}, finish_reason="stop")


async def test_a_turn_gets_what_was_said_before(store: Store, session_id: str) -> None:
    turns = Turns(store)
    first = asked(session_id, "one")
    begun = await turns.begin(first)
    assert (begun.history, begun.system) == ([], "Be brief.")
    assert await turns.finish(first.id, OWNER, 1, said("eins"))

    begun = await turns.begin(asked(session_id, "two"))
    assert begun.history == [{"role": "user", "content": "one"}, {"role": "assistant", "content": "eins"}]


async def test_a_second_turn_waits_and_sees_the_first_answer(store: Store, session_id: str) -> None:
    turns = Turns(store)
    first, second, third = asked(session_id, "1"), asked(session_id, "2"), asked(session_id, "3")
    assert (await turns.begin(first)).history == []
    assert (await turns.begin(second)).history is None
    assert (await turns.begin(third)).history is None
    assert await turns.claim(second.id) is None

    await turns.finish(first.id, OWNER, 1, said("a"))
    assert await turns.claim(third.id) is None, "the second comes first"
    assert await turns.claim(second.id) == [{"role": "user", "content": "1"}, {"role": "assistant", "content": "a"}]
    assert await turns.claim(second.id) is None, "it is running already"


async def test_many_at_once_run_one_after_another(store: Store, session_id: str) -> None:
    turns = Turns(store, queue=50)
    begun = await asyncio.gather(*(turns.begin(asked(session_id, str(n))) for n in range(20)))
    assert sum(one.history is not None for one in begun) == 1


async def test_a_full_queue_is_said_to_be_full(store: Store, session_id: str) -> None:
    turns = Turns(store, queue=2)
    for _ in range(3):
        await turns.begin(asked(session_id))
    with pytest.raises(SessionBusy) as busy:
        await turns.begin(asked(session_id))
    assert busy.value.retry_after
    assert not busy.value.permanent


async def test_an_idempotency_key_gives_the_same_turn(store: Store, session_id: str) -> None:
    turns = Turns(store)
    first = asked(session_id, idempotency_key="k", body_hash=b"x")
    await turns.begin(first)
    again = await turns.begin(asked(session_id, idempotency_key="k", body_hash=b"x"))
    assert (again.turn_id, again.repeated) == (first.id, True)
    with pytest.raises(Conflict):
        await turns.begin(asked(session_id, idempotency_key="k", body_hash=b"y"))


async def test_unknown_and_expired_sessions_are_not_found(store: Store) -> None:
    turns = Turns(store)
    with pytest.raises(NotFound):
        await turns.begin(asked("nobody"))
    await Sessions(store, -1).create("old")
    with pytest.raises(NotFound):
        await turns.begin(asked("old"))


async def test_a_turn_moves_its_sessions_expiry(store: Store) -> None:
    sessions = Sessions(store, 60)
    before = (await sessions.create("s")).expires_at
    await Turns(store, idle_seconds=3600).begin(asked("s"))
    moved = (await sessions.get("s")).expires_at
    assert (moved - before).total_seconds() > 3000
    await Turns(store, idle_seconds=None).begin(asked("s"))
    assert (await sessions.get("s")).expires_at == moved


async def test_a_failed_turn_is_no_history(store: Store, session_id: str) -> None:
    turns = Turns(store)
    first = asked(session_id)
    await turns.begin(first)
    await turns.finish(first.id, OWNER, 1, Outcome("failed", error={"code": "provider_failed", "message": "no"}))
    assert (await turns.begin(asked(session_id))).history == []
    record = await turns.get(first.id)
    assert (record.status, record.error, record.message) == ("failed", {"code": "provider_failed", "message": "no"}, None)


async def test_nul_characters_of_a_model_do_not_lose_the_answer(store: Store, session_id: str) -> None:
    turns = Turns(store)
    turn = asked(session_id)
    await turns.begin(turn)
    assert await turns.finish(turn.id, OWNER, 1, said("a\x00b"))
    assert (await turns.get(turn.id)).answer == "a\ufffdb"


async def test_a_turn_without_session_is_kept(store: Store) -> None:
    turns = Turns(store)
    turn = asked(None)
    assert (await turns.begin(turn)).history == []
    await turns.finish(turn.id, OWNER, 1, said("hi"))
    record = await turns.get(turn.id)
    assert (record.session_id, record.message) == (None, {"role": "assistant", "content": "hi"})


async def test_turns_of_a_dead_process_end_with_what_had_come(store: Store, session_id: str) -> None:
    turns, tracking, processes = Turns(store), Tracking(store), Processes(store)
    await processes.renew("alive", "api")
    first, second = asked(session_id), asked(session_id)
    await turns.begin(first)
    await turns.begin(second)
    await tracking.keep_partials([(first.id, "half an ans", [4, 11])])

    assert set(await tracking.end_orphans()) == {first.id, second.id}
    record = await turns.get(first.id)
    assert (record.status, record.answer, record.marks) == ("interrupted", "half an ans", [4, 11])
    assert record.message == {"role": "assistant", "content": "half an ans"}
    assert await tracking.end_orphans() == []


async def test_turns_of_a_living_process_are_left_alone(store: Store, session_id: str) -> None:
    await Processes(store).renew(OWNER, "api")
    await Turns(store).begin(asked(session_id))
    assert await Tracking(store).end_orphans() == []


async def test_a_wish_to_cancel_reaches_the_owner(store: Store, session_id: str) -> None:
    turns, tracking = Turns(store), Tracking(store)
    turn = asked(session_id)
    await turns.begin(turn)
    assert await tracking.cancel_requests(OWNER) == []
    await turns.request_cancel(turn.id)
    assert await tracking.cancel_requests(OWNER) == [turn.id]
    assert await tracking.cancel_requests("somebody else") == []


async def test_tracked_is_never_wrongly_true(store: Store, session_id: str) -> None:
    turns, tracking = Turns(store), Tracking(store)
    turn = asked(session_id)
    await turns.begin(turn)
    await turns.finish(turn.id, OWNER, 1, said("x"))
    await tracking.note_runs([(turn.id, "flow", "task")])
    assert [row["id"] for row in await tracking.untracked(10, 600)] == [turn.id]
    assert await tracking.settle(["task", "of nobody"], tracked=False) == {"task"}
    assert await tracking.settle(["task"], tracked=True) == set()
    assert (await turns.get(turn.id)).tracked is False
    assert await tracking.untracked(10, 600) == []


async def test_runs_never_seen_do_not_stand_before_the_others(store: Store, session_id: str) -> None:
    turns, tracking = Turns(store), Tracking(store)
    for number in range(3):
        turn = asked(session_id)
        await turns.begin(turn)
        await turns.finish(turn.id, OWNER, 1, said("x"))
        await tracking.note_runs([(turn.id, None, f"task{number}")])
    first = await tracking.untracked(2, 600)
    assert [row["task_run_id"] for row in first] == ["task0", "task1"]
    assert [row["task_run_id"] for row in await tracking.untracked(2, 600, first[-1]["seq"])] == ["task2"]


async def test_deleting_a_session_takes_its_turns_and_messages(store: Store, session_id: str) -> None:
    turns, sessions = Turns(store), Sessions(store, 3600)
    turn = asked(session_id)
    await turns.begin(turn)
    assert await turns.active(session_id) == [turn.id]
    await sessions.delete(session_id)
    with pytest.raises(NotFound):
        await turns.get(turn.id)
    assert not await turns.finish(turn.id, OWNER, 1, said("late"))


async def test_pages_of_sessions_and_messages(store: Store) -> None:
    sessions, turns = Sessions(store, 3600), Turns(store)
    for n in range(5):
        await sessions.create(f"s{n}")
    newest = await sessions.page(2, None)
    assert [one.id for one in newest] == ["s4", "s3"]
    assert [one.id for one in await sessions.page(2, newest[-1].seq)] == ["s2", "s1"]
    with pytest.raises(Conflict):
        await sessions.create("s0")

    for n in range(3):
        turn = asked("s0", f"q{n}")
        await turns.begin(turn)
        await turns.finish(turn.id, OWNER, 1, said(f"a{n}"))
    last = await sessions.messages("s0", 3, None)
    assert [one.body["content"] for one in last] == ["a1", "q2", "a2"]
    earlier = await sessions.messages("s0", 3, (last[0].turn_seq, last[0].position))
    assert [one.body["content"] for one in earlier] == ["q0", "a0", "q1"]
