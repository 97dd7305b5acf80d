"""ICMP, where the kernel lets this process send echo requests."""

import socket

import pytest

from blocks.probes.icmp import HOW
from tests.blocks.probes.looking import seen


def allowed() -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
        except OSError:
            continue
        return True
    return False


@pytest.mark.parametrize("url", ["icmp://127.0.0.1", "icmp://localhost"])
async def test_a_host_that_answers(url: str) -> None:
    found = await seen("icmp", url)
    if allowed():
        assert (found.state, found.facts) == ("up", {"lost_percent": 0})
        assert found.seconds is not None
    else:
        assert (found.state, found.code, found.message) == ("unreachable", "not_allowed", HOW)


async def test_a_name_that_nobody_knows() -> None:
    found = await seen("icmp", "icmp://no-such-host.invalid")
    assert (found.state, found.code) == ("down", "name")


async def test_a_process_without_the_right_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's own refusal, as a process of no privileged user and group gets it."""

    def refused(*_: object, **__: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("icmplib.sockets.socket.socket", refused)
    found = await seen("icmp", "icmp://127.0.0.1")
    assert (found.state, found.code, found.message) == ("unreachable", "not_allowed", HOW)
