"""A PostgreSQL for one drill, as a process of its own that ends with us."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from json import JSONDecodeError, loads
from pathlib import Path

from pydantic import SecretStr

from core.backups.errors import PlaceUnavailable

PROGRAM = "deployments.throwaway_postgres"
"""Starts the server, says where it is, and ends it when its input ends: also when we are killed."""
START = 90.0
STOP = 40.0


@asynccontextmanager
async def throwaway_postgres(folder: Path, programs: Path | None) -> AsyncGenerator[SecretStr, None]:
    """The superuser's address of a new, empty server in ``folder``. Raises ``PlaceUnavailable`` when it does not start."""
    arguments = [sys.executable, "-m", PROGRAM, str(folder), *([str(programs)] if programs else [])]
    process = await asyncio.create_subprocess_exec(*arguments, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START):
            said = await process.stdout.readline()
        yield _address(said)
    except TimeoutError:
        raise PlaceUnavailable(f"The embedded PostgreSQL to drill in did not start within {START:.0f} s.") from None
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _address(said: bytes) -> SecretStr:
    try:
        told = loads(said)
        if "url" in told:
            return SecretStr(told["url"])
        raise PlaceUnavailable(f"The embedded PostgreSQL to drill in did not start: {told['error']}")
    except (JSONDecodeError, KeyError, TypeError):
        raise PlaceUnavailable("The embedded PostgreSQL to drill in did not start; is its wheel installed (PG_BIN)?") from None
