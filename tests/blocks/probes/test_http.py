"""HTTP and HTTPS: what answers say, and what failures to answer are called."""

import json
import socket
from base64 import b64encode
from collections.abc import Mapping

import pytest
from aiohttp import web

from tests.blocks.probes.looking import seen
from tests.blocks.probes.serving import Handler, saying, serving
from tests.certificates import Authority

BODY = {"status": "ok", "checks": [{"name": "db", "up": True}, {"name": "queue", "depth": 3}], "版本": "1.2"}


async def well(request: web.Request) -> web.Response:
    return web.Response(text=json.dumps(BODY, ensure_ascii=False), content_type="application/json")


def answering(status: int, headers: Mapping[str, str] | None = None) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers)

    return handler


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 65536)


async def test_what_answers_is_up_with_its_status_and_seconds() -> None:
    async with serving({"/health": well}) as port:
        found = await seen("http", f"http://127.0.0.1:{port}/health")
    assert (found.state, found.code, found.message) == ("up", "ok", "")
    assert found.facts == {"status": 200}
    assert found.seconds is not None
    assert 0 < found.seconds < 5


@pytest.mark.parametrize(
    ("status", "good", "state"),
    [
        (204, "200-399", "up"),
        (404, "200-399", "down"),
        (404, "200,404", "up"),
        (401, "200-299,401-403", "up"),
        (500, "200-299", "down"),
        (302, "200-399", "up"),
    ],
)
async def test_status_ranges(status: int, good: str, state: str) -> None:
    async with serving({"/": answering(status)}) as port:
        found = await seen("http", f"http://127.0.0.1:{port}/", status=good)
    assert found.state == state
    assert found.facts["status"] == status
    if state == "down":
        assert found.code == "status"
        assert found.message.startswith(f"It answered {status}, not {good}: ")


@pytest.mark.parametrize(
    ("expected", "code"),
    [
        ({"contains": '"status"'}, "ok"),
        ({"contains": "版本"}, "ok"),
        ({"contains": "healthy"}, "body"),
        ({"json_path": "$.status"}, "ok"),
        ({"json_path": "$.status", "json_value": "ok"}, "ok"),
        ({"json_path": "$.status", "json_value": "bad"}, "json"),
        ({"json_path": "$.checks[0].up", "json_value": "true"}, "ok"),
        ({"json_path": "$.checks[1].depth", "json_value": "3"}, "ok"),
        ({"json_path": "$.checks[?(@.depth > 2)].name", "json_value": "queue"}, "ok"),
        ({"json_path": "$.checks[?(@.depth > 5)]"}, "json"),
        ({"json_path": "$.checks[?(@.name > 5)]"}, "json"),
        ({"json_path": "$.nowhere"}, "json"),
    ],
)
async def test_bodies(expected: dict[str, str], code: str) -> None:
    async with serving({"/": well}) as port:
        found = await seen("http", f"http://127.0.0.1:{port}/", None, **expected)
    assert (found.state, found.code) == ("up" if code == "ok" else "down", code)
    assert "queue" not in found.message


async def test_json_that_is_none() -> None:
    async with serving({"/": answering(200)}) as port:
        found = await seen("http", f"http://127.0.0.1:{port}/", json_path="$.status")
    assert (found.state, found.code) == ("down", "json")


async def test_an_endless_answer_is_read_no_further_than_a_megabyte() -> None:
    async with serving({"/": endless}) as port:
        address = f"http://127.0.0.1:{port}/"
        assert (await seen("http", address)).state == "up"
        assert (await seen("http", address, contains="xxx")).state == "up"
        found = await seen("http", address, json_path="$.status")
    assert (found.code, "1 MB" in found.message) == ("json", True)


async def test_headers_and_login_are_sent_and_never_told() -> None:
    async def picky(request: web.Request) -> web.Response:
        login = "ops:hunter2 ü" if request.path == "/login" else "me:p@ss"
        told = request.headers.get("Authorization"), request.headers.get("X-Key"), request.method
        fine = told == (f"Basic {b64encode(login.encode()).decode()}", "hunter3", "POST")
        return web.Response(status=200 if fine else 403)

    async with serving({"/{tail:.*}": picky}) as port:
        headers = {"X-Key": "hunter3"}
        by_keys = await seen(
            "http", f"http://127.0.0.1:{port}/login", method="POST", headers=headers, username="ops", password="hunter2 ü"
        )
        by_url = await seen("http", f"http://me:p%40ss@127.0.0.1:{port}/url", method="POST", headers=headers)
        refused = await seen("http", f"http://me:hunter2@127.0.0.1:{port}/url", method="POST", headers=headers)
    assert (by_keys.state, by_url.state) == ("up", "up")
    assert (refused.state, refused.code) == ("down", "status")
    assert "hunter" not in f"{refused}{by_keys}{by_url}"


