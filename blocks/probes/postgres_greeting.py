"""What a PostgreSQL says to a stranger, before any login: that it is one, and whether it takes sessions at all.

A start-up message of protocol 3.0 is sent, as its documentation has it ("Message Formats"); libpq tells a server's errors only in
the server's own language and without their codes.
"""

import asyncio
import struct
from dataclasses import dataclass

from blocks.probes.names import connected

STARTING, CONNECTIONS = "starting", "connections"
_VERSION = 196_608
_PARAMETERS = b"user\0pilothouse\0database\0postgres\0\0"
_LONGEST = 10_000
_CODES = {"57P03": STARTING, "53300": CONNECTIONS, "57P01": "stopping", "57P02": "stopping"}


class NotPostgres(Exception):
    """Something else answers there."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """``code`` says why no session can begin (``starting``, ``connections``, ``stopping``); None when one can."""

    code: str | None


async def greeted(host: str, port: int) -> Greeting:
    """The greeting of ``host``, or of the socket in the folder of that name. Raises ``OSError`` and ``NotPostgres``."""
    if host.startswith("/"):
        reader, writer = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    else:
        reader, writer = await asyncio.open_connection(sock=await connected(host, port))
    try:
        writer.write(struct.pack("!II", len(_PARAMETERS) + 8, _VERSION) + _PARAMETERS)
        await writer.drain()
        return await _read(reader)
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Greeting:
    try:
        kind, length = struct.unpack("!cI", await reader.readexactly(5))
        if kind not in b"REv" or not 4 <= length <= _LONGEST:
            raise NotPostgres
        if kind != b"E":
            return Greeting(None)
        fields = (await reader.readexactly(length - 4)).split(b"\0")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise NotPostgres from None
        raise ConnectionResetError from None
    code = next((field[1:].decode("ascii", "replace") for field in fields if field.startswith(b"C")), "")
    return Greeting(_CODES.get(code))
