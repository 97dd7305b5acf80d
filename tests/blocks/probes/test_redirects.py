"""Redirects and proxies: where a probe lets itself be sent, and where it does not."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from aiohttp import web

from tests.blocks.probes.looking import seen
from tests.blocks.probes.serving import serving
from tests.certificates import Authority

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class Inner:
    """A server on loopback that counts who has come."""

    def __init__(self, port: int, seen: list[web.Request]) -> None:
        self.port, self.seen = port, seen


@pytest.fixture
async def inner() -> AsyncGenerator[Inner, None]:
    came: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        came.append(request)
        return web.Response(text="inner")

    async with serving({"/{tail:.*}": handler}) as port:
        yield Inner(port, came)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def to(location: str, status: int = 302) -> Callable[[web.Request], Any]:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": location})

    return handler


async def test_redirects_are_followed_to_their_end(inner: Inner) -> None:
    routes = {"/": to("/here"), "/here": to(f"http://127.0.0.1:{inner.port}/there", 307)}
    async with serving(routes) as port:
        found = await seen("http", f"http://127.0.0.1:{port}/", status="200", contains="inner")
        kept = await seen("http", f"http://127.0.0.1:{port}/", status="302", redirects=False)
    assert (found.state, kept.state) == ("up", "up")
    assert [request.path for request in inner.seen] == ["/there"]


async def test_secrets_stay_with_the_service_that_they_are_for(inner: Inner) -> None:
    own: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        own.append(request)
        return web.Response(status=302, headers={"Location": "/x" if len(own) == 1 else f"http://127.0.0.1:{inner.port}/"})

    async with serving({"/{tail:.*}": handler}) as port:
        await seen("http", f"http://127.0.0.1:{port}/", headers={"X-Key": "k"}, username="u", password="p")
    assert [("X-Key" in request.headers, "Authorization" in request.headers) for request in own] == [(True, True), (True, True)]
    (came,) = inner.seen
    assert "X-Key" not in came.headers
    assert "Authorization" not in came.headers


async def test_a_circle_ends(inner: Inner) -> None:
    async with serving({"/": to("/")}) as port:
        found = await seen("http", f"http://127.0.0.1:{port}/")
    assert (found.state, found.code) == ("down", "redirect")
    assert "more than 10 times" in found.message


@pytest.mark.parametrize("location", ["http://", "ftp://127.0.0.1/", "javascript:alert(1)", "http://[::1", "http://x:99999/"])
async def test_a_redirect_to_what_is_no_address(location: str) -> None:
    async with serving({"/": to(location)}) as port:
        found = await seen("http", f"http://127.0.0.1:{port}/")
    assert (found.state, found.code) == ("down", "redirect")


async def test_a_redirect_to_what_does_not_answer_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    async with serving({"/": to(f"http://127.0.0.1:{closed}/secret-path")}) as port:
        found = await seen("http", f"http://127.0.0.1:{port}/")
    assert (found.state, found.code) == ("down", "refused")
    assert found.message.startswith(f"what 127.0.0.1:{port} redirects to refused")
    assert "secret-path" not in found.message


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[::ffff:a9fe:a9fe]/"]
)
async def test_a_service_on_loopback_cannot_lead_to_link_local_addresses(target: str) -> None:
    async with serving({"/": to(target)}) as port:
        found = await seen("http", f"http://127.0.0.1:{port}/", timeout=2)
    assert (found.state, found.code) == ("down", "redirect")
    assert "sweeps.reach" in found.message


LOOPBACK = ("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0.0.0.0", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]")


@pytest.mark.parametrize("host", LOOPBACK)
async def test_a_service_elsewhere_cannot_lead_to_this_machine(host: str, inner: Inner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way to the service is a proxy's; what it redirects to would be reached directly."""
    async with serving({"/{tail:.*}": to(f"http://{host}:{inner.port}/admin")}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy}")
        found = await seen("http", "http://shop.example.com/")
    assert (found.state, found.code) == ("down", "redirect")
    assert found.message.startswith("It sends on to a loopback address")
    assert inner.seen == []


