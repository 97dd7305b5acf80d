"""Objects as plain files in a folder; what is known of one beside it, in a hidden file of the same name."""

import asyncio
import contextlib
import errno
import json
import mimetypes
import os
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from itertools import islice
from pathlib import Path
from time import time
from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field

from core.errors import InputInvalid, NotFound, StoreRefused, StoreUnavailable
from core.files import ListedObject, StoredObject

SEGMENT = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]{0,199}")
"""One part of a key: never hidden, never ``..``."""
CHUNK = 256 * 1024
PAGE = 1000
MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})
PERMANENT = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.ENAMETOOLONG,
        errno.EEXIST,
        errno.ENOTDIR,
        errno.EISDIR,
    }
)
BEGUN = ".begun-"
"""How a file is called until it is whole."""
NOTED = ".json"


class ObjectFolder(Block):
    """A folder that holds objects by key.

    Example:
        Load the saved block and keep a text in it:

        ```python
        from blocks.storage_folder import ObjectFolder

        folder = await ObjectFolder.aload("files")
        await folder.put("notes/hello.txt", b"hello", "text/plain", "hello.txt")
        ```
    """

    _block_type_name: ClassVar[str | None] = "Object Folder"
    _block_type_slug: ClassVar[str | None] = "object-folder"
    _description: ClassVar[str | None] = "A folder on this machine, or one that several share, for files, charts and backups."

    folder: Path = Field(description="Where the objects lie; made when the first one comes.")

    async def put(self, key: str, data: bytes | AsyncIterator[bytes], media_type: str, name: str) -> int:
        """See ``ObjectStore.put``. On disk when it returns."""
        path = self._path(key)
        if path is None:
            raise InputInvalid("A key has parts between slashes, none of them hidden, empty or over 200 characters.")
        beginning = asyncio.get_running_loop().run_in_executor(None, self._begin, path)
        try:
            begun = await asyncio.shield(beginning)
        except asyncio.CancelledError:  # the thread goes on
            beginning.add_done_callback(_abandon_later)
            raise
        try:
            if isinstance(data, bytes):
                await asyncio.to_thread(_write, begun, data)
            else:
                async for chunk in data:
                    await asyncio.to_thread(_write, begun, chunk)
            return await asyncio.to_thread(_finish, begun, path, {"type": media_type, "name": name})
        except BaseException:
            _abandon(begun)
            raise

    async def head(self, key: str) -> StoredObject:
        """See ``ObjectStore.head``."""
        return await asyncio.to_thread(self._head, key)

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """See ``ObjectStore.read``."""
        left = float("inf") if end is None else end - start
        opening = asyncio.get_running_loop().run_in_executor(None, self._open, key, start, int(min(CHUNK, left)))
        try:
            file, chunk = await asyncio.shield(opening)
        except asyncio.CancelledError:  # the thread goes on
            opening.add_done_callback(_close_later)
            raise
        try:
            while chunk:
                left -= len(chunk)
                yield chunk
                chunk = await asyncio.to_thread(file.read, int(min(CHUNK, left))) if left > 0 else b""
        finally:
            file.close()

    async def list(self, prefix: str = "") -> AsyncGenerator[Sequence[ListedObject], None]:
        """See ``ObjectStore.list``."""
        found = self._walk(prefix)
        while page := await asyncio.to_thread(self._page, found):
            yield page

    async def remove(self, keys: Sequence[str]) -> None:
        """See ``ObjectStore.remove``."""
        await asyncio.to_thread(self._delete, keys)

    async def tidy(self, hours: float) -> int:
        """See ``Tidied.tidy``."""
        return await asyncio.to_thread(self._tidy, time() - hours * 3600)

    async def check(self) -> None:
        """See ``Tidied.check``: the folder can be written."""
        await asyncio.to_thread(self._check)

    def _path(self, key: str) -> Path | None:
        """Where the object of that key lies; None for what cannot be a key."""
        parts = key.split("/")
        return self.folder.joinpath(*parts) if len(parts) <= 20 and all(map(SEGMENT.fullmatch, parts)) else None

    def _known(self, key: str) -> Path:
        path = self._path(key)
        if path is None:
            raise NotFound("There is no object of that key.")
        return path

    def _begin(self, path: Path) -> "_Begun":
        with _in_our_words(self.folder, writing=True):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            place = path.with_name(f"{BEGUN}{secrets.token_hex(8)}")
            return _Begun(place, FileIO(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"))

    def _head(self, key: str) -> StoredObject:
        path = self._known(key)
        with _in_our_words(self.folder):
            stat = path.stat()
        if not path.is_file():
            raise NotFound("There is no object of that key.")
        noted = _noted(path)
        guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        modified = datetime.fromtimestamp(stat.st_mtime, UTC)
        return StoredObject(key, stat.st_size, noted.get("type", guessed), noted.get("name", path.name), modified)

    def _open(self, key: str, start: int, size: int) -> tuple[FileIO, bytes]:
        """The file and its first chunk, in one go: most are small."""
        path = self._known(key)
        with _in_our_words(self.folder):
            file = FileIO(path, "r")
            try:
                file.seek(start)
                return file, file.read(size) or b""
            except BaseException:
                file.close()
                raise

    def _walk(self, prefix: str) -> Iterator[ListedObject]:
        for folder, folders, names in os.walk(self.folder, onerror=_unless_missing):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                key = path.relative_to(self.folder).as_posix()
                if name.startswith(".") or not key.startswith(prefix):
                    continue
                with contextlib.suppress(FileNotFoundError):  # deleted since
                    stat = path.stat()
                    yield ListedObject(key, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))

    def _page(self, found: Iterator[ListedObject]) -> Sequence[ListedObject]:
        with _in_our_words(self.folder, writing=True):
            return list(islice(found, PAGE))

    def _delete(self, keys: Sequence[str]) -> None:
        for path in filter(None, map(self._path, keys)):
            with _in_our_words(self.folder), contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
            with contextlib.suppress(OSError):
                _beside(path).unlink()

    def _tidy(self, before: float) -> int:
        gone = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = Path(folder, name)
                noted_only = name.startswith(".") and name.endswith(NOTED) and not path.with_name(name[1 : -len(NOTED)]).exists()
                if name.startswith(BEGUN) or noted_only:
                    with contextlib.suppress(OSError):
                        if path.stat().st_mtime < before:
                            path.unlink()
                            gone += 1
        return gone

    def _check(self) -> None:
        with _in_our_words(self.folder, writing=True):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@dataclass(frozen=True, slots=True)
class _Begun:
    """A file being written, under a name that nobody lists."""

    place: Path
    file: FileIO


def _write(begun: _Begun, data: bytes) -> None:
    rest = memoryview(data)
    with _in_our_words(begun.place.parent, writing=True):
        while rest:
            rest = rest[begun.file.write(rest) or 0 :]


def _finish(begun: _Begun, path: Path, noted: Mapping[str, str]) -> int:
    """What is noted comes first: an object that can be seen is complete."""
    with _in_our_words(path.parent, writing=True):
        os.fsync(begun.file.fileno())
        size = begun.file.tell()
        begun.file.close()
        beside = begun.place.with_name(begun.place.name + "-noted")
        beside.write_text(json.dumps(noted), encoding="utf-8")
        beside.replace(_beside(path))
        begun.place.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return size


def _abandon_later(beginning: "asyncio.Future[_Begun]") -> None:
    if not beginning.cancelled() and beginning.exception() is None:
        _abandon(beginning.result())


def _abandon(begun: _Begun) -> None:
    begun.file.close()
    begun.place.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}{NOTED}")


def _noted(path: Path) -> dict[str, str]:
    """Type and name; empty where a crash or someone else left none."""
    try:
        found = json.loads(_beside(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _close_later(opening: "asyncio.Future[tuple[FileIO, bytes]]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].close()


def _unless_missing(error: OSError) -> None:
    """A folder that nobody has written to yet lists nothing; any other that cannot be read must not look empty."""
    if not isinstance(error, FileNotFoundError):
        raise error


@contextmanager
def _in_our_words(folder: Path, *, writing: bool = False) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in MISSING and not writing:
            raise NotFound("There is no object of that key.") from error
        if error.errno in PERMANENT:
            what = f"{folder} cannot be used ({error.strerror})"
            raise StoreRefused(f"{what}: make room there, or give this user the right to it.") from error
        raise StoreUnavailable(f"{folder} does not answer ({error.strerror}).", retry_after=5) from error
