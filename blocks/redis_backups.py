"""A Redis or Valkey that is backed up or restored into, as a whole, by its own replication."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import IO, Any, ClassVar, TypeVar

import redis
from prefect.blocks.core import Block
from pydantic import Field, SecretStr
from redis.backoff import NoBackoff
from redis.retry import Retry

from blocks.own_thread import in_own_thread, put_back
from blocks.redis_replication import TIMEOUT, Giving, in_our_words, run, taking
from blocks.redis_snapshot import KINDS, OTHER, Snapshot
from core.backups.errors import DumpFailed, RestoreFailed, TargetNotEmpty
from core.backups.place import Dump, Fingerprint, Inspection, Part, Stream

T = TypeVar("T")
PAGE = 1000
CONNECT = 10.0
RDB = "dump.rdb"


class RedisServer(Block):
    """A Redis or Valkey to be backed up, or restored into.

    Example:
        Load the saved block and see what there is:

        ```python
        from blocks.redis_backups import RedisServer

        server = await RedisServer.aload("dify-redis")
        print(await server.inspect())
        ```
    """

    _block_type_name: ClassVar[str | None] = "Redis Server"
    _block_type_slug: ClassVar[str | None] = "redis-server"
    _description: ClassVar[str | None] = "A Redis or Valkey that is backed up, or restored into."

    name: str = Field(description="What messages call it, such as sources.dify-redis.")
    url: SecretStr = Field(description="redis://user:password@host:6379, of a user that may replicate; all of its databases.")
    ca_file: Path | None = Field(default=None, description="CA certificates, for a rediss:// address.")
    fast: bool = Field(default=False, description="Run at normal priority.")

    async def inspect(self) -> Inspection:
        """See ``Place.inspect``."""

        def asked(client: "redis.Redis") -> Inspection:
            told: dict[str, Any] = client.info()
            product = "Valkey" if "valkey_version" in told else "Redis"
            return Inspection(f"{product} {_version(told)}", None, (), int(told["used_memory"]), not _keys(told))

        return await self._asked(asked)

    @asynccontextmanager
    async def dumping(self, inspection: Inspection) -> AsyncGenerator[Dump, None]:
        """See ``Place.dumping``. The fingerprint is of the snapshot itself: it is complete when the part has been read."""
        counts: dict[str, int] = {}
        yield Dump([Part(RDB, "rdb", partial(self._opened, counts))], Fingerprint(counts))

    async def restore(self, part: str, form: str, stream: IO[bytes], only: str | None = None) -> None:
        """See ``Place.restore``. Raises ``TargetNotEmpty`` before anything is touched."""
        if form != "rdb":
            raise RestoreFailed(f"{self.name}: a Redis or Valkey cannot take a part of the form {form}.")
        if only is not None:
            raise RestoreFailed(
                f"{self.name}: a snapshot is restored as a whole; restore it elsewhere and copy the key from there."
            )

        def given(stopped: Event, client: "redis.Redis") -> None:
            told: dict[str, Any] = client.info()
            if told.get("role") != "master":
                raise RestoreFailed(f"{self.name}: the server is a replica of another one; restore into that.")
            if keys := _keys(told):
                raise TargetNotEmpty(f"{self.name}: the server holds {keys} keys already; empty it first.")
            Giving(self.name, client, stopped).give(stream)

        await put_back(self.name, lambda stopped: self._with_client(partial(given, stopped)), fast=self.fast)

    async def fingerprint(self, like: Fingerprint) -> Fingerprint:
        """See ``Place.fingerprint``."""

        def counted(client: "redis.Redis") -> Fingerprint:
            counts = dict.fromkeys(like.counts, 0)
            for database in dict.fromkeys(key.partition("/")[0] for key in counts):
                for kind in _lasting(client, database.removeprefix("db")):
                    key = f"{database}/{kind}"
                    if key in counts:
                        counts[key] += 1
            return Fingerprint({key: count for key, count in counts.items() if count})

        return await self._asked(counted)

    async def clear(self) -> None:
        """See ``Place.clear``. All keys of all its databases."""
        await self._asked(lambda client: client.flushall())

    @contextmanager
    def _opened(self, counts: dict[str, int]) -> Iterator[Stream]:
        counts.clear()
        snapshot = Snapshot()
        with self._connected() as client:
            told: dict[str, Any] = client.info()
            with taking(self.name, client, _version(told), snapshot) as stream:
                yield stream
        expected = _keys(told, lasting=True)
        if not snapshot.ends_well():
            raise DumpFailed(f"{self.name}: what the server sent is not a whole snapshot; is it short of memory or disk?")
        if snapshot.known and expected and not snapshot.keys:
            raise DumpFailed(f"{self.name}: the snapshot is empty, though the server held {expected} keys.")
        counts.update(snapshot.counts)

    async def _asked(self, work: Callable[["redis.Redis"], T]) -> T:
        return await in_own_thread(partial(self._with_client, work), "redis", quiet=not self.fast)

    def _with_client(self, work: Callable[["redis.Redis"], T]) -> T:
        with self._connected() as client:
            return work(client)

    @contextmanager
    def _connected(self) -> Iterator["redis.Redis"]:
        """A client of one connection."""
        url = self.url.get_secret_value()
        tls: dict[str, Any] = (
            {"ssl_ca_certs": str(self.ca_file)} if self.ca_file is not None and url.startswith("rediss:") else {}
        )
        with in_our_words(self.name):
            client = redis.Redis.from_url(
                url,
                socket_timeout=TIMEOUT,
                socket_connect_timeout=CONNECT,
                retry=Retry(NoBackoff(), 0),
                client_name="pilothouse-backup",
                protocol=2,
                single_connection_client=True,
                **tls,
            )
            try:
                yield client
            finally:
                client.close()


def _version(told: dict[str, Any]) -> str:
    return str(told.get("valkey_version") or told.get("redis_version") or "0")


def _keys(told: dict[str, Any], *, lasting: bool = False) -> int:
    """Keys of all databases; ``lasting``: without those that expire."""
    databases = [value for name, value in told.items() if name.startswith("db") and isinstance(value, dict)]
    return sum(int(each["keys"]) - (int(each.get("expires", 0)) if lasting else 0) for each in databases)


def _lasting(client: "redis.Redis", database: str) -> Iterator[str]:
    """The type of each key that does not expire. A scan may meet a key twice, so each is remembered by its hash."""
    cursor, seen = 0, set[int]()
    run(client, "SELECT", database)
    while True:
        cursor, found = client.scan(cursor, count=PAGE)
        names = [name for name in found if hash(name) not in seen]
        seen.update(map(hash, names))
        with client.pipeline(transaction=False) as pipe:
            run(pipe, "SELECT", database)  # on a connection of its own
            for name in names:
                pipe.type(name)
                pipe.pttl(name)
            answers = pipe.execute()[1:]
        for kind, left in zip(answers[::2], answers[1::2], strict=True):
            if left == -1:
                plain = kind.decode()
                yield plain if plain in KINDS else OTHER
        if not cursor:
            return
