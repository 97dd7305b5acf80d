"""From a host's name to its addresses and to a connection, without one slow name server holding up everyone else.

The system's resolver blocks a thread for each name. It has threads of its own here, since the event loop's shared ones are few.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection

THREADS = 32
STAGGER = 0.25
"""Seconds after which the next address is tried beside the one before (RFC 8305)."""
AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]]


async def addresses_of(host: str, port: int) -> list[AddressInfo]:
    """Where to connect to, in the order in which to try. Raises ``socket.gaierror``."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        try:
            found = ask(flags=socket.AI_NUMERICHOST)  # nobody is asked
        except socket.gaierror:
            found = await asyncio.get_running_loop().run_in_executor(_threads(), ask)
    except UnicodeError:  # a label that is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, "not a host's name") from None
    return [(*info[:4], info[4]) for info in found if len(info[4]) in {2, 4} and isinstance(info[4][0], str)]


async def connected(host: str, port: int) -> socket.socket:
    """A connection to one of the host's addresses; the caller closes it. Raises ``OSError``."""
    return await start_connection(await addresses_of(host, port), happy_eyeballs_delay=STAGGER)


def host_and_port(address: str, default: int | None = None) -> tuple[str, int]:
    """Of an address with a scheme. Its port may be left out where there is a ``default``."""
    parts = urlsplit(address)
    port = parts.port or default
    assert parts.hostname is not None
    assert port is not None
    return parts.hostname, port


def shown(host: str, port: int) -> str:
    """``host:port`` as messages name it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="names")
