"""Refuses every connection and every name that is not loopback, and notes who tried, in the file ``OFFLINE_RECORD``.

Each guarded process also notes its number in a file beside that one, so that a quiet process can be told from an unguarded one.

Python imports a module of this name when it starts. An audit hook sees what goes through the ``socket`` module, in C libraries
that use it as well; uvloop does not use it, so its event loop is given the same check.
"""

import os
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any

RECORD = os.environ.get("OFFLINE_RECORD")
WATCHED = {"socket.connect": 1, "socket.sendto": 1, "socket.getaddrinfo": 0, "socket.gethostbyname": 0, "socket.gethostbyaddr": 0}
"""Audit events, and which of their arguments holds the address."""


def is_local(address: object) -> bool:
    """Unix sockets, loopback by number or name, and the wildcard addresses that servers ask about."""
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host is None or not isinstance(host, str) or host in {"", "localhost"} or host.startswith(("/", "\0")):
        return True
    try:
        number = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return number.is_loopback or number.is_unspecified


def check(event: str, address: object) -> None:
    """Raises ``ConnectionRefusedError``, after noting it, where the address is not local."""
    if is_local(address):
        return
    line = f"{os.getpid()} {event} {address!r} by {' '.join(sys.orig_argv)[:200]}\n"
    with Path(str(RECORD)).open("a", encoding="utf-8") as record:
        record.write(line)
    raise ConnectionRefusedError(f"offline: {event} {address!r}")


def hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event in WATCHED:
        check(event, arguments[WATCHED[event]])


def guard_uvloop() -> None:
    try:
        import uvloop  # noqa: PLC0415 - only where the guard is wanted
    except ImportError:
        return
    connect, lookup = uvloop.Loop.create_connection, uvloop.Loop.getaddrinfo

    async def create_connection(loop: Any, factory: Any, host: Any = None, *rest: Any, **options: Any) -> Any:
        check("uvloop.create_connection", host)
        return await connect(loop, factory, host, *rest, **options)

    async def getaddrinfo(loop: Any, host: Any, *rest: Any, **options: Any) -> Any:
        check("uvloop.getaddrinfo", host)
        return await lookup(loop, host, *rest, **options)

    uvloop.Loop.create_connection = create_connection  # type: ignore[method-assign,assignment]
    uvloop.Loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign,assignment]


if RECORD:
    sys.addaudithook(hook)
    guard_uvloop()
    with Path(f"{RECORD}.guarded").open("a", encoding="ascii") as guarded:
        guarded.write(f"{os.getpid()}\n")
