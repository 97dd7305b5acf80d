"""Streams in memory: order, resuming, readers that are slow, leave or come late, and what is forgotten when."""

import asyncio
import time

import pytest

from core.events import StreamEvent
from core.streams import EVENT_OVERHEAD, MemoryStreams


async def read(streams: MemoryStreams, turn_id: str, after: int = 0) -> list[StreamEvent]:
    return [event async for batch in streams.follow(turn_id, after) for event in batch]


def told(events: list[StreamEvent]) -> list[tuple[str, int]]:
    return [(event.kind, event.n) for event in events]


def an_answer(streams: MemoryStreams, turn_id: str, chunks: int = 3) -> None:
    """turn, chunk 1, chunk 2, tool, chunk 3 …, usage, done"""
    streams.open(turn_id)
    streams.publish(turn_id, "turn", b"{}")
    for n in range(chunks):
        streams.publish(turn_id, "chunk", b"%d" % n)
        if n == 1:
            streams.publish(turn_id, "tool", b"{}")
    streams.publish(turn_id, "usage", b"{}")
    streams.publish(turn_id, "done", b"")


async def test_chunks_are_counted_and_other_events_carry_the_last_count() -> None:
    streams = MemoryStreams()
    an_answer(streams, "t")
    assert told(await read(streams, "t")) == [
        ("turn", 0),
        ("chunk", 1),
        ("chunk", 2),
        ("tool", 2),
        ("chunk", 3),
        ("usage", 3),
        ("done", 3),
    ]


@pytest.mark.parametrize(
    ("after", "first"),
    [(1, ("chunk", 2)), (2, ("tool", 2)), (3, ("usage", 3)), (99, ("usage", 3))],
)
async def test_resuming_begins_right_behind_the_named_chunk(after: int, first: tuple[str, int]) -> None:
    streams = MemoryStreams()
    an_answer(streams, "t")
    assert told(await read(streams, "t", after))[0] == first


async def test_a_reader_ahead_of_the_log_is_sent_nothing_twice() -> None:
    streams = MemoryStreams()
    streams.open("t")
    streams.publish("t", "chunk", b"1")
    reading = asyncio.create_task(read(streams, "t", after=2))
    await asyncio.sleep(0)
    streams.publish("t", "chunk", b"2")
    streams.publish("t", "chunk", b"3")
    streams.publish("t", "done", b"")
    assert told(await reading) == [("chunk", 3), ("done", 3)]


async def test_what_is_there_comes_as_one_batch_then_each_event_as_it_happens() -> None:
    streams = MemoryStreams()
    streams.open("t")
    for _ in range(50):
        streams.publish("t", "chunk", b"x")
    following = streams.follow("t")
    assert len(await anext(following)) == 50
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    assert not waiting.done()
    streams.publish("t", "done", b"")
    assert told(await waiting) == [("done", 50)]
    with pytest.raises(StopAsyncIteration):
        await anext(following)


async def test_silence_yields_an_empty_batch_and_loses_nothing() -> None:
    streams = MemoryStreams()
    streams.open("t")
    following = streams.follow("t", beat=0.01)
    assert await anext(following) == []
    assert await anext(following) == []
    streams.publish("t", "chunk", b"x")
    streams.publish("t", "done", b"")
    assert told(await anext(following)) == [("chunk", 1), ("done", 1)]


async def test_200_readers_get_everything_in_order_and_a_reader_who_leaves_stops_nobody() -> None:
    streams = MemoryStreams()
    streams.open("t")
    readers = [asyncio.create_task(read(streams, "t")) for _ in range(200)]
    leaving = asyncio.create_task(read(streams, "t"))
    for n in range(100):
        streams.publish("t", "chunk", b"%d" % n)
        await asyncio.sleep(0)
        if n == 50:
            leaving.cancel()
    streams.publish("t", "done", b"")
    expected = [b"%d" % n for n in range(100)] + [b""]
    for events in await asyncio.gather(*readers):
        assert [event.data for event in events] == expected
    assert leaving.cancelled()


async def test_an_unknown_turn_is_a_lookup_error_at_the_first_step() -> None:
    streams = MemoryStreams()
    following = streams.follow("nobody")
    with pytest.raises(LookupError):
        await anext(following)
    with pytest.raises(LookupError):
        streams.publish("nobody", "chunk", b"")


async def test_nothing_follows_done() -> None:
    streams = MemoryStreams()
    an_answer(streams, "t")
    with pytest.raises(LookupError):
        streams.publish("t", "chunk", b"late")


async def test_a_finished_log_is_forgotten_after_its_time_and_an_open_one_never() -> None:
    now = 0.0
    streams = MemoryStreams(keep=300, clock=lambda: now)
    an_answer(streams, "finished")
    streams.open("running")
    now = 299
    assert await read(streams, "finished")
    now = 301
    with pytest.raises(LookupError):
        await read(streams, "finished")
    streams.publish("running", "chunk", b"x")


async def test_finished_logs_stay_within_their_budget_oldest_first() -> None:
    streams = MemoryStreams(budget=10 * (1000 + 2 * EVENT_OVERHEAD))
    for turn in range(25):
        streams.open(f"t{turn}")
        streams.publish(f"t{turn}", "chunk", bytes(1000))
        streams.publish(f"t{turn}", "done", b"")
    assert [turn for turn in range(25) if streams.held(f"t{turn}")] == list(range(15, 25))


async def test_a_reader_keeps_the_log_it_reads_when_that_is_forgotten() -> None:
    streams = MemoryStreams(budget=0)
    streams.open("t")
    following = streams.follow("t")
    streams.publish("t", "chunk", b"x")
    assert told(await anext(following)) == [("chunk", 1)]
    streams.publish("t", "done", b"")
    assert streams.held("t") is None
    assert told(await anext(following)) == [("done", 1)]


async def test_opening_again_keeps_an_open_log_and_replaces_an_ended_one() -> None:
    streams = MemoryStreams()
    streams.open("t")
    streams.publish("t", "chunk", b"1")
    streams.open("t")
    assert streams.publish("t", "chunk", b"2").n == 2
    streams.publish("t", "done", b"")
    streams.open("t")
    assert streams.publish("t", "chunk", b"1").n == 1


async def test_closing_ends_the_readers() -> None:
    streams = MemoryStreams()
    streams.open("t")
    streams.publish("t", "chunk", b"x")
    reading = asyncio.create_task(read(streams, "t"))
    await asyncio.sleep(0)
    await streams.aclose()
    assert told(await reading) == [("chunk", 1)]


async def test_publishing_costs_microseconds() -> None:
    streams = MemoryStreams()
    streams.open("t")
    start = time.perf_counter()
    for _ in range(10_000):
        streams.publish("t", "chunk", b"x")
    # 1 µs on an idle core; the bound only catches work that grows with the log or waits.
    assert (time.perf_counter() - start) / 10_000 < 50e-6
