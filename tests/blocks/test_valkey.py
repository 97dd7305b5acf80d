"""Streams on a real Valkey: two processes' worth of them, resuming elsewhere, Valkey killed and back, writers that die."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from structlog.testing import capture_logs

from blocks.valkey import ValkeyStreams, check_server, connect
from blocks.valkey_logs import key_of
from core.config import RedisSettings
from core.errors import ConfigurationInvalid, PartMissing, StreamsUnavailable
from core.events import StreamEvent
from deployments.redis_check import check_redis
from tests.valkey import ValkeyServer
from tests.waiting import eventually


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path).start()
    yield server
    server.kill()


@pytest.fixture
async def one(valkey_url: str) -> AsyncIterator[ValkeyStreams]:
    """The process that answers."""
    streams = ValkeyStreams(connect(valkey_url))
    yield streams
    await streams.aclose()


@pytest.fixture
async def other(valkey_url: str) -> AsyncIterator[ValkeyStreams]:
    """Another process."""
    streams = ValkeyStreams(connect(valkey_url))
    yield streams
    await streams.aclose()


async def read(streams: ValkeyStreams, turn_id: str, after: int = 0) -> list[StreamEvent]:
    return [event async for batch in streams.follow(turn_id, after) for event in batch]


async def known(streams: ValkeyStreams, turn_id: str) -> None:
    """Wait until Valkey has heard of the turn."""

    async def found() -> int:
        return int(await streams._client.exists(key_of(turn_id)))

    await eventually(found, what=f"{turn_id} in Valkey")


def chunks(streams: ValkeyStreams, turn_id: str, first: int, last: int) -> list[StreamEvent]:
    return [streams.publish(turn_id, "chunk", b"%d" % n) for n in range(first, last + 1)]


async def test_both_processes_read_the_same_in_order(one: ValkeyStreams, other: ValkeyStreams) -> None:
    one.open("t")
    expected = [one.publish("t", "turn", b"{}"), *chunks(one, "t", 1, 1500)]
    await known(one, "t")
    here, there = asyncio.create_task(read(one, "t")), asyncio.create_task(read(other, "t"))
    for n in range(1501, 2001):
        expected += chunks(one, "t", n, n)
        if n % 50 == 0:
            await asyncio.sleep(0)
    expected += [one.publish("t", "usage", b'{"total":1}'), one.publish("t", "done", b"")]
    assert await here == expected
    assert await there == expected


async def test_a_reader_resumes_in_the_other_process(one: ValkeyStreams, other: ValkeyStreams) -> None:
    one.open("t-resume")
    chunks(one, "t-resume", 1, 5)
    one.publish("t-resume", "tool", b"{}")
    await known(one, "t-resume")
    reading = asyncio.create_task(read(other, "t-resume", after=5))
    chunks(one, "t-resume", 6, 7)
    one.publish("t-resume", "done", b"")
    assert [(event.kind, event.n) for event in await reading] == [("tool", 5), ("chunk", 6), ("chunk", 7), ("done", 7)]
    late = await read(other, "t-resume", after=6)
    assert [(event.kind, event.n) for event in late] == [("chunk", 7), ("done", 7)]


async def test_an_opened_turn_is_known_before_its_first_event(one: ValkeyStreams, other: ValkeyStreams) -> None:
    one.open("t-opened")
    await known(one, "t-opened")
    following = other.follow("t-opened", beat=0.05)
    assert await anext(following) == []
    one.publish("t-opened", "done", b"")
    events = [event async for batch in following for event in batch]
    assert [event.kind for event in events] == ["done"]


async def test_200_readers_elsewhere_share_one_mirror(one: ValkeyStreams, other: ValkeyStreams) -> None:
    one.open("t-200")
    await known(one, "t-200")
    readers = [asyncio.create_task(read(other, "t-200")) for _ in range(200)]
    leaver = asyncio.create_task(read(other, "t-200"))
    await eventually(lambda: [m for m in other._mirrors.values() if m._readers == 201], what="all readers there")
    assert len(other._mirrors) == 1
    leaver.cancel()
    expected = [*chunks(one, "t-200", 1, 100), one.publish("t-200", "done", b"")]
    for events in await asyncio.gather(*readers):
        assert events == expected
    assert other._mirrors == {}
    assert leaver.cancelled()


async def test_the_mirror_ends_with_its_last_reader(one: ValkeyStreams, other: ValkeyStreams) -> None:
    one.open("t-left")
    chunks(one, "t-left", 1, 1)
    await known(one, "t-left")
    following = other.follow("t-left")
    assert await anext(following)
    task = other._mirrors["t-left"]._task
    await following.aclose()
    await eventually(task.done, what="the copying ended")
    assert other._mirrors == {}


async def test_an_unknown_turn_is_a_lookup_error(other: ValkeyStreams) -> None:
    with pytest.raises(LookupError):
        await read(other, "nobody")


async def test_nothing_stays_in_valkey_for_ever(one: ValkeyStreams, valkey_url: str) -> None:
    client = Redis.from_url(valkey_url)
    one.open("t-expire")
    await known(one, "t-expire")
    assert 3600 < await client.ttl(key_of("t-expire")) <= 6 * 3600

    async def shorter() -> bool:
        return bool(0 < await client.ttl(key_of("t-expire")) <= 300)

    one.publish("t-expire", "done", b"")
    await eventually(shorter, what="the end's shorter time to live")
    await eventually(lambda: not one._writer._sent, what="the turn is forgotten by the writer")
    await client.aclose()


async def test_valkey_killed_and_back_mid_stream_loses_nothing(valkey: ValkeyServer) -> None:
    one, other = ValkeyStreams(connect(valkey.url, 1.0)), ValkeyStreams(connect(valkey.url, 1.0))
    one.open("t")
    expected = chunks(one, "t", 1, 10)
    await known(one, "t")
    here, there = asyncio.create_task(read(one, "t")), asyncio.create_task(read(other, "t"))
    await eventually(lambda: (m := other._mirrors.get("t")) is not None and m.log.n == 10, what="ten chunks there")
    with capture_logs() as lines:
        valkey.kill()
        for first in (11, 16):
            expected += chunks(one, "t", first, first + 4)
            await eventually(lambda: lines, what="the outage is logged")
        valkey.start()
        expected += [*chunks(one, "t", 21, 30), one.publish("t", "done", b"")]
        assert await asyncio.wait_for(there, 20) == expected
    assert await here == expected
    assert [line["event"] for line in lines] == ["valkey away", "valkey back"]
    # A reader who comes only now finds it whole: what the server lost was written again.
    assert await read(other, "t") == expected
    for streams in (one, other):
        await streams.aclose()


async def test_without_valkey_the_own_readers_notice_nothing(valkey: ValkeyServer) -> None:
    valkey.kill()
    one, other = ValkeyStreams(connect(valkey.url, 0.5), 0.5), ValkeyStreams(connect(valkey.url, 0.5), 0.5)
    one.open("t")
    expected = [*chunks(one, "t", 1, 3), one.publish("t", "done", b"")]
    assert await asyncio.wait_for(read(one, "t"), 30) == expected
    with pytest.raises(StreamsUnavailable):
        await read(other, "t")
    with pytest.raises(StreamsUnavailable):
        await other.ping()
    await asyncio.wait_for(one.aclose(), 30)
    await other.aclose()


async def test_while_valkey_is_away_forgotten_logs_are_not_held_for_it(valkey: ValkeyServer) -> None:
    valkey.kill()
    one = ValkeyStreams(connect(valkey.url, 0.5), timeout=0.1, budget=10_000)
    for turn in range(500):
        one.open(f"t{turn}")
        chunks(one, f"t{turn}", 1, 3)
        one.publish(f"t{turn}", "done", b"")
    await eventually(lambda: len(one._writer._sent) < 50, what="forgotten logs are let go")
    valkey.start()
    await eventually(lambda: not one._writer._sent, what="the rest is sent")
    await one.aclose()


async def test_a_writer_that_dies_leaves_a_silent_stream_that_can_be_left(one: ValkeyStreams, other: ValkeyStreams) -> None:
    one.open("t-dead")
    chunks(one, "t-dead", 1, 2)
    await known(one, "t-dead")
    await eventually(lambda: not one._writer._dirty, what="all sent")
    following = other.follow("t-dead", beat=0.05)
    assert [event.n for event in await anext(following)] == [1, 2]
    assert await anext(following) == []
    await following.aclose()
    assert other._mirrors == {}


async def test_closing_hands_over_the_last_events_and_ends_readers(one: ValkeyStreams, valkey_url: str) -> None:
    closing = ValkeyStreams(connect(valkey_url))
    closing.open("t-closing")
    expected = [*chunks(closing, "t-closing", 1, 3000), closing.publish("t-closing", "done", b"")]
    await closing.aclose()
    assert await read(one, "t-closing") == expected
    one.open("t-cut")
    await known(one, "t-cut")
    reader = ValkeyStreams(connect(valkey_url))
    reading = asyncio.create_task(read(reader, "t-cut"))
    await eventually(lambda: reader._mirrors, what="the reader follows")
    await reader.aclose()
    assert await asyncio.wait_for(reading, 30) == []


async def test_the_server_is_checked_before_it_is_used(valkey: ValkeyServer) -> None:
    assert (await check_server(RedisSettings(url=SecretStr(valkey.url)))).startswith("valkey ")
    client = connect(valkey.url)
    await client.acl_setuser("narrow", enabled=True, passwords=["+hush"], commands=["+info"], keys=["*"])
    assert await client.dbsize() == 0
    await client.aclose()
    for user, complaint in (("narrow:hush", "right"), ("narrow:wrong", "password")):
        with pytest.raises(ConfigurationInvalid, match=complaint) as refused:
            await check_server(RedisSettings(url=SecretStr(valkey.url.replace("//", f"//{user}@"))))
        assert "hush" not in refused.value.message
    valkey.kill()
    with pytest.raises(StreamsUnavailable, match=str(valkey.port)):
        await check_server(RedisSettings(url=SecretStr(valkey.url), timeout=0.5))
    with pytest.raises(PartMissing, match="REDIS_HOST"):
        await check_redis(RedisSettings(url=SecretStr(valkey.url), timeout=0.5), "REDIS_HOST")
    with pytest.raises(ConfigurationInvalid):
        connect("http://nowhere")
