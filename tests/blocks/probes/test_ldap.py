"""LDAP binds against a real OpenLDAP: over TLS, with the wrong password, and with none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigurationInvalid
from tests.blocks.probes.looking import seen
from tests.blocks.probes.serving import saying
from tests.blocks.probes.slapd import ADMIN, PASSWORD, Slapd, missing, slapd
from tests.certificates import Authority

needs_slapd = pytest.mark.skipif(bool(missing()), reason=missing())
LOGIN: dict[str, Any] = {"username": ADMIN, "password": PASSWORD}


@pytest.fixture(scope="module")
def directory(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with slapd(Path(tmp_path_factory.mktemp("slapd")) / "d", authority.signed("127.0.0.1")) as server:
        yield server


@pytest.fixture(scope="module")
def closed_directory(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """Nobody may come without a name; its certificate is for another one."""
    folder = Path(tmp_path_factory.mktemp("closed")) / "d"
    with slapd(folder, authority.signed("ldap.example.com"), "disallow bind_anon\nrequire bind") as server:
        yield server


@needs_slapd
async def test_a_login_over_tls(directory: Slapd, authority: Authority) -> None:
    for url in (f"ldaps://127.0.0.1:{directory.tls_port}", f"ldap+starttls://127.0.0.1:{directory.port}"):
        found = await seen("ldap", url, ca_file=authority.file, **LOGIN)
        assert (found.state, found.code, found.message) == ("up", "ok", "")
        assert found.seconds is not None


@needs_slapd
async def test_a_wrong_password_is_told_apart_and_not_told(directory: Slapd, authority: Authority) -> None:
    for url in (f"ldaps://127.0.0.1:{directory.tls_port}", f"ldap+starttls://127.0.0.1:{directory.port}"):
        found = await seen("ldap", url, ca_file=authority.file, username=ADMIN, password="hunter2")
        assert (found.state, found.code) == ("down", "login")
        assert "hunter2" not in f"{found}"


@needs_slapd
async def test_a_login_in_the_clear_that_the_server_refuses(directory: Slapd) -> None:
    found = await seen("ldap", f"ldap://127.0.0.1:{directory.port}", **LOGIN)
    assert (found.state, found.code) == ("down", "tls")
    assert "ldap+starttls" in found.message


@needs_slapd
async def test_without_a_username_nobody_logs_in(directory: Slapd, closed_directory: Slapd) -> None:
    assert (await seen("ldap", f"ldap://127.0.0.1:{directory.port}")).state == "up"
    found = await seen("ldap", f"ldap://127.0.0.1:{closed_directory.port}")
    assert (found.state, found.code) == ("down", "login")
    assert "username and password" in found.message


@needs_slapd
@pytest.mark.parametrize("scheme", ["ldaps", "ldap+starttls"])
async def test_certificates_that_do_not_hold(
    directory: Slapd, closed_directory: Slapd, authority: Authority, scheme: str
) -> None:
    def url(server: Slapd) -> str:
        return f"{scheme}://127.0.0.1:{server.tls_port if scheme == 'ldaps' else server.port}"

    assert (await seen("ldap", url(directory), **LOGIN)).code == "untrusted"
    assert (await seen("ldap", url(closed_directory), ca_file=authority.file, **LOGIN)).code == "wrong_name"


@needs_slapd
async def test_a_server_without_a_certificate_for_starttls(directory: Slapd) -> None:
    found = await seen("ldap", f"ldaps://127.0.0.1:{directory.port}", **LOGIN, timeout=1)
    assert found.state == "down"


async def test_an_empty_password_never_gets_to_a_server() -> None:
    with pytest.raises(ConfigurationInvalid, match="username without a password"):
        await seen("ldap", "ldap://cn=admin:@127.0.0.1:1")


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n", b"\x30\x03\x02\x01", b"\x00" * 50, b"\x30\x84\xff\xff\xff\xff", b"0\x05\x34abc"]
)
async def test_garbage_in_place_of_ldap(answer: bytes) -> None:
    async with saying(answer) as port:
        found = await seen("ldap", f"ldap://127.0.0.1:{port}", timeout=1)
    assert found.state == "down"


async def test_what_is_no_directory() -> None:
    async with saying(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        found = await seen("ldap", f"ldap://127.0.0.1:{port}", timeout=2)
    assert found.state == "down"
    async with saying(b"", hang=True) as port:
        found = await seen("ldap", f"ldap://127.0.0.1:{port}", timeout=0.3)
    assert (found.state, found.code) == ("down", "timeout")
    async with saying(b"") as port:
        found = await seen("ldap", f"ldap://127.0.0.1:{port}", timeout=2)
    assert (found.state, found.code) == ("down", "reset")
