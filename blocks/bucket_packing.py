"""A bucket's objects as a tar: small ones fetched several at once, large ones as they come.

Beside its content the tar keeps the media type and the metadata of each object, as a record of its PAX header
(``PILOTHOUSE.head``). Any ``tar`` unpacks it.
"""

import hashlib
import io
import json
import tarfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from blocks.bucket_objects import AT_ONCE, HEAD, SMALL, Bucket, Tally, state_of
from blocks.handover import CHUNK
from core.backups.bucket_index import Index, Listed
from core.backups.errors import DumpFailed

KEPT = ("ContentType", "ContentEncoding", "ContentLanguage", "ContentDisposition", "CacheControl")
"""Headers of an object that come back with it."""


@dataclass(slots=True)
class Noted:
    """What is found out while a tar is read: how much there is and, of a whole backup, the index of it."""

    tally: Tally = field(default_factory=Tally)
    index: Index | None = None
    before: Tally | None = None
    """What is counted already, of an increment."""

    def begin(self) -> None:
        self.tally.begin(self.before)
        if self.index is not None:
            self.index = Index()

    def add(self, one: Listed, digest: str) -> None:
        self.tally.add(one.key, one.size, digest)
        if self.index is not None:
            self.index.add(one)


class Chunked:
    """What comes in pieces, as a stream of chunks. Made and read in one thread."""

    def __init__(self, place: str, pieces: Iterator[bytes]) -> None:
        self._place = place
        self._pieces = pieces
        self._stopped = False
        self._ended = False

    def read(self, _: int = CHUNK, /) -> bytes:
        if self._stopped:
            raise DumpFailed(f"{self._place}: the dump was broken off.")
        held: list[bytes] = []
        size = 0
        for piece in self._pieces:
            held.append(piece)
            size += len(piece)
            if size >= CHUNK:
                return b"".join(held)
        self._ended = not held
        return b"".join(held)

    def stop(self) -> None:
        """See ``core.backups.place.Stoppable``."""
        self._stopped = True

    def require_ended(self) -> None:
        """Raises ``DumpFailed`` where something was not read."""
        if not self._ended:
            raise DumpFailed(f"{self._place}: the objects were not read to their end.")


class Packed(Chunked):
    """The tar of a bucket, or of those objects of it that are wanted."""

    def __init__(self, place: str, bucket: Bucket, noted: Noted, wanted: Callable[[Listed], bool] | None = None) -> None:
        super().__init__(place, self._all())
        self._bucket = bucket
        self._noted = noted
        self._wanted = wanted
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="bucket-get")

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _all(self) -> Iterator[bytes]:
        self._noted.begin()
        waiting: deque[tuple[Listed, Future[_Fetched | None] | None]] = deque()
        for each in self._bucket.listed():
            if self._wanted is not None and not self._wanted(each):
                continue
            small = self._threads.submit(self._fetched, each.key) if each.size <= SMALL else None
            waiting.append((each, small))
            if len(waiting) >= 2 * AT_ONCE:
                yield from self._one(*waiting.popleft())
        while waiting:
            yield from self._one(*waiting.popleft())
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _one(self, listed: Listed, small: "Future[_Fetched | None] | None") -> Iterator[bytes]:
        if small is None:
            yield from self._large(listed.key)
        elif (found := small.result()) is not None:
            yield _header(listed.key, len(found.body), found.head)
            yield _padded(found.body)
            self._noted.add(found.state, hashlib.sha256(found.body).hexdigest())

    def _fetched(self, key: str) -> "_Fetched | None":
        answer = self._bucket.get(key)
        if answer is None:
            return None
        body = answer["Body"].read()
        return _Fetched(body, _head(answer), state_of(key, len(body), answer))

    def _large(self, key: str) -> Iterator[bytes]:
        answer = self._bucket.get(key)
        if answer is None:
            return
        size, left, digest = int(answer["ContentLength"]), int(answer["ContentLength"]), hashlib.sha256()
        yield _header(key, size, _head(answer))
        with answer["Body"] as body:
            while left and (chunk := body.read(min(CHUNK, left))):
                left -= len(chunk)
                digest.update(chunk)
                yield chunk
        if left:
            raise DumpFailed(f"{self._place}: an object ended {left} bytes too early.")
        yield bytes(-size % tarfile.BLOCKSIZE)
        self._noted.add(state_of(key, size, answer), digest.hexdigest())


@dataclass(frozen=True, slots=True)
class _Fetched:
    body: bytes
    head: str
    state: Listed


def _head(answer: Mapping[str, Any]) -> str:
    kept = {name: answer[name] for name in KEPT if answer.get(name)}
    if answer.get("Metadata"):
        kept["Metadata"] = dict(answer["Metadata"])
    return json.dumps(kept)


def _header(key: str, size: int, head: str) -> bytes:
    entry = tarfile.TarInfo("object")
    entry.size, entry.mode = size, 0o600
    entry.pax_headers = {"path": key, HEAD: head}
    return entry.tobuf(tarfile.PAX_FORMAT)


def _padded(body: bytes) -> bytes:
    padding = io.BytesIO(body)
    padding.seek(0, io.SEEK_END)
    padding.write(bytes(-len(body) % tarfile.BLOCKSIZE))
    return padding.getvalue()
