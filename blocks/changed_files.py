"""The files of a guarded change as they were: kept in a folder of the data directory, and put back from there.

They may hold secrets, as ``.env`` does: nobody else may read them. The folder of a change that was killed stays, with a note.
"""

import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from core.changes import ChangeRunning, FilesNotSaved, Note, SavedFile
from core.errors import NotFound

NOTE, FILES, LOCK = "note.json", "files", "lock"
KEPT = 10
"""Finished changes of one name whose files are kept."""
BEGUN = ".pilothouse-begun"


class SavedFiles:
    """The folder ``home`` (``DIR/changes``) with one folder for each change, by its id."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def folder(self, change_id: str) -> Path:
        return self.home / change_id

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One change at a time on this machine; the system gives it up when the process dies. Raises ``ChangeRunning``."""
        try:
            self.home.mkdir(0o700, parents=True, exist_ok=True)
            handle = os.open(self.home / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FilesNotSaved(f"{self.home} cannot be written ({error.strerror}).") from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ChangeRunning("Another change is being made on this machine; wait for its end.", retry_after=60) from None
            yield
        finally:
            os.close(handle)

    def save(self, note: Note, paths: Sequence[Path]) -> Note:
        """Keep the files as they are, on disk when it returns. Raises ``FilesNotSaved``; then nothing is kept."""
        folder = self.folder(note.id)
        try:
            self.home.mkdir(0o700, parents=True, exist_ok=True)
            folder.mkdir(0o700)
            (folder / FILES).mkdir(0o700)
            files = tuple(_kept(path, folder / FILES, f"{number}-{path.name}") for number, path in enumerate(paths, 1))
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise FilesNotSaved(f"{error.filename or folder} cannot be saved ({error.strerror or error}).") from error
        copies = "; ".join(f"{each.kept} is {each.path}" if each.kept else f"{each.path} was not there" for each in files)
        how = f"To put the files back: pilothouse run guarded_change -p name={note.change} -p undo={note.id} -p dry_run=false"
        done = note.model_copy(update={"files": files, "how": f"{how}. By hand, in {FILES}: {copies or 'none'}."})
        self.write(done)
        return done

    def write(self, note: Note) -> None:
        """Raises ``FilesNotSaved``."""
        try:
            _replace(self.folder(note.id) / NOTE, note.model_dump_json(indent=2).encode(), 0o600)
        except OSError as error:
            raise FilesNotSaved(f"{self.folder(note.id) / NOTE} cannot be written ({error.strerror}).") from error

    def put(self, path: Path, new: Path) -> None:
        """Let a new file take a place, with the rights of the one that is there. Raises ``FilesNotSaved``."""
        try:
            there = path.stat() if path.exists() else new.stat()
            _replace(path, new.read_bytes(), stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid)
        except OSError as error:
            raise FilesNotSaved(f"{new} cannot take the place of {path} ({error.strerror}).") from error

    def put_back(self, note: Note) -> None:
        """All files as they were; each is tried. Raises ``FilesNotSaved`` naming those that are not."""
        wrong = []
        for file in note.files:
            try:
                self._put_back(note.id, file)
            except OSError as error:
                wrong.append(f"{file.path} ({error.strerror or error})")
        if wrong:
            raise FilesNotSaved(f"Not put back: {', '.join(wrong)}; they lie in {self.folder(note.id) / FILES}.")

    def note(self, change_id: str) -> Note:
        """Raises ``NotFound``."""
        try:
            return Note.model_validate_json((self.folder(change_id) / NOTE).read_bytes())
        except (OSError, ValueError, ValidationError):
            raise NotFound(f"No files of a change {change_id} are kept in {self.home}.", field="undo") from None

    def notes(self, change: str) -> list[Note]:
        """Of all changes of this name whose files are kept, the newest first."""
        found = []
        for path in self.home.glob(f"*/{NOTE}"):
            with suppress(NotFound):
                found.append(self.note(path.parent.name))
        return sorted((note for note in found if note.change == change), key=lambda note: note.started_at, reverse=True)

    def tidy(self, change: str) -> None:
        """Of finished changes only the last ``KEPT`` stay."""
        for note in [note for note in self.notes(change) if not note.unfinished][KEPT:]:
            shutil.rmtree(self.folder(note.id), ignore_errors=True)

    def _put_back(self, change_id: str, file: SavedFile) -> None:
        if file.kept is None:
            file.path.unlink(missing_ok=True)
            return
        content = (self.folder(change_id) / FILES / file.kept).read_bytes()
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise OSError(f"the copy {file.kept} was changed")
        _replace(file.path, content, file.mode, file.uid, file.gid)


def _kept(path: Path, folder: Path, name: str) -> SavedFile:
    if not os.path.lexists(path):
        return SavedFile(path=path)
    if not path.is_file():
        raise IsADirectoryError(0, "it is no file: back up folders as a source", str(path))
    content, there = path.read_bytes(), path.stat()
    _replace(folder / name, content, 0o600)
    digest = hashlib.sha256(content).hexdigest()
    return SavedFile(path=path, kept=name, sha256=digest, mode=stat.S_IMODE(there.st_mode), uid=there.st_uid, gid=there.st_gid)


def _replace(path: Path, content: bytes, mode: int, uid: int = -1, gid: int = -1) -> None:
    """The whole file or the old one, whatever happens meanwhile; where ``path`` is a link, what it leads to."""
    real = path.resolve()
    begun = real.with_name(f"{real.name}{BEGUN}")
    begun.unlink(missing_ok=True)
    handle = os.open(begun, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            with suppress(PermissionError):  # not ours to give away
                os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        begun.replace(real)
    except BaseException:
        begun.unlink(missing_ok=True)
        raise
    folder = os.open(real.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