async def test_a_slow_answer_is_degraded() -> None:
    async with serving({"/": well}) as port:
        found = await seen("http", f"http://127.0.0.1:{port}/", slow=0.000001)
    assert (found.state, found.code) == ("degraded", "slow")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", "reset"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "reset"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "protocol"),
    ],
)
async def test_broken_answers(answer: bytes, code: str) -> None:
    async with saying(answer) as port:
        found = await seen("http", f"http://me:hunter2@127.0.0.1:{port}/", contains="x")
    assert (found.state, found.code) == ("down", code)
    assert f"127.0.0.1:{port}" in found.message
    assert "hunter2" not in found.message


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsh"])
async def test_an_answer_that_never_ends_is_waited_for_no_longer_than_allowed(start: bytes) -> None:
    async with saying(start, hang=True) as port:
        found = await seen("http", f"http://127.0.0.1:{port}/", contains="x", timeout=0.2)
    assert (found.state, found.code) == ("down", "timeout")
    assert "within 0.2 s" in found.message


async def test_failures_to_connect_have_names() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    refused = await seen("http", f"http://127.0.0.1:{port}/")
    assert (refused.state, refused.code) == ("down", "refused")
    for host in ("no-such-host.invalid", "a..b", "xn--a", f"{'x' * 70}.invalid", "bücher.invalid", "256.256.256.256"):
        unknown = await seen("http", f"https://{host}/")
        assert (unknown.state, unknown.code) == ("down", "name"), host


@pytest.mark.parametrize(
    ("names", "ends", "lifetime", "state", "code"),
    [
        (("127.0.0.1", "localhost"), 90, 365, "up", "ok"),
        (("127.0.0.1", "localhost"), 20, 365, "degraded", "expires_soon"),
        (("127.0.0.1", "localhost"), 6, 365, "degraded", "expires_now"),
        (("127.0.0.1", "localhost"), 6, 10, "up", "ok"),
        (("127.0.0.1", "localhost"), -1, 365, "down", "expired"),
        (("127.0.0.1", "localhost"), 400, 365, "down", "not_yet"),
        (("shop.example.com",), 90, 365, "down", "wrong_name"),
    ],
)
async def test_certificates_on_the_way(
    authority: Authority, names: tuple[str, ...], ends: float, lifetime: float, state: str, code: str
) -> None:
    async with serving({"/": well}, tls=authority.serving(*names, ends=ends, lifetime=lifetime)) as port:
        by_address = await seen("http", f"https://127.0.0.1:{port}/", ca_file=authority.file)
        by_name = await seen("http", f"https://localhost:{port}/", ca_file=authority.file)
    assert (by_address.state, by_address.code) == (by_name.state, by_name.code) == (state, code)
    if state != "down":
        assert by_name.facts["certificate_days"] == pytest.approx(ends, abs=0.1)


async def test_a_certificate_near_its_end_takes_a_service_down_only_where_that_is_asked(authority: Authority) -> None:
    async with serving({"/": well}, tls=authority.serving("127.0.0.1", ends=3)) as port:
        found = await seen("http", f"https://127.0.0.1:{port}/", ca_file=authority.file, critical=5)
    assert (found.state, found.code) == ("down", "expires_now")
    assert found.message == "Its certificate ends in 3 days: renew it."


async def test_a_certificate_from_nobody_and_a_server_without_tls(authority: Authority) -> None:
    async with serving({"/": well}, tls=authority.serving("127.0.0.1")) as port:
        untrusted = await seen("http", f"https://127.0.0.1:{port}/")
        plain = await seen("http", f"http://127.0.0.1:{port}/")
    assert (untrusted.state, untrusted.code) == ("down", "untrusted")
    assert "ca_file" in untrusted.message
    assert plain.state == "down"
    async with serving({"/": well}) as port:
        found = await seen("http", f"https://127.0.0.1:{port}/")
    assert (found.state, found.code) == ("down", "tls")
