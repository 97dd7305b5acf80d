"""What ``pg_restore`` and ``psql`` are fed with: streams put together, thinned, and unpacked."""

import errno
import re
import shutil
import tarfile
from pathlib import Path
from threading import Event

from blocks.handover import CHUNK
from core.backups.errors import BackupDamaged, NoRoom, RestoreFailed
from core.backups.place import Stream


class Chained:
    """A file, and then the rest of the stream that it is the head of."""

    def __init__(self, *streams: Stream) -> None:
        self._streams = list(streams)

    def read(self, size: int = CHUNK, /) -> bytes:
        while self._streams:
            if chunk := self._streams[0].read(size):
                return chunk
            del self._streams[0]
        return b""


class LinesWithout:
    """A stream without the lines that match."""

    def __init__(self, stream: Stream, without: re.Pattern[bytes]) -> None:
        self._stream = stream
        self._without = without
        self._rest = b""

    def read(self, _: int = CHUNK, /) -> bytes:
        while chunk := self._stream.read(CHUNK):
            whole, newline, self._rest = (self._rest + chunk).rpartition(b"\n")
            kept = [line for line in whole.split(b"\n") if not self._without.match(line)]
            if newline and kept:
                return b"\n".join(kept) + b"\n"
        last, self._rest = self._rest, b""
        return last


def unpack(stream: Stream, folder: Path, stopped: Event) -> None:
    """Files of a directory archive from its tar. Raises ``NoRoom``, and ``BackupDamaged``, also for anything but plain files."""
    try:
        with tarfile.open(fileobj=stream, mode="r|") as packed:  # type: ignore[call-overload]
            for member in packed:
                source = packed.extractfile(member)
                if source is None or not re.fullmatch(r"[\w.-]+", member.name) or member.name.startswith("."):
                    raise BackupDamaged("The backup's tar holds something that pg_dump does not write.")
                with (folder / member.name).open("wb") as file:
                    while chunk := source.read(CHUNK):
                        file.write(chunk)
                        if stopped.is_set():
                            raise RestoreFailed("The restore was broken off.")
    except tarfile.TarError as error:
        raise BackupDamaged(f"The backup's tar cannot be read ({error}).") from None
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            free = shutil.disk_usage(folder).free
            raise NoRoom(f"{folder.parent.parent} has no room to unpack the backup ({free:,} bytes left).") from error
        raise
    while stream.read(CHUNK):  # to its end, where it is checked
        pass
