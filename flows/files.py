"""Files as a process of ours keeps and reads them, wherever they lie."""

from collections.abc import AsyncGenerator

from blocks.storage import file_links, file_storage
from core.config import Settings
from core.keeping import Keeper
from core.store.base import Store
from core.store.files import FileRecord, Files
from core.tools.tool import File
from tasks.files import keep_file


class KeptFiles:
    """The files of this process's settings: the same in the API and in a flow run."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper

    async def keep(self, file: File, session_id: str | None = None, tool_run_id: str | None = None) -> str:
        """Keep a file as a task run of the run around it, if there is one; its public URL.

        One with a session lives as long as the session, any other for ``files.retention_days``. Raises ``ToolFailed`` when it is
        too large, ``StoreUnavailable``, ``StoreRefused``, ``DatabaseUnavailable``, ``NotFound`` when the session ended meanwhile.
        """
        return await keep_file(self.keeper, self.keeper.taken(file, session_id, tool_run_id))

    async def find(self, key: str) -> FileRecord:
        """Raises ``NotFound``."""
        return await self.keeper.find(key)

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """See ``ObjectStore.read``."""
        return self.keeper.read(key, start, end)


def files_for(settings: Settings, store: Store) -> KeptFiles:
    """Touches neither store nor database yet."""
    limits, storage = settings.files, file_storage(settings)
    links = file_links(settings, storage)
    return KeptFiles(
        Keeper(Files(store), storage, links, days=limits.retention_days, max_bytes=limits.max_bytes),
    )