async def test_unless_the_host_is_named(inner: Inner, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving({"/{tail:.*}": to(f"http://127.0.0.1:{inner.port}/admin")}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy}")
        found = await seen("http", "http://shop.example.com/", {"reach": ["127.0.0.1"]}, contains="inner")
    assert found.state == "up"
    assert len(inner.seen) == 1


class Names:
    """Name servers of our own: each name's answers in their order, the last one for ever."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers, self.asked = {name.replace("_", "."): list(those) for name, those in answers.items()}, list[str]()
        self._system = socket.getaddrinfo

    def getaddrinfo(self, host: str, port: int, *more: Any, **named: Any) -> Any:
        if host in self.answers and not named.get("flags", 0) & socket.AI_NUMERICHOST:
            self.asked.append(host)
            known = self.answers[host]
            host = known.pop(0) if len(known) > 1 else known[0]
        return self._system(host, port, *more, **named)


async def test_a_name_that_changes_its_mind_gains_nothing(inner: Inner, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(evil_test=["192.0.2.1", "127.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    async with serving({"/{tail:.*}": to(f"http://evil.test:{inner.port}/")}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy}")
        monkeypatch.setenv("NO_PROXY", "evil.test")
        found = await seen("http", "http://shop.example.com/", timeout=0.5)
    assert found.state != "up"
    assert names.asked.count("evil.test") == 1
    assert inner.seen == []


async def test_a_name_that_leads_to_metadata_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Names(evil_test=["169.254.169.254"]).getaddrinfo)
    found = await seen("http", "http://evil.test/", timeout=0.5)
    assert (found.state, found.code) == ("down", "address")
    assert "metadata" in found.message


async def test_of_several_addresses_those_are_used_that_may_be(inner: Inner, monkeypatch: pytest.MonkeyPatch) -> None:
    system = socket.getaddrinfo

    def both(host: str, port: int, *more: Any, **named: Any) -> Any:
        if host != "two.test":
            return system(host, port, *more, **named)
        if named.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "a name")
        return [*system("169.254.169.254", port, *more, **named), *system("127.0.0.1", port, *more, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    assert (await seen("http", f"http://two.test:{inner.port}/", contains="inner")).state == "up"


async def test_proxies_are_for_other_machines_and_may_be_left_out(inner: Inner, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        lines.append(request.raw_path)
        return web.Response(text="proxied")

    async with serving({"/{tail:.*}": handler}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy}")
        assert (await seen("http", "http://shop.invalid/health", contains="proxied")).state == "up"
        assert (await seen("http", f"http://127.0.0.1:{inner.port}/", contains="inner")).state == "up"
        monkeypatch.setenv("NO_PROXY", "shop.invalid")
        assert (await seen("http", "http://shop.invalid/health")).code == "name"
    assert lines == ["http://shop.invalid/health"]


async def test_a_proxy_that_is_away_is_not_the_service_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://user:hunter2@127.0.0.1:{port}")
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{port}")
    for scheme in ("http", "https"):
        found = await seen("http", f"{scheme}://shop.invalid/")
        assert (found.state, found.code) == ("unreachable", "proxy")
        assert "hunter2" not in found.message


async def test_a_certificate_is_looked_at_through_a_proxy(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy connects to where the tests' server is, whatever the name; what it is asked for is the name."""
    asked: list[bytes] = []

    async def well(request: web.Request) -> web.Response:
        return web.Response(text="through")

    async with serving({"/": well}, tls=authority.serving("shop.invalid", ends=20)) as port:

        async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
            inward, outward = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_carried(reader, outward), _carried(inward, writer), return_exceptions=True)

        async with await asyncio.start_server(tunnel, "127.0.0.1") as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
            found = await seen("http", "https://shop.invalid/", contains="through", ca_file=authority.file)
            other = await seen("http", "https://other.invalid/", ca_file=authority.file)
    assert (found.state, found.code) == ("degraded", "expires_soon")
    assert other.code == "wrong_name"
    assert asked == [b"CONNECT shop.invalid:443 HTTP/1.1", b"CONNECT other.invalid:443 HTTP/1.1"]


async def _carried(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
