"""TLS at any port: expired, untrusted and wrong names are told apart, and days left are counted."""

import pytest

from tests.blocks.probes.looking import seen
from tests.blocks.probes.serving import saying
from tests.certificates import Authority


@pytest.mark.parametrize(
    ("names", "ends", "state", "code"),
    [
        (("127.0.0.1",), 90, "up", "ok"),
        (("127.0.0.1",), 20.5, "degraded", "expires_soon"),
        (("127.0.0.1",), 6.5, "down", "expires_now"),
        (("127.0.0.1",), -0.5, "down", "expired"),
        (("smtp.example.com",), 90, "down", "wrong_name"),
    ],
)
async def test_certificates(authority: Authority, names: tuple[str, ...], ends: float, state: str, code: str) -> None:
    async with saying(b"220 mail\r\n", tls=authority.serving(*names, ends=ends)) as port:
        found = await seen("tls", f"tls://127.0.0.1:{port}", ca_file=authority.file)
    assert (found.state, found.code) == (state, code)
    if ends > 0 and code != "wrong_name":
        assert found.facts["certificate_days"] == pytest.approx(ends, abs=0.1)
        assert str(found.facts["tls"]).startswith("TLSv1")


async def test_the_days_that_matter_can_be_set(authority: Authority) -> None:
    async with saying(b"", tls=authority.serving("127.0.0.1", ends=40)) as port:
        found = await seen("tls", f"https://127.0.0.1:{port}", ca_file=authority.file, warn=60, critical=30)
    assert (found.state, found.code, found.message) == ("degraded", "expires_soon", "Its certificate ends in 40 days: renew it.")


async def test_nobody_vouches_for_it(authority: Authority) -> None:
    async with saying(b"", tls=authority.serving("127.0.0.1")) as port:
        found = await seen("tls", f"tls://127.0.0.1:{port}")
    assert (found.state, found.code) == ("down", "untrusted")


async def test_a_server_that_speaks_no_tls_and_one_that_says_nothing() -> None:
    async with saying(b"220 mail ready\r\n") as port:
        found = await seen("tls", f"tls://127.0.0.1:{port}")
    assert (found.state, found.code) == ("down", "tls")
    async with saying(b"", hang=True) as port:
        found = await seen("tls", f"tls://127.0.0.1:{port}", timeout=0.2)
    assert (found.state, found.code) == ("down", "timeout")
    async with saying(b"") as port:
        found = await seen("tls", f"tls://127.0.0.1:{port}")
    assert found.state == "down"
