"""Where a probe may be sent: what answers it must not lead it to this machine itself, nor to what only this machine can reach.

Private networks are where services live and are always open. Every function here is pure; names are resolved by the caller,
who connects to the very addresses that were judged here, so a name that changes its mind in between gains nothing.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Literal

Place = Literal["ordinary", "loopback", "link-local", "metadata"]
METADATA = frozenset(map(ip_address, ("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "168.63.129.16")))
"""Where clouds tell a machine its secrets: AWS, GCP, Azure, OpenStack and ECS tasks; AWS over IPv6; Alibaba; Azure's agent."""
NAT64 = ip_network("64:ff9b::/96")


def place_of(address: str) -> Place:
    """What an IP address leads to. An address within an address counts as the one inside."""
    found = _plain(ip_address(address.partition("%")[0]))
    if found in METADATA:
        return "metadata"
    if found.is_loopback or found.is_unspecified:  # a connection to 0.0.0.0 is one to this machine
        return "loopback"
    return "link-local" if found.is_link_local or found.is_multicast else "ordinary"


def first_hop(host: str, address: str, reach: tuple[str, ...]) -> bool:
    """Whether a service's own address may lead there.

    Whoever configures an IP address means it; a name's owner may turn it to where nobody meant.
    """
    return place_of(address) in {"ordinary", "loopback"} or _is_address(host) or host in reach


def next_hop(host: str, address: str, own: Place, reach: tuple[str, ...]) -> bool:
    """Whether a redirect may lead there; ``own`` is the place of the address that the service itself answered from."""
    place = place_of(address)
    return place in {"ordinary", own} or host in reach


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
