"""Ports on this machine: taken early, so that a taken one is told before anything starts; and a look whether a server answers."""

import asyncio
import errno
import socket
import ssl

from core.errors import PartMissing

_BACKLOG = 2048
_TIMEOUT = 2.0
_READ = 65536


def listening(host: str, port: int, option: str = "--port") -> socket.socket:
    """A listening socket. What connects before the API is there waits. Raises ``PartMissing`` naming the option to change."""
    bound = _bound(host, port, option)
    bound.listen(_BACKLOG)
    return bound


def checked_port(host: str, port: int, option: str) -> int:
    """The port, after making sure that it is free now; a free one for 0. Raises ``PartMissing`` as ``listening`` does."""
    with _bound(host, port, option) as bound:
        return int(bound.getsockname()[1])


def _bound(host: str, port: int, option: str) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise PartMissing(f"There is no address {host} on this machine: choose another with --host.") from error
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError as error:
        made.close()
        raise PartMissing(_explained(error, host, port, option)) from error
    return made


def _explained(error: OSError, host: str, port: int, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken: stop what uses it, or choose another with {option}."
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than this user has: choose one above 1023 with {option}."
    return f"{host} cannot be listened on ({error.strerror}): choose another with --host."


async def get(host: str, port: int, path: str, headers: dict[str, str] | None = None, *, tls: bool = False) -> tuple[int, bytes]:
    """Status and body of one small GET to a server of ours; status 0 where none answered in time.

    Written out because an HTTP library would take longer to import than all else that ``up`` does itself.
    """
    lines = [f"GET {path} HTTP/1.0", f"Host: {host}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    context = ssl._create_unverified_context() if tls else None  # noqa: S323 - our own port, asked only whether it answers
    try:
        async with asyncio.timeout(_TIMEOUT):
            reader, writer = await asyncio.open_connection(host.strip("[]"), port, ssl=context)
            try:
                writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
                head, _, body = (await reader.read(_READ)).partition(b"\r\n\r\n")
                while more := await reader.read(_READ):
                    body += more
            finally:
                writer.close()
        return int(head.split(b" ", 2)[1]), body
    except (OSError, TimeoutError, ValueError, IndexError):
        return 0, b""
