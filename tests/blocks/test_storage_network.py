"""Certificates, proxies and memory between us and a bucket."""

import asyncio
import contextlib
import ssl
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.errors import StoreRefused, StoreUnavailable
from tests.blocks.test_storage import MIB, bucket_block, content
from tests.certificates import Authority
from tests.ports import free_port
from tests.s3 import S3Server


async def _piped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def in_front_of(s3: S3Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[asyncio.StreamWriter]]]:
    """A port that leads to the server, by TLS where that is given; and a list with an entry for each connection."""
    taken: list[asyncio.StreamWriter] = []
    ended: list[asyncio.Task[None] | None] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)
        ended.append(asyncio.current_task())
        there, back = await asyncio.open_connection("127.0.0.1", s3.port)
        await asyncio.gather(_piped(reader, back), _piped(there, writer))
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await back.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], taken
        for writer in taken:
            writer.transport.abort()
        await asyncio.wait_for(asyncio.gather(*filter(None, ended), return_exceptions=True), 10)


async def test_a_certificate_is_checked_against_our_ca_file(s3: S3Server, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with in_front_of(s3, authority.serving("127.0.0.1")) as (port, _):
        address = {"endpoint": f"https://127.0.0.1:{port}"}
        bucket = bucket_block(s3, s3.bucket(), **address, ca_file=authority.file)
        await bucket.put("one", b"content", "text/plain", "x")
        assert await content(bucket, "one") == b"content"
        with pytest.raises(StoreRefused, match="name its CA's file in ca_file"):
            await bucket_block(s3, bucket.bucket, **address).check()


async def test_a_proxy_is_used_for_other_machines_only(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async with in_front_of(s3) as (port, taken):
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        await bucket_block(s3, s3.bucket()).put("one", b"x", "text/plain", "x")
        assert taken == []
        # The server behind the proxy takes the whole address in the request line for a bucket that it does not have.
        with pytest.raises(StoreRefused):
            await bucket_block(s3, "any-bucket", endpoint="http://s3.invalid").check()
        assert len(taken) == 1
        monkeypatch.setenv("NO_PROXY", "s3.invalid")
        with pytest.raises(StoreUnavailable):
            await bucket_block(s3, "any-bucket", endpoint="http://s3.invalid", region="eu-west-1").check()
        assert len(taken) == 1


async def test_a_proxy_that_is_away_is_named(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(StoreUnavailable, match="through the proxy"):
        await bucket_block(s3, "any-bucket", endpoint="http://elsewhere.invalid").check()


async def test_a_large_stream_is_never_in_memory_as_a_whole(s3: S3Server) -> None:
    bucket = bucket_block(s3, s3.bucket())
    await bucket.put("first", b"x", "text/plain", "x")  # the SDK's own tables

    async def zeros() -> AsyncGenerator[bytes, None]:
        for _ in range(60):
            yield bytes(MIB)

    tracemalloc.start()
    try:
        assert await bucket.put("big", zeros(), "application/octet-stream", "big") == 60 * MIB
        _, peak = tracemalloc.get_traced_memory()
        assert peak < 8 * bucket.part_bytes
        tracemalloc.reset_peak()
        size = 0
        async for chunk in bucket.read("big"):
            size += len(chunk)
        assert size == 60 * MIB
        assert tracemalloc.get_traced_memory()[1] < bucket.part_bytes
    finally:
        tracemalloc.stop()
