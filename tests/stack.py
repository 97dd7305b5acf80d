"""A platform in small, in the shape of astron-agent's: eleven HTTP services that really use four real stores.

Each answers ``/health`` by asking what it needs: a store by a login, another service by its ``/health``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import psycopg
import pymysql
from redis.asyncio import Redis

from tests.mariadb import PASSWORD, MariaDBServer
from tests.ports import free_port
from tests.s3 import S3Server
from tests.valkey import ValkeyServer

NEEDS: Mapping[str, tuple[str, ...]] = {
    "tenant": ("mysql",),
    "link": ("mysql", "redis"),
    "aitools": ("minio",),
    "database": ("postgres",),
    "memory": ("database",),
    "knowledge": ("postgres", "minio"),
    "agent": ("link", "redis"),
    "workflow": ("agent", "mysql"),
    "console": ("tenant", "workflow", "redis"),
    "frontend": ("console",),
    "docs": (),
}
STORES = ("postgres", "mysql", "redis", "minio")
Question = Callable[[], Awaitable[None]]


class Stack:
    """``stores`` ask a store; ``urls`` is where a service answers. A service may be taken down by itself, or waver."""

    def __init__(self, stores: Mapping[str, Question]) -> None:
        self.ports = {name: free_port() for name in NEEDS}
        self.wavering: dict[str, bool] = {}
        """Services that answer good and bad as told here, whatever they need."""
        self._stores = stores
        self._servers: dict[str, asyncio.Server] = {}

    async def start(self, *names: str) -> None:
        for name in names or NEEDS:
            self._servers[name] = await asyncio.start_server(self._answering(name), "127.0.0.1", self.ports[name])

    async def stop(self, *names: str) -> None:
        for name in names or list(self._servers):
            server = self._servers.pop(name)
            server.close()
            await server.wait_closed()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}/health"

    async def well(self, name: str) -> bool:
        """Whether a service has all that it needs."""
        if name in self.wavering:
            return self.wavering[name]
        return all(await asyncio.gather(*(self._has(each) for each in NEEDS[name])))

    async def _has(self, needed: str) -> bool:
        if needed in NEEDS:
            return needed in self._servers and await self.well(needed)
        try:
            async with asyncio.timeout(2):
                await self._stores[needed]()
        except Exception:  # noqa: BLE001  (a client of any store has its own)
            return False
        return True

    def _answering(self, name: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                status = "200 OK" if await self.well(name) else "503 Service Unavailable"
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
            writer.close()

        return answer


def store_questions(postgres: str, mysql: MariaDBServer, redis: ValkeyServer, minio: S3Server) -> dict[str, Question]:
    """How the services ask each store."""

    async def ask_postgres() -> None:
        async with await psycopg.AsyncConnection.connect(postgres, connect_timeout=2) as connection:
            await connection.execute("SELECT 1")

    async def ask_mysql() -> None:
        def ask() -> None:
            pymysql.connect(
                host="127.0.0.1", port=mysql.port, user="root", password=PASSWORD, connect_timeout=2, ssl_disabled=True
            ).close()

        await asyncio.to_thread(ask)

    async def ask_redis() -> None:
        async with Redis.from_url(redis.url, socket_timeout=2) as client:
            await client.ping()

    async def ask_minio() -> None:
        await asyncio.to_thread(lambda: minio.client().list_buckets())

    return {"postgres": ask_postgres, "mysql": ask_mysql, "redis": ask_redis, "minio": ask_minio}
