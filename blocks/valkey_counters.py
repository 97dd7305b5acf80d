"""Quotas and rates counted in Valkey (or Redis 7+), for several API processes: one script to reserve, one to settle.

``pilothouse:quota:used:{key}`` is a counter, ``pilothouse:quota:held:{boot id}`` a hash of what a process holds, by hold;
``pilothouse:rate:{key}`` a window of requests. A counter that is not there is made from the ledger in our database and all holds.
"""

from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson
import redis.exceptions
from redis.asyncio import Redis

from blocks.valkey import connect
from blocks.valkey_logs import AWAY
from core.config import RedisSettings
from core.errors import ConfigurationInvalid, StreamsUnavailable
from core.quotas.counting import CountersSlow, Forgotten, Hold, Item, Ledger, Used, Window
from core.settings_quotas import Rate

T = TypeVar("T")
PREFIX = "pilothouse:quota:"
OWNERS, COUNTERS = f"{PREFIX}owners", f"{PREFIX}counters"
TRIES = 5
"""Times that a missing counter is made; others may drop it as often."""

_RESERVE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return {'lost'} end
local found, missing, spent = {'used'}, {'missing'}, false
for i = 2, #KEYS do
    local value = redis.call('GET', KEYS[i])
    if value then
        table.insert(found, tonumber(value))
        spent = spent or tonumber(value) >= tonumber(ARGV[2 * i - 1])
    else
        table.insert(missing, i - 2)
    end
