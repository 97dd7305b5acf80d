"""A tar stream back into a folder: never outside of it, never through a link, each file whole under its name or not there."""

import contextlib
import os
import secrets
import shutil
import stat
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from core.backups.errors import RestoreFailed

CHUNK = 1 << 20


def unpack(stream: IO[bytes], folder: Path, only: str | None = None) -> int:
    """Put what the archive holds into the folder, blocking; how many entries.

    ``only`` is the name of one file or folder of it. Links are made last, so that nothing is written through them. Owners are
    kept where we are root. Raises ``RestoreFailed``, and what reading raises.
    """
    count = 0
    links: list[tarfile.TarInfo] = []
    folders: list[tuple[Path, tarfile.TarInfo]] = []
    try:
        _make(folder)
        with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as tar:
            for member in tar:
                if only is not None and member.name != only.strip("/") and not member.name.startswith(f"{only.strip('/')}/"):
                    continue
                count += 1
                path = _inside(folder, member.name)
                if member.issym():
                    links.append(member)
                elif member.isdir():
                    _make(path)
                    folders.append((path, member))
                elif member.isfile() and (content := tar.extractfile(member)) is not None:
                    _make(path.parent)
                    write(content, path, member)
                else:
                    raise RestoreFailed(f"{member.name} is neither a file, a folder nor a link: such is not put back.")
        for link in links:
            _link(_inside(folder, link.name), link)
        for path, member in reversed(folders):
            _dress(path, member)
    except tarfile.TarError as error:
        raise RestoreFailed(f"The archive of {folder.name} cannot be read ({error}).") from error
    except OSError as error:
        raise RestoreFailed(f"{error.filename or folder} cannot be written ({error.strerror}).") from error
    if only is not None and not count:
        raise RestoreFailed(f"The backup holds no {only}.")
    return count


def write(content: IO[bytes], path: Path, member: tarfile.TarInfo | None = None) -> None:
    """One file, in place of an older one once it is whole. Without ``member`` nobody else may read a new one."""
    begun = path.with_name(f".begun-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            shutil.copyfileobj(content, file, CHUNK)
            file.flush()
            os.fsync(file.fileno())
        if member is not None:
            _dress(begun, member)
        elif path.is_file() and not path.is_symlink():
            begun.chmod(stat.S_IMODE(path.stat().st_mode))
        begun.replace(path)
    except BaseException:
        begun.unlink(missing_ok=True)
        raise


def _inside(folder: Path, name: str) -> Path:
    """Where an entry belongs. Raises ``RestoreFailed`` for one that leads elsewhere, by its name or by a link on its way."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise RestoreFailed("The archive holds a name that leads out of the folder; nothing is put there.")
    path = folder
    for part in parts[:-1]:
        path /= part
        if path.is_symlink():
            raise RestoreFailed(f"{path} is a link; what belongs behind it is not put there: remove the link first.")
    return path / parts[-1]


def _make(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.mkdir(mode=0o700, parents=True)


def _link(path: Path, member: tarfile.TarInfo) -> None:
    _make(path.parent)
    begun = path.with_name(f".begun-{secrets.token_hex(8)}")
    begun.symlink_to(member.linkname)
    _own(begun, member)
    begun.replace(path)


def _dress(path: Path, member: tarfile.TarInfo) -> None:
    """Its mode without set-user-id and the like, its owner, its time."""
    _own(path, member)
    path.chmod(member.mode & 0o1777)
    os.utime(path, (member.mtime, member.mtime))


def _own(path: Path, member: tarfile.TarInfo) -> None:
    if os.geteuid() == 0:
        with contextlib.suppress(PermissionError):
            os.chown(path, member.uid, member.gid, follow_symlinks=False)
