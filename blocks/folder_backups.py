"""A folder, or a single file, that is backed up or restored into."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Event
from typing import IO, ClassVar
from urllib.parse import quote, unquote

from prefect.blocks.core import Block
from pydantic import Field

from blocks.folder_archive import Chunks, Entry, Held, archive, contents, entries, refusal, size_of
from blocks.folder_unpacking import unpack, write
from blocks.own_thread import in_own_thread, put_back
from core.backups.errors import PlaceRefused, RestoreFailed
from core.backups.place import Dump, Fingerprint, Inspection, Part, Stream

TAR, FILE = "tar", "file"
ARCHIVE = "files.tar"


class SavedFolder(Block):
    """A folder or a file to be backed up, or restored into.

    Example:
        Load the saved block and see how much there is:

        ```python
        from blocks.folder_backups import SavedFolder

        folder = await SavedFolder.aload("dify-storage")
        print((await folder.inspect()).size)
        ```
    """

    _block_type_name: ClassVar[str | None] = "Saved Folder"
    _block_type_slug: ClassVar[str | None] = "saved-folder"
    _description: ClassVar[str | None] = "A folder or a file on this machine that is backed up, or restored into."

    name: str = Field(description="What messages call it, such as sources.dify_storage.")
    path: Path = Field(description="The folder or the file.")
    include: tuple[str, ...] = Field(default=(), description="Of the folder's entries only these; all if empty.")
    files: dict[str, Path] = Field(default={}, description="Files from elsewhere, by the name that they get beside those.")
    exclude: tuple[str, ...] = Field(default=(), description="Patterns of names that are left out, such as *.log or cache/*.")
    apart: Path | None = Field(default=None, description="A folder that is never saved: where backups go.")
    fast: bool = Field(default=False, description="Take all cores.")

    async def inspect(self) -> Inspection:
        """See ``Place.inspect``. What does not exist is empty: it may be a target."""
        work = in_own_thread(self._sized, "folder", quiet=not self.fast)
        count, size = await work
        return Inspection("File" if self.path.is_file() else "Folder", None, (), size, not count)

    @asynccontextmanager
    async def dumping(self, inspection: Inspection) -> AsyncGenerator[Dump, None]:
        """See ``Place.dumping``. The fingerprint is made of what is read, while it is read: whole once the part is."""
        if not await asyncio.to_thread(self.path.exists):
            raise PlaceRefused(f"{self.name}: {self.path} does not exist; correct the path.")
        held = Held()
        single = await asyncio.to_thread(self.path.is_file)
        name, form = (_quoted(self.path.name), FILE) if single else (ARCHIVE, TAR)

        @contextmanager
        def opened() -> Iterator[Stream]:
            if single:
                with self._reading() as file:
                    yield file
            else:
                yield Chunks(archive(self._entries(), held))

        if single:
            await asyncio.to_thread(contents, self._entries(), held)
        yield Dump([Part(name, form, opened)], held.fingerprint)

    async def restore(self, part: str, form: str, stream: IO[bytes], only: str | None = None) -> None:
        """See ``Place.restore``. A single file goes into the folder under its own name, or else is the path."""
        if form not in (TAR, FILE):
            raise RestoreFailed(f"{self.name}: a folder cannot take a part of the form {form}.")
        if form == FILE and only not in (None, unquote(part)):
            raise RestoreFailed(f"The backup holds no {only}; it is the single file {unquote(part)}.")
        if form == TAR and self.path.is_file():
            raise RestoreFailed(f"{self.name}: {self.path} is a file and the backup is a folder; name another path.")

        def putting(_stopped: Event) -> None:
            if form == TAR:
                unpack(stream, self.path, only)
            else:
                self._put(stream, unquote(part))

        await put_back(self.name, putting, fast=self.fast)

    async def fingerprint(self, like: Fingerprint) -> Fingerprint:
        """See ``Place.fingerprint``."""
        held = Held()
        await asyncio.to_thread(contents, self._entries(), held)
        return held.fingerprint

    async def clear(self) -> None:
        """See ``Place.clear``. The folder itself stays, and what is not of this place in it."""
        await asyncio.to_thread(self._clear)

    def _entries(self) -> Iterator[Entry]:
        if self.path.is_file():
            yield Entry(self.path, self.path.name, self.path.stat())
            return
        yield from entries(self.path, self.include, self.exclude, self.apart)
        for name, path in sorted(self.files.items()):
            told = (not self.include or name in self.include) and (self.path / name).exists()
            if path.is_file() and not told:
                yield Entry(path, name, path.stat())

    def _sized(self) -> tuple[int, int]:
        return size_of(self._entries())

    @contextmanager
    def _reading(self) -> Iterator[Stream]:
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise refusal(self.path, error) from error
        with file:
            yield file

    def _put(self, stream: IO[bytes], name: str) -> None:
        path = self.path / name if self.path.is_dir() else self.path
        if Path(name).name != name:
            raise RestoreFailed("The backup's file has a name that leads out of the folder; nothing is put there.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(stream, path)
        except OSError as error:
            raise RestoreFailed(f"{path} cannot be written ({error.strerror}).") from error

    def _clear(self) -> None:
        try:
            if self.path.is_file():
                self.path.unlink()
                return
            names = self.include or ([path.name for path in self.path.iterdir()] if self.path.is_dir() else [])
            for name in {*names, *self.files}:
                path = self.path / name
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise RestoreFailed(f"{error.filename or self.path} cannot be removed ({error.strerror}).") from error


def _quoted(name: str) -> str:
    """A file's name as it is safe in a key."""
    plain = quote(name, safe=" ")
    return plain if not plain.startswith(".") else f"%2E{plain[1:]}"
