"""DNS: names by this machine's resolver, and by a name server of the tests that is asked directly."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import dns.message
import dns.rcode
import dns.rrset
import pytest

from tests.blocks.probes.looking import seen

ZONE = {"shop.test.": "10.1.2.3"}


class NameServer(asyncio.DatagramProtocol):
    """Answers from ``ZONE``; ``broken.test`` is answered with a failure, ``mute.test`` never."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override] # it is one
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = dns.message.from_wire(data)
        (asked,) = question.question
        name, answer = asked.name.to_text(), dns.message.make_response(question)
        if name == "mute.test.":
            return
        if name == "broken.test.":
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif name not in ZONE:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif asked.rdtype == 1:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "A", ZONE[name]))
        self.transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def name_server() -> AsyncGenerator[int, None]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@pytest.mark.parametrize(
    ("name", "address", "state", "code"),
    [
        ("shop.test", None, "up", "ok"),
        ("shop.test", "10.1.2.3", "up", "ok"),
        ("shop.test", "10.9.9.9", "down", "address"),
        ("gone.test", None, "down", "name"),
        ("broken.test", None, "down", "refused"),
        ("mute.test", None, "down", "timeout"),
    ],
)
async def test_a_name_server_that_is_asked_directly(name: str, address: str | None, state: str, code: str) -> None:
    async with name_server() as port:
        found = await seen("dns", f"dns://127.0.0.1:{port}/{name}", address=address, timeout=0.5 if code == "timeout" else 10)
    assert (found.state, found.code) == (state, code)
    if state == "up":
        assert found.facts == {"addresses": 1}


async def test_this_machine_s_own_resolver() -> None:
    assert (await seen("dns", "dns://localhost", address="127.0.0.1")).state == "up"
    found = await seen("dns", "dns://no-such-host.invalid")
    assert (found.state, found.code) == ("down", "name")
    assert "the resolver of this machine" in found.message
    assert (await seen("dns", f"dns://{'x' * 70}.invalid")).code == "name"
