"""Keeping files: a row that says whose it is and until when, the bytes in an object store, a link for readers."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from core.errors import NotFound, ToolFailed
from core.files import KEY, Links, ObjectStore, new_key, shown_name
from core.store.files import FileRecord, Files
from core.tools.tool import File


@dataclass(frozen=True, slots=True, eq=False)
class Keeping:
    """A file on its way to the store; tried again it is the same file. Shown without what would open it."""

    key: str
    file: File
    session_id: str | None
    tool_run_id: str | None

    def __str__(self) -> str:
        return f"file-{self.key[:6]}"


class Keeper:
    """The files of one installation. A file without a session is kept for ``days``."""

    def __init__(self, rows: Files, objects: ObjectStore, links: Links, *, days: float, max_bytes: int) -> None:
        self._rows = rows
        self._objects = objects
        self._links = links
        self._days = days
        self._max_bytes = max_bytes

    def taken(self, file: File, session_id: str | None = None, tool_run_id: str | None = None) -> Keeping:
        """The file under a new key. Raises ``ToolFailed`` when it is too large."""
        if len(file.data) > self._max_bytes:
            raise ToolFailed(f"The file has {len(file.data)} bytes, files.max_bytes allows {self._max_bytes}: make it smaller.")
        return Keeping(new_key(file.name), file, session_id, tool_run_id)

    async def keep(self, kept: Keeping) -> str:
        """Its URL, once it is stored. Raises ``StoreUnavailable``, ``StoreRefused``, ``DatabaseUnavailable``, and
        ``NotFound`` when its session ended meanwhile.

        The row comes first, so that nothing lies in the store that no row knows; one whose bytes never came expires as any.
        """
        file, name = kept.file, shown_name(kept.file.name)
        await self._rows.add(
            kept.key,
            name=name,
            media_type=file.media_type,
            size=len(file.data),
            days=self._days,
            session_id=kept.session_id,
            tool_run_id=kept.tool_run_id,
        )
        await self._objects.put(kept.key, file.data, file.media_type, name)
        if kept.session_id is not None and not await self._rows.known([kept.key]):
            await self._objects.remove([kept.key])
            raise NotFound("The conversation that the file was made for was deleted.")
        return await self._links.url(kept.key)

    async def find(self, key: str) -> FileRecord:
        """The file of that key. Raises ``NotFound``, for what cannot be a key before any query."""
        if KEY.fullmatch(key) is None:
            raise NotFound("There is no such file, or no longer.")
        return await self._rows.get(key)

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """See ``ObjectStore.read``."""
        return self._objects.read(key, start, end)

    async def drop_session(self, session_id: str) -> int:
        """Delete a session's files; how many. What fails is left with its rows, for the nightly run."""
        gone = 0
        while keys := await self._rows.of_session(session_id):
            await self._objects.remove(keys)
            await self._rows.forget(keys)
            gone += len(keys)
        return gone
