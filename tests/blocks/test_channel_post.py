"""The way to a channel: whom it trusts, which proxy it takes, and what of this machine it does not send along."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from pydantic import SecretStr

from blocks.teams import TeamsChannel
from core.alerts.message import Answer, Message
from core.errors import ChannelRefused, ChannelUnavailable
from tests.certificates import Authority
from tests.teams_service import SECRET, Teams, teams_service

TOLD = Message("1", "test", "It works")
AWAY = "http://teams.example.invalid"
VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


@pytest.fixture
def teams() -> Iterator[Teams]:
    with teams_service() as service:
        yield service


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def asking_proxy() -> Iterator[str]:
    """A proxy that asks for a login."""

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            self.send_error(407)

        def log_message(self, *_: object) -> None:
            """Not on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://me:pass-word@127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def channel(url: str, proxy: str | None = None, ca_file: Path | None = None) -> TeamsChannel:
    return TeamsChannel(name="a", url=SecretStr(url), timeout=5, proxy=SecretStr(proxy) if proxy else None, ca_file=ca_file)


def away(teams: Teams) -> str:
    """The same address on a host that only a proxy knows."""
    return teams.url().replace(f"http://127.0.0.1:{teams.port}", AWAY)


async def test_a_certificate_is_checked_and_a_ca_file_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    with teams_service(tls=authority.serving("127.0.0.1")) as teams:
        assert teams.url().startswith("https://")
        assert await channel(teams.url(), ca_file=authority.file).send(TOLD) == Answer(202, "")
        # What turns trust off, or gives it to others, in programs that use the same libraries.
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.setenv(name, str(authority.file))
        with pytest.raises(ChannelRefused, match="ca_file") as raised:
            await channel(teams.url()).send(TOLD)
        assert SECRET not in str(raised.value)
        assert len(teams.delivered) == 1


async def test_the_channels_proxy_is_used_and_not_on_the_way_to_this_machine(teams: Teams) -> None:
    proxy = f"http://127.0.0.1:{teams.port}"
    await channel(away(teams), proxy).send(TOLD)
    assert teams.paths[-1].startswith(f"{AWAY}/")
    await channel(teams.url(), "http://127.0.0.1:1").send(TOLD)
    assert teams.paths[-1].startswith("/powerautomate")


async def test_the_environments_proxy_is_used_but_for_what_it_excludes(teams: Teams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{teams.port}")
    await channel(away(teams)).send(TOLD)
    assert teams.paths[-1].startswith(f"{AWAY}/")
    await channel(teams.url()).send(TOLD)
    assert teams.paths[-1].startswith("/powerautomate")
    monkeypatch.setenv("no_proxy", "example.invalid")
    with pytest.raises(ChannelUnavailable, match="the name of its host is not found"):
        await channel(away(teams)).send(TOLD)


async def test_a_proxy_that_fails_is_told_apart_and_not_named(teams: Teams, asking_proxy: str) -> None:
    secure = away(teams).replace("http:", "https:")
    with pytest.raises(ChannelUnavailable, match="the proxy does not let us through") as away_proxy:
        await channel(secure, "http://me:pass-word@127.0.0.1:1").send(TOLD)
    with pytest.raises(ChannelRefused, match="the proxy asks for a login") as asking:
        await channel(secure, asking_proxy).send(TOLD)
    for raised in (away_proxy, asking):
        assert "pass-word" not in str(raised.value)


async def test_no_login_of_this_machine_is_sent_along(teams: Teams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password not-for-teams\n")
    monkeypatch.setenv("NETRC", str(netrc))
    await channel(teams.url()).send(TOLD)
    assert "Authorization" not in teams.headers[-1]
    assert teams.headers[-1]["Content-Type"] == "application/json"
