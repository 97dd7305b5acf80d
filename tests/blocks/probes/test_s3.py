"""S3, on a real gateway: an object goes there and back and nothing stays; keys, buckets and rights are told apart."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from blocks.probes import s3 as module
from core.sweeps.observation import Observation
from tests.blocks.probes.looking import seen
from tests.blocks.probes.serving import serving
from tests.s3 import S3Server

Decide = Callable[[web.Request], web.Response | None]


def keys(server: S3Server) -> dict[str, Any]:
    return {"username": server.user, "password": server.password}


def objects(server: S3Server, bucket: str) -> list[str]:
    return [each["Key"] for each in server.client().list_objects_v2(Bucket=bucket).get("Contents", [])]


def error(status: int, code: str) -> web.Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>no</Message></Error>'
    return web.Response(status=status, text=text, content_type="application/xml")


@asynccontextmanager
async def gate(server: S3Server, decide: Decide, alter: bytes = b"") -> AsyncIterator[int]:
    """The server behind a gate that answers some requests itself; ``alter`` is put in place of what is read."""

    async def passed(request: web.Request) -> web.StreamResponse:
        if (own := decide(request)) is not None:
            return own
        url, body = f"{server.url}{request.raw_path}", await request.read()
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, url, headers=request.headers, data=body) as answer,
        ):
            data = await answer.read()
        if alter and request.method == "GET" and "pilothouse-probe" in request.path and answer.status == 200:
            data = alter
        kept = {key: value for key, value in answer.headers.items() if key.lower() in {"content-type", "etag"}}
        return web.Response(status=answer.status, body=data, headers=kept)

    async with serving({"/{tail:.*}": passed}) as port:
        yield port


async def gated(server: S3Server, decide: Decide, alter: bytes = b"") -> tuple[Observation, list[str]]:
    """What is seen through the gate, and what is in the bucket afterwards."""
    bucket = server.bucket()
    async with gate(server, decide, alter) as port:
        found = await seen("s3", f"http://127.0.0.1:{port}", bucket=bucket, **keys(server))
    return found, objects(server, bucket)


def methods(*denied: str, answer: Callable[[], web.Response] = lambda: error(403, "AccessDenied")) -> Decide:
    return lambda request: answer() if request.method in denied else None


async def test_an_object_goes_there_and_back_and_nothing_stays(s3: S3Server) -> None:
    bucket = s3.bucket()
    for address, name in ((s3.url, bucket), (f"{s3.url}/{bucket}", None)):
        found = await seen("s3", address, bucket=name, **keys(s3))
        assert (found.state, found.code, found.message) == ("up", "ok", "")
        assert found.seconds is not None
    assert objects(s3, bucket) == []
    login = f"http://{s3.user}:{s3.password}@127.0.0.1:{s3.port}"
    assert (await seen("s3", login, bucket=bucket)).state == "up"


async def test_without_a_bucket_the_buckets_are_listed(s3: S3Server) -> None:
    s3.bucket()
    found = await seen("s3", s3.url, **keys(s3))
    assert found.state == "up"
    assert int(found.facts["buckets"]) >= 1


async def test_what_a_killed_look_left_is_removed(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.bucket()
    s3.client().put_object(Bucket=bucket, Key="pilothouse-probe/left", Body=b"x")
    s3.client().put_object(Bucket=bucket, Key="another", Body=b"x")
    await seen("s3", s3.url, bucket=bucket, **keys(s3))
    assert objects(s3, bucket) == ["another", "pilothouse-probe/left"]  # another process may be at it
    monkeypatch.setattr(module, "OLD", timedelta(seconds=-5))
    await seen("s3", s3.url, bucket=bucket, **keys(s3))
    assert objects(s3, bucket) == ["another"]


async def test_keys_and_buckets_that_are_wrong(s3: S3Server) -> None:
    bucket = s3.bucket()
    for user, password in ((s3.user, "wr0ng-password"), ("nobody", s3.password)):
        found = await seen("s3", s3.url, bucket=bucket, username=user, password=password)
        assert (found.state, found.code) == ("down", "login")
    missing = await seen("s3", s3.url, bucket="not-there", **keys(s3))
    assert (missing.state, missing.code) == ("down", "bucket")
    assert 'has no bucket "not-there"' in missing.message
    none = await seen("s3", s3.url, bucket=bucket)
    assert (none.state, none.facts) == ("up", {"login": "not checked"})


async def test_a_bucket_that_can_only_be_read(s3: S3Server) -> None:
    found, left = await gated(s3, methods("PUT"))
    assert (found.state, found.code) == ("degraded", "read_only")
    assert "can be read, but not written" in found.message
    assert left == []
    denied, _ = await gated(s3, lambda request: error(403, "AccessDenied"))
    assert (denied.state, denied.code) == ("down", "denied")


async def test_a_bucket_that_keeps_what_is_deleted(s3: S3Server) -> None:
    found, left = await gated(s3, methods("DELETE"))
    assert (found.state, found.code) == ("degraded", "delete")
    assert len(left) == 1


async def test_a_bucket_that_gives_back_something_else(s3: S3Server) -> None:
    found, left = await gated(s3, lambda request: None, alter=b"x" * 64)
    assert (found.state, found.code) == ("down", "content")
    assert left == []


@pytest.mark.parametrize(("status", "name", "code"), [(507, "XMinioStorageFull", "full"), (503, "SlowDown", "busy")])
async def test_a_store_that_takes_nothing(s3: S3Server, status: int, name: str, code: str) -> None:
    found, _ = await gated(s3, methods("PUT", answer=lambda: error(status, name)))
    assert (found.state, found.code) == ("down", code)


async def test_a_clock_that_is_wrong(s3: S3Server) -> None:
    found, _ = await gated(s3, methods("PUT", answer=lambda: error(403, "RequestTimeTooSkewed")))
    assert (found.state, found.code) == ("down", "clock")


async def test_a_store_that_is_no_s3_for_who_has_no_key() -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>Welcome</html>")

    async with serving({"/": page}) as port:
        found = await seen("s3", f"http://127.0.0.1:{port}")
    assert (found.state, found.code) == ("down", "protocol")


async def test_a_store_that_is_frozen_or_gone(own_s3: S3Server) -> None:
    bucket = own_s3.bucket()
    own_s3.freeze()
    for login in (keys(own_s3), {}):
        found = await seen("s3", own_s3.url, bucket=bucket, timeout=0.5, **login)
        assert (found.state, found.code) == ("down", "timeout")
    own_s3.thaw()
    own_s3.kill()
    gone = await seen("s3", own_s3.url, bucket=bucket, **keys(own_s3))
    assert (gone.state, gone.code) == ("down", "refused")