end
if #missing > 1 then return missing end
if not spent then
    for i = 2, #KEYS do redis.call('INCRBY', KEYS[i], ARGV[2 * i]) end
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
return found
"""
_SETTLE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 'lost' end
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held then
    for i = 2, #KEYS do redis.call('DEL', KEYS[i]) end
    return 'gone'
end
redis.call('HDEL', KEYS[1], ARGV[1])
for i, item in ipairs(cjson.decode(held)) do
    if redis.call('EXISTS', KEYS[i + 1]) == 1 then
        if redis.call('INCRBY', KEYS[i + 1], tonumber(ARGV[i + 1]) - item[2]) < 0 then
            redis.call('SET', KEYS[i + 1], 0, 'KEEPTTL')
        end
    end
end
return 'settled'
"""
_MAKE = """
if redis.call('EXISTS', KEYS[3]) == 1 then return end
local sum = tonumber(ARGV[1])
for _, owner in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    for _, held in ipairs(redis.call('HVALS', owner)) do
        for _, item in ipairs(cjson.decode(held)) do
            if item[1] == KEYS[3] then sum = sum + item[2] end
        end
    end
end
redis.call('SET', KEYS[3], string.format('%.0f', sum))
redis.call('SADD', KEYS[2], KEYS[3])
if ARGV[2] ~= '' then redis.call('EXPIREAT', KEYS[3], ARGV[2]) end
"""
_ADOPT = """
if ARGV[1] ~= 'anew' and redis.call('EXISTS', KEYS[1]) == 1 then return end
redis.call('DEL', KEYS[1])
redis.call('SADD', KEYS[2], KEYS[1])
redis.call('HSET', KEYS[1], '', '[]', unpack(ARGV, 2))
if ARGV[1] == 'anew' then
    for _, counter in ipairs(redis.call('SMEMBERS', KEYS[3])) do redis.call('DEL', counter) end
    redis.call('DEL', KEYS[3])
end
for i = 3, #ARGV, 2 do
    for _, item in ipairs(cjson.decode(ARGV[i])) do redis.call('DEL', item[1]) end
end
"""
_RELEASE = """
for _, held in ipairs(redis.call('HVALS', KEYS[1])) do
    for _, item in ipairs(cjson.decode(held)) do redis.call('DEL', item[1]) end
end
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2], KEYS[1])
"""
_TAKE = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}
"""


class ValkeyCounters:
    """``Counters`` in Valkey. Raises ``Forgotten`` where it knows nothing of the process, as after a restart."""

    def __init__(self, client: Redis, ledger: Ledger) -> None:
        self._client = client
        self._ledger = ledger
        self._scripts = {
            name: client.register_script(text)
            for name, text in {
                "reserve": _RESERVE,
                "settle": _SETTLE,
                "make": _MAKE,
                "adopt": _ADOPT,
                "release": _RELEASE,
                "take": _TAKE,
            }.items()
        }

    @classmethod
    def from_settings(cls, settings: RedisSettings, ledger: Ledger, ca_file: Path | None = None) -> "ValkeyCounters":
        """Opens no connection yet. Raises ``ConfigurationInvalid`` for a malformed URL or none."""
        if settings.url is None:
            raise ConfigurationInvalid("No Redis or Valkey is configured: set REDIS_URL.")
        return cls(connect(settings.url.get_secret_value(), settings.timeout, ca_file), ledger)

    async def reserve(self, hold: Hold) -> Used:
        """See ``Counters.reserve``."""
        keys = [_held(hold.owner), *(_used(item.key) for item in hold.items)]
        numbers = [number for item in hold.items for number in (item.most, item.amount)]
        for _ in range(TRIES):
            found = await self._run("reserve", keys, [hold.id, _as_kept(hold), *numbers])
            word = found[0].decode()
            if word == "lost":
                raise Forgotten
            if word == "used":
                return {item.key: int(value) for item, value in zip(hold.items, found[1:], strict=True)}
            await self._make([hold.items[int(number)] for number in found[1:]])
        raise StreamsUnavailable("The counters of quotas in Redis or Valkey do not stay; try again in a moment.", retry_after=2)

    async def settle(self, hold: Hold, used: Mapping[str, int]) -> None:
        """See ``Counters.settle``."""
        keys = [_held(hold.owner), *(_used(item.key) for item in hold.items)]
        if await self._run("settle", keys, [hold.id, *(used.get(item.metric, 0) for item in hold.items)]) == b"lost":
            raise Forgotten

    async def adopt(self, owner: str, holds: Sequence[Hold], *, anew: bool) -> None:
        """See ``Counters.adopt``."""
        fields = [part for hold in holds for part in (hold.id, _as_kept(hold))]
        await self._run("adopt", [_held(owner), OWNERS, COUNTERS], ["anew" if anew else "", *fields])

    async def release(self, owner: str, living: Sequence[str], held: Sequence[str]) -> None:
        """See ``Counters.release``. What the owner itself does not hold any more it has settled here, or it has adopted anew."""
        alive = {_held(each) for each in (*living, owner)}
        owners: set[Any] = await self._asked(self._client.smembers(OWNERS))
        for each in owners:
            if each.decode() not in alive:
                await self._run("release", [each, OWNERS], [])

    async def take(self, key: str, rate: Rate) -> Window:
        """See ``Counters.take``."""
        count, left = await self._run("take", [f"pilothouse:rate:{key}"], [rate.seconds * 1000])
        return Window(count <= rate.most, max(0, rate.most - count), max(0, left) / 1000)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _make(self, items: Sequence[Item]) -> None:
        """Missing counters. What the ledger has by then is held no more, or it would be counted twice."""
        counted = await self._ledger.counted([item.told() for item in items])
        owners: set[Any] = await self._asked(self._client.smembers(OWNERS))
        held: dict[str, Any] = {}
        for owner in owners:
            fields: list[Any] = await self._asked(self._client.hkeys(owner))
            held |= {field.decode(): owner for field in fields if field}
        for ended in await self._ledger.known(list(held)):
            await self._asked(self._client.hdel(held[ended], ended))
        for item in items:
            until = "" if item.until is None else str(round(item.until.timestamp()) + 3600)
            await self._run("make", [OWNERS, COUNTERS, _used(item.key)], [counted[item.key], until])

    async def _run(self, name: str, keys: Sequence[str | bytes], args: Sequence[str | int]) -> Any:
        return await self._asked(self._scripts[name](keys=keys, args=args))

    async def _asked(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except (TimeoutError, redis.exceptions.TimeoutError) as error:
            raise CountersSlow("Redis or Valkey, which counts quotas, is slow; try again in a moment.", retry_after=2) from error
        except AWAY as error:
            raise StreamsUnavailable("Redis or Valkey, which counts quotas, does not answer.", retry_after=2) from error


def _used(key: str) -> str:
    return f"{PREFIX}used:{key}"


def _held(owner: str) -> str:
    return f"{PREFIX}held:{owner}"


def _as_kept(hold: Hold) -> str:
    return orjson.dumps([[_used(item.key), item.amount] for item in hold.items]).decode()
