"""Streams shared by several processes: each turn's log is copied to a Valkey (or Redis 7+) stream and read from there elsewhere.

The process that answers a turn publishes to its own memory and never waits for Valkey; its own readers read that memory. Another
process follows the turn through one ``Mirror``, however many of its readers ask.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError

from blocks.valkey_logs import AWAY, Mirror, Writer, key_of
from core.addresses import place
from core.config import RedisSettings
from core.errors import ConfigurationInvalid, StreamsUnavailable
from core.events import Kind, StreamEvent
from core.streams import MemoryStreams

MINIMUM_VERSION = 7
CONNECTIONS = 1000
"""One for each turn of another process that is being read here, and a few."""


def connect(url: str, timeout: float = 5.0, ca_file: Path | None = None) -> Redis:
    """A client that opens no connection yet; every call ends within ``timeout`` seconds. Raises ``ConfigurationInvalid``."""
    tls: dict[str, Any] = {"ssl_ca_certs": str(ca_file)} if ca_file is not None and url.startswith("rediss:") else {}
    try:
        return Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            # Who calls decides whether to try again.
            retry=Retry(NoBackoff(), 0),
            max_connections=CONNECTIONS,
            client_name="pilothouse",
            protocol=2,  # replies differ in shape between protocols
            **tls,
        )
    except ValueError as error:
        raise ConfigurationInvalid(
            "The Redis URL must read redis://[:PASSWORD@]HOST:PORT[/DB], rediss://… or unix://…."
        ) from error


async def check_server(settings: RedisSettings, ca_file: Path | None = None) -> str:
    """What runs there, e.g. ``valkey 9.1.2``, when it is new enough and lets us write.

    Raises ``ConfigurationInvalid`` (an old release, a wrong password, a missing right) or ``StreamsUnavailable``.
    """
    url = _url(settings)
    client, shown, probe = connect(url, settings.timeout, ca_file), place(url), key_of("probe")
    try:
        server = await client.info("server")
        await client.xadd(probe, {"kind": "probe"})
        await client.delete(probe)
    except AuthenticationError as error:
        raise ConfigurationInvalid(f"{shown} refused the user name or password of the Redis URL.") from error
    except NoPermissionError as error:
        raise ConfigurationInvalid(
            f"{shown}: the user lacks a right; give it ~pilothouse:* +@stream +@keyspace +@string +@hash +@set +@scripting +info."
        ) from error
    except AWAY as error:
        raise StreamsUnavailable(f"Redis or Valkey at {shown} does not answer; is it running and the address right?") from error
    finally:
        await client.aclose()
    name = "valkey" if "valkey_version" in server else "redis"
    version = str(server.get(f"{name}_version", "0"))
    if name == "redis" and int(version.split(".", maxsplit=1)[0]) < MINIMUM_VERSION:
        raise ConfigurationInvalid(f"{shown} runs Redis {version}; Redis {MINIMUM_VERSION} or newer, or any Valkey, is needed.")
    return f"{name} {version}"


class ValkeyStreams:
    """``Streams`` on Valkey; readers of a turn answered in this process never notice whether Valkey is there.

    ``keep`` is how long a finished turn can be read, here and elsewhere. A process that dies leaves its turns' streams without
    an end: whoever follows one with ``beat`` asks the database whether the turn still runs, and leaves.
    """

    def __init__(self, client: Redis, timeout: float = 5.0, keep: float = 300.0, budget: int = 64_000_000) -> None:
        self._client = client
        self._timeout = timeout
        self._local = MemoryStreams(keep, budget)
        self._writer = Writer(client, self._local, keep)
        self._mirrors: dict[str, Mirror] = {}

    @classmethod
    def from_settings(cls, settings: RedisSettings, ca_file: Path | None = None) -> "ValkeyStreams":
        """Opens no connection yet. Raises ``ConfigurationInvalid`` for a malformed URL or none."""
        return cls(connect(_url(settings), settings.timeout, ca_file), settings.timeout)

    def open(self, turn_id: str) -> None:
        running = self._local.held(turn_id)
        self._local.open(turn_id)
        if running is not self._local.held(turn_id):
            self._writer.opened(turn_id)

    def publish(self, turn_id: str, kind: Kind, data: bytes) -> StreamEvent:
        event = self._local.publish(turn_id, kind, data)
        self._writer.grown(turn_id)
        return event

    async def follow(self, turn_id: str, after: int = 0, beat: float | None = None) -> AsyncGenerator[list[StreamEvent], None]:
        """As ``Streams.follow``; raises ``StreamsUnavailable`` for a turn of another process while Valkey does not answer."""
        log = self._local.held(turn_id)
        if log is not None:
            async with aclosing(log.follow(after, beat)) as batches:
                async for batch in batches:
                    yield batch
            return
        mirror = await self._mirror(turn_id)
        try:
            async with aclosing(mirror.log.follow(after, beat)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            if mirror.left() and self._mirrors.get(turn_id) is mirror:
                del self._mirrors[turn_id]

    async def ping(self) -> None:
        """Raises ``StreamsUnavailable`` unless Valkey answers."""
        try:
            await self._client.ping()
        except AWAY as error:
            raise _unavailable() from error

    async def aclose(self) -> None:
        """Hand the last events to Valkey, for as long as one call may take, then let go."""
        await self._writer.aclose(self._timeout)
        await self._local.aclose()
        mirrors = list(self._mirrors.values())
        self._mirrors.clear()
        await asyncio.gather(*(mirror.aclose() for mirror in mirrors))
        await self._client.aclose()

    async def _mirror(self, turn_id: str) -> Mirror:
        """The turn's mirror with one more reader."""
        mirror = self._mirrors.get(turn_id)
        if mirror is None:
            if not await self._exists(turn_id):
                raise LookupError(f"no stream of turn {turn_id} is held")
            # Another reader may have come while this one asked.
            mirror = self._mirrors.get(turn_id) or Mirror(self._client, turn_id, self._timeout)
            self._mirrors[turn_id] = mirror
        mirror.joined()
        return mirror

    async def _exists(self, turn_id: str) -> bool:
        for last_try in (False, True):
            try:
                return bool(await self._client.exists(key_of(turn_id)))
            except AWAY as error:
                # The server may have closed a connection that lay idle in the pool.
                if last_try or isinstance(error, TimeoutError):
                    raise _unavailable() from error
        return False


def _url(settings: RedisSettings) -> str:
    if settings.url is None:
        raise ConfigurationInvalid("No Redis or Valkey is configured: set REDIS_URL.")
    return settings.url.get_secret_value()


def _unavailable() -> StreamsUnavailable:
    return StreamsUnavailable(
        "Redis or Valkey (streams of other processes) does not answer; try again in a moment.", retry_after=2
    )
