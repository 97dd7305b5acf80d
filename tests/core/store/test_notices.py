"""The outbox: one process at a time to a channel, the oldest first, nothing lost and nothing twice. Silences beside it."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from core.alerts.alert import Link
from core.alerts.message import Answer, Message
from core.alerts.silencing import Silence
from core.errors import NotFound
from core.ids import new_id
from core.store.backups import Backups, NewBackup
from core.store.base import Store
from core.store.days import Days
from core.store.notices import NewNotice, Notices
from core.store.silences import Silences


def notice(title: str, channel: str = "ops", key: str = "") -> NewNotice:
    message = Message(
        new_id(),
        "firing",
        title,
        "critical",
        lines=("one\x00", "two"),
        facts=(("Since", "08:30"),),
        entries=("x",),
        links=(Link("Runbook", "https://example.org"),),
        mentions=("Ann <ann@example.org>",),
        language="zh",
        alerts=({"id": "1", "facts": {"a": "b"}},),
    )
    return NewNotice(channel, key or message.id, message, ("alert-1",))


def sql(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


async def test_a_message_comes_back_as_it_was(store: Store) -> None:
    outbox, one = Notices(store), notice("postgres 不可用")
    await outbox.add([one])
    assert await outbox.hold("ops", "boot-1")
    taken = await outbox.take("ops", "boot-1")
    assert taken is not None
    assert (taken.id, taken.notices, taken.tries) == (one.message.id, (one.message.id,), 1)
    (message,) = taken.messages
    assert message.lines == ("one\ufffd", "two")
    assert (message.facts, message.links, message.alerts) == (one.message.facts, one.message.links, one.message.alerts)
    again = await outbox.take("ops", "boot-1")
    assert again is not None
    assert (again.id, again.tries) == (taken.id, 2), "whoever died in mid-send left it waiting"
    await outbox.sent(again, Answer(202, "taken"))
    assert await outbox.take("ops", "boot-1") is None
    assert await outbox.waiting() == {}


async def test_only_the_holder_of_the_lease_takes(store: Store, database_url: str) -> None:
    outbox = Notices(store)
    await outbox.add([notice("x")])
    assert sorted(await asyncio.gather(*(outbox.hold("ops", f"boot-{number}") for number in range(5)))) == [False] * 4 + [True]
    sql(database_url, "UPDATE pilothouse.channel_leases SET lease_until = now() - interval '1 second'")
    assert await outbox.hold("ops", "boot-9")
    assert await outbox.take("ops", "boot-1") is None
    assert await outbox.take("ops", "boot-9") is not None
    await outbox.release("boot-9")
    assert await outbox.hold("ops", "boot-1")


async def test_one_that_is_put_off_holds_back_those_behind_it_and_no_other_channel(store: Store, database_url: str) -> None:
    outbox = Notices(store)
    await outbox.add([notice("first"), notice("second"), notice("other", "pager")])
    for channel in ("ops", "pager"):
        await outbox.hold(channel, "b")
    first = await outbox.take("ops", "b")
    assert first is not None
    await outbox.later(first, 60, {"code": "channel_unavailable", "message": "away"})
    assert await outbox.take("ops", "b") is None
    assert await outbox.take("pager", "b") is not None
    ops, pager = await outbox.outboxes()
    assert (ops.channel, ops.waiting, ops.error) == ("ops", 2, {"code": "channel_unavailable", "message": "away"})
    assert (pager.waiting, pager.error, pager.sent_at) == (1, None, None)
    await outbox.give_up(first, {"code": "channel_refused", "message": "no"})
    second = await outbox.take("ops", "b")
    assert second is not None
    assert second.messages[0].title == "second"
    assert (await outbox.outboxes())[0].given_up == 1


async def test_the_same_news_goes_to_a_channel_once(store: Store) -> None:
    outbox = Notices(store)
    await outbox.add(
        [notice("a", "teams", "k1"), notice("a", "hook", "k1"), notice("b", "teams", "k2"), notice("b", "teams", "k2")]
    )
    assert await outbox.waiting() == {"teams": 2, "hook": 1}
    await outbox.hold("teams", "b")
    for expected in (0, 1):  # the first is in the other's outbox already
        taken = await outbox.take("teams", "b")
        assert taken is not None
        assert await outbox.fall_back(taken, "hook") == expected
        assert await outbox.fall_back(taken, "hook") == 0
        await outbox.give_up(taken, {"code": "x", "message": "x"})
    await outbox.hold("hook", "b")
    for title, lines in (("a", 2), ("b", 3)):
        taken = await outbox.take("hook", "b")
        assert taken is not None
        assert (taken.messages[0].title, len(taken.messages[0].lines)) == (title, lines)
        await outbox.sent(taken, Answer(200))


async def test_what_was_sent_long_ago_is_forgotten(store: Store, database_url: str) -> None:
    outbox = Notices(store)
    await outbox.add([notice("sent"), notice("waits")])
    await outbox.hold("ops", "b")
    taken = await outbox.take("ops", "b")
    assert taken is not None
    await outbox.sent(taken, Answer(200))
    sql(
        database_url,
        "UPDATE pilothouse.notices SET done_at = done_at - interval '11 days', created_at = now() - interval '1 year'",
    )
    assert [await outbox.forget(12), await outbox.forget(10), await outbox.forget(10)] == [0, 1, 0]
    assert await outbox.waiting() == {"ops": 1}


async def test_silences_are_kept_listed_and_ended(store: Store, database_url: str) -> None:
    silences, now = Silences(store), datetime.now(UTC)
    made = [
        Silence(f"{number}-{new_id()}", now, now + timedelta(hours=1), "ann", "why", services=(f"s{number}",))
        for number in range(3)
    ]
    for one in made:
        await silences.add(one)
    assert await silences.page(9) == made[::-1]
    assert await silences.page(9, before=made[1].id) == made[:1]
    await silences.end(made[0].id)
    with pytest.raises(NotFound, match="silence list"):
        await silences.end(made[0].id)
    assert await silences.page(9) == made[:0:-1]
    assert len(await silences.page(9, over=True)) == 3
    sql(database_url, "UPDATE pilothouse.silences SET ends_at = ends_at - interval '11 days'")
    assert [await silences.forget(12), await silences.forget(10)] == [0, 3]


async def test_a_day_is_counted(store: Store) -> None:
    now = datetime.now(UTC)
    backup = NewBackup(new_id(), "dify", "postgres", "b", now - timedelta(hours=2))
    await Backups(store).start(backup)
    await Backups(store).fail(backup.id, "b", {"code": "x", "message": "x"})
    day = await Days(store).until(datetime.now(UTC))
    assert (day.raised, day.open_, day.backups_good, day.backups_bad, list(day.alerts)) == (0, 0, 0, 1, [])
