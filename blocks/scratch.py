"""Throwaway places for drills: beside the source on the same server, a temporary folder, or a server for this alone.

Whatever a drill made is gone when it ends; what a killed one left goes when the next begins.
"""

import asyncio
import hashlib
import secrets
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from blocks.folder_backups import SavedFolder
from blocks.postgres_backups import PostgresServer
from blocks.postgres_session import connected
from blocks.redis_backups import RedisServer
from blocks.throwaway_servers import throwaway_postgres, throwaway_valkey
from core.addresses import postgres_url
from core.backups.errors import NoTarget
from core.backups.naming import DRILLS
from core.backups.place import Place
from core.config import Settings
from core.errors import PilothouseError

_MAY_CREATE = "SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"


@runtime_checkable
class HasRoomBeside(Protocol):
    """A place whose server can hold another one for a while."""

    def beside(self, prefix: str) -> AbstractAsyncContextManager[Place]:
        """One of new databases whose names begin so; at the end all such are dropped, whoever made them."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """``own_server``: nothing else lives there, so that roles may be restored too."""

    place: Place
    own_server: bool = False


@asynccontextmanager
async def scratch_for(place: Place, settings: Settings) -> AsyncGenerator[Scratch, None]:
    """An empty place of the same kind, gone at the end. Raises ``NoTarget`` where there is none to be had."""
    home = settings.data_dir / "drills"
    await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
    if isinstance(place, SavedFolder):
        async with _temporary(home) as folder:
            yield Scratch(place.model_copy(update={"path": folder, "include": (), "files": {}}))
    elif isinstance(place, PostgresServer) and not await _may_create(place):
        async with _temporary(home) as folder, throwaway_postgres(folder, settings.database.programs) as url:
            shape = {"name": f"{place.name} (embedded)", "url": url, "ca_file": None, "may_create": True}
            yield Scratch(place.model_copy(update=shape), own_server=True)
    elif isinstance(place, RedisServer):
        async with _temporary(home) as folder, throwaway_valkey(folder, await _product(place)) as url:
            yield Scratch(place.model_copy(update={"name": f"{place.name} (scratch)", "url": url, "ca_file": None}))
    elif isinstance(place, HasRoomBeside):
        ours = f"{DRILLS}{installation(settings)}_"
        async with place.beside(ours):
            pass  # what killed drills left
        async with place.beside(f"{ours}{secrets.token_hex(3)}_") as beside:
            yield Scratch(beside)
    else:
        raise NoTarget("Nothing of this kind can be made for a while to drill in: name a target as the source's drill_target.")


async def _product(place: RedisServer) -> str:
    """``Redis`` or ``Valkey``; a drill works while the source itself is away."""
    with suppress(PilothouseError):
        return (await place.inspect()).server.partition(" ")[0]
    return "Valkey"


async def _may_create(place: PostgresServer) -> bool:
    async with connected(place.name, postgres_url(place.url.get_secret_value()), None, place.ca_file) as connection:
        row = await (await connection.execute(_MAY_CREATE)).fetchone()
    return row == (True,)


@asynccontextmanager
async def _temporary(home: Path) -> AsyncIterator[Path]:
    folder = home / secrets.token_hex(4)
    # As root others may pass through, so that PostgreSQL's user can; what lies in it is closed.
    await asyncio.to_thread(home.mkdir, 0o711, parents=True, exist_ok=True)
    folder.mkdir(0o700)
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def installation(settings: Settings) -> str:
    """A short word, the same in all processes that share our database: no installation drops what another one drills in."""
    url = settings.database.url.get_secret_value() if settings.database.url else str(settings.data_dir)
    return hashlib.sha256(url.rpartition("@")[2].encode()).hexdigest()[:4]
