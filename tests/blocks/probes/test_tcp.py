"""TCP: what a port says by taking a connection, or by not."""

import asyncio
import socket
from pathlib import Path

import pytest

from blocks.probes.choosing import probe_of
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation


async def seen(tmp_path: Path, url: str, **more: object) -> Observation:
    service = ServiceSettings.model_validate({"check": "tcp", "url": url, **more})
    return await probe_of("port", service, Settings(data_dir=tmp_path)).look()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_a_port_that_listens_is_up(tmp_path: Path, host: str) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), host.strip("[]"))
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await seen(tmp_path, f"tcp://{host}:{port}")
    assert (found.state, found.code, found.message) == ("up", "ok", "")
    assert found.seconds is not None
    assert 0 < found.seconds < 5


async def test_a_closed_port_is_down(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = await seen(tmp_path, f"tcp://127.0.0.1:{port}")
    assert (found.state, found.code) == ("down", "refused")
    assert found.message == f"127.0.0.1:{port} refused the connection: is it running, and listening there?"


async def test_a_name_that_nobody_knows_is_told_apart(tmp_path: Path) -> None:
    found = await seen(tmp_path, "tcp://no-such-host.invalid:80")
    assert (found.state, found.code) == ("down", "name")
    assert "no-such-host.invalid" in found.message


async def test_a_port_that_takes_no_connection_is_waited_for_no_longer_than_allowed(tmp_path: Path) -> None:
    """A full queue of connections that nobody accepts drops further ones, as a firewall does."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            found = await seen(tmp_path, f"tcp://127.0.0.1:{port}", timeout=0.3)
    assert (found.state, found.code) == ("down", "timeout")
    assert "within 0.3 s" in found.message


async def test_a_slow_port_is_degraded(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1")
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await seen(tmp_path, f"tcp://127.0.0.1:{port}", slow=0.000001)
    assert (found.state, found.code) == ("degraded", "slow")
    assert found.seconds is not None
