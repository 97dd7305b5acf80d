"""Files as a process of ours keeps and reads them, wherever they lie."""

import asyncio
from collections.abc import AsyncGenerator
from time import monotonic

import structlog

from blocks.storage import file_links, file_storage
from core.config import Settings
from core.errors import PilothouseError
from core.files import Tidied
from core.keeping import Keeper
from core.store.base import Store
from core.store.files import FileRecord, Files

log = structlog.get_logger(__name__)
PATIENCE = 5.0
"""Seconds that a request waits for a session's files to be deleted."""
LOOK = 2.0
LOOK_EVERY = 5.0


class KeptFiles:
    """The files of this process's settings: the same in the API and in a flow run."""

    def __init__(self, keeper: Keeper, storage: Tidied) -> None:
        self.keeper = keeper
        self._storage = storage
        self._looked: tuple[float, bool] | None = None

    async def find(self, key: str) -> FileRecord:
        """Raises ``NotFound``."""
        return await self.keeper.find(key)

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """See ``ObjectStore.read``."""
        return self.keeper.read(key, start, end)

    async def drop_session(self, session_id: str) -> None:
        """Delete a deleted session's files now, if the store lets us; else ``expire_files`` does it."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.keeper.drop_session(session_id)
        except (PilothouseError, TimeoutError) as error:
            log.warning("files_left_for_the_night", session_id=session_id, reason=type(error).__name__)

    async def serves(self) -> bool:
        """Whether the store answers and takes our credentials; asked at most every five seconds."""
        now = monotonic()
        if self._looked is None or now - self._looked[0] > LOOK_EVERY:
            self._looked = now, await self._answers()
        return self._looked[1]

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(LOOK):
                await self._storage.check()
        except (PilothouseError, TimeoutError):
            return False
        return True


def files_for(settings: Settings, store: Store) -> KeptFiles:
    """Touches neither store nor database yet."""
    limits, storage = settings.files, file_storage(settings)
    links = file_links(settings, storage)
    keeper = Keeper(Files(store), storage, links, days=limits.retention_days, max_bytes=limits.max_bytes)
    return KeptFiles(keeper, storage)
