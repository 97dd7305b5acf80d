"""The parts' logs: ``DIR/logs/PART.log``, a new file at 10 MB, the last three kept compressed; and ``pilothouse logs``."""

import gzip
import os
import shutil
import sys
import threading
from collections import deque
from pathlib import Path
from time import sleep
from typing import IO, Annotated

import typer

from core.config import load_settings
from core.errors import NotFound
from deployments.options import DataDir

LIMIT = 10_000_000
KEPT = 3
_SHOWN = 100


class PartLog:
    """Takes what a part writes. The last lines are also held in memory, to be told when the part dies.

    A full disk never stops a part: what cannot be written is dropped and counted in ``dropped`` (bytes).
    """

    def __init__(self, folder: Path, part: str, limit: int = LIMIT, kept: int = KEPT, tail: int = 20) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / f"{part}.log"
        self.dropped = 0
        self._limit, self._kept = limit, kept
        self._tail: deque[str] = deque(maxlen=tail)
        self._unfinished = b""
        self._file = _opened(self.path)
        self._size = self.path.stat().st_size
        self._compressing: threading.Thread | None = None

    def write(self, data: bytes) -> None:
        """Append output as it came. Turns the file over between two lines only."""
        lines = (self._unfinished + data).split(b"\n")
        self._unfinished = lines.pop()[-10_000:]
        self._tail.extend(line.decode(errors="replace") for line in lines if line.strip())
        try:
            self._size += self._file.write(data)
            self._file.flush()
            if self._size >= self._limit and data.endswith(b"\n"):
                self._turn_over()
        except OSError:
            self.dropped += len(data)

    def last_lines(self) -> list[str]:
        return [*self._tail, *([self._unfinished.decode(errors="replace")] if self._unfinished.strip() else [])]

    def close(self) -> None:
        if self._compressing is not None:
            self._compressing.join()
        self._file.close()

    def _turn_over(self) -> None:
        if self._compressing is not None and self._compressing.is_alive():
            return  # written faster than compressed: this file grows a little longer
        full = self.path.with_name(f"{self.path.name}.1")
        self.path.rename(full)
        self._file.close()
        self._file, self._size = _opened(self.path), 0
        self._compressing = threading.Thread(target=self._compress, args=(full,), daemon=True)
        self._compressing.start()

    def _compress(self, full: Path) -> None:
        compressed = [full.with_name(f"{self.path.name}.{number}.gz") for number in range(1, self._kept + 1)]
        try:
            partial = full.with_name(f"{self.path.name}.partial")
            with full.open("rb") as source, gzip.open(partial, "wb", compresslevel=3) as target:
                shutil.copyfileobj(source, target)
            for older, newer in zip(reversed(compressed), reversed(compressed[:-1]), strict=False):
                if newer.exists():
                    newer.replace(older)
            partial.replace(compressed[0])
            full.unlink()
        except OSError:
            self.dropped += 1  # the plain file stays and is replaced by the next one


def _opened(path: Path) -> IO[bytes]:
    file = path.open("ab", buffering=0)
    path.chmod(0o600)
    return file


def logs(
    part: Annotated[str | None, typer.Argument(help="A part such as api or postgres; without it the parts are listed.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new lines as they come.")] = False,
    data_dir: DataDir = None,
) -> None:
    """A part's log. Example: pilothouse logs api -f"""
    folder = load_settings(overrides={"data_dir": data_dir}).data_dir / "logs"
    parts = sorted(path.stem for path in folder.glob("*.log"))
    if part is None:
        for name in parts:
            typer.echo(f"{name:<10} {folder / name}.log")
        if not parts:
            typer.echo(f"No logs in {folder} yet: `pilothouse up` writes them.", err=True)
        return
    if part not in parts:
        raise NotFound(f"There is no log of a part called {part} in {folder}, only of: {', '.join(parts) or 'none'}.")
    _show(folder / f"{part}.log", follow)


def _show(path: Path, follow: bool) -> None:
    """The last hundred lines, then what is appended; a file that was turned over is read on from its successor."""
    file = path.open("rb")
    try:
        for line in deque(file, maxlen=_SHOWN):
            _print(line)
        while follow:
            if data := file.read():
                _print(data)
            elif path.exists() and path.stat().st_ino != _inode(file):
                file.close()
                file = path.open("rb")
            else:
                sleep(0.3)
    except KeyboardInterrupt:
        return
    finally:
        file.close()


def _inode(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_ino


def _print(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
