"""Where probes may be sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.sweeps.reaching import first_hop, next_hop, place_of


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.0.9", "loopback"),
        ("0.0.0.0", "loopback"),
        ("::", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("169.254.10.20", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("::ffff:169.254.10.20", "link-local"),
        ("224.0.0.1", "link-local"),
        ("169.254.169.254", "metadata"),
        ("::ffff:a9fe:a9fe", "metadata"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("10.0.0.1", "ordinary"),
        ("172.16.5.4", "ordinary"),
        ("192.168.1.1", "ordinary"),
        ("fd12::1", "ordinary"),
        ("93.184.216.34", "ordinary"),
    ],
)
def test_what_addresses_lead_to(address: str, place: str) -> None:
    assert place_of(address) == place


@given(st.ip_addresses(v=4))
def test_an_address_within_another_leads_where_it_does_itself(address: object) -> None:
    assert place_of(f"::ffff:{address}") == place_of(str(address))


def test_a_service_may_be_anywhere_that_its_address_says() -> None:
    assert first_hop("169.254.169.254", "169.254.169.254", ())
    assert first_hop("db", "10.0.0.1", ())
    assert first_hop("localhost", "127.0.0.1", ())


def test_a_name_may_not_turn_to_where_nobody_meant() -> None:
    assert not first_hop("shop.example.com", "169.254.169.254", ())
    assert not first_hop("shop.example.com", "169.254.1.1", ())
    assert first_hop("metadata.internal", "169.254.169.254", ("metadata.internal",))


def test_redirects_stay_among_services() -> None:
    assert next_hop("other", "10.0.0.2", "ordinary", ())
    for address in ("127.0.0.1", "169.254.1.1", "169.254.169.254", "::ffff:127.0.0.1"):
        assert not next_hop("other", address, "ordinary", ())
        assert next_hop("other", address, "ordinary", ("other",))


def test_a_service_of_this_machine_may_redirect_within_it_and_no_further() -> None:
    assert next_hop("127.0.0.1", "127.0.0.1", "loopback", ())
    assert not next_hop("169.254.169.254", "169.254.169.254", "loopback", ())
    assert not next_hop("169.254.169.254", "169.254.169.254", "link-local", ())
