"""The objects of a bucket as a tar: small ones fetched several at once, large ones as they come; and a tar put back as objects.

Beside its content the tar keeps the media type and the metadata of each object, as a record of its PAX header
(``PILOTHOUSE.head``). Any ``tar`` unpacks it.
"""

import hashlib
import heapq
import io
import json
import tarfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from blocks.handover import CHUNK, Abandoned
from core.backups.errors import BackupDamaged, DumpFailed
from core.backups.naming import DRILLS
from core.backups.place import Stream

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

HEAD = "PILOTHOUSE.head"
OBJECTS, ALL = "objects", "/"
"""What is counted, and under which name the size of all is kept beside the hashes of some; no object is called so."""
AT_ONCE = 8
SMALL = 1 << 20
"""Bytes up to which an object is fetched or sent as a whole, beside others."""
LARGEST_PART = 64 << 20
SAMPLED = 200
"""Objects whose content is compared after a restore: those whose keys have the smallest hashes."""
KEPT = ("ContentType", "ContentEncoding", "ContentLanguage", "ContentDisposition", "CacheControl")
"""Headers of an object that come back with it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as the listing has it, without the prefix."""

    key: str
    size: int


@dataclass(slots=True)
class Bucket:
    """A client, a bucket, and what our keys in it begin with."""

    s3: "S3Client"
    name: str
    prefix: str

    def listed(self) -> Iterator[Listed]:
        """Without the empty objects that only stand for a folder (some services show them, some keep them), and without what a
        drill has put there for a while.
        """
        query: dict[str, Any] = {"Bucket": self.name, "Prefix": self.prefix}
        while True:
            page = self.s3.list_objects_v2(**query)
            for one in page.get("Contents", []):
                key = one["Key"].removeprefix(self.prefix)
                if (one["Size"] or not key.endswith("/")) and not key.startswith(DRILLS):
                    yield Listed(key, one["Size"])
            if not page["IsTruncated"]:
                return
            query["ContinuationToken"] = page["NextContinuationToken"]

    def get(self, key: str) -> "Mapping[str, Any] | None":
        """An answer whose body is still to be read; None where it was deleted meanwhile."""
        try:
            return dict(self.s3.get_object(Bucket=self.name, Key=self.prefix + key))
        except self.s3.exceptions.NoSuchKey:
            return None

    def digest(self, key: str) -> str:
        """Its content's, as ``Tally`` keeps it."""
        answer, found = self.get(key), hashlib.sha256()
        if answer is None:
            return ""
        with answer["Body"] as body:
            while chunk := body.read(CHUNK):
                found.update(chunk)
        return f"sha256:{found.hexdigest()}"


@dataclass(slots=True)
class Tally:
    """How many objects and bytes there are, and the SHA-256 of some."""

    counts: dict[str, int] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    _chosen: list[tuple[int, str]] = field(default_factory=list)
    _bytes: int = 0

    def begin(self) -> None:
        self.counts.clear()
        self.checksums.clear()
        self._chosen.clear()
        self.counts[OBJECTS] = self._bytes = 0
        self.checksums[ALL] = "bytes:0"

    def add(self, key: str, size: int, digest: str) -> None:
        """One more; its digest is kept while its key's hash is among the smallest."""
        self.counts[OBJECTS] += 1
        self._bytes += size
        self.checksums[ALL] = f"bytes:{self._bytes}"
        rank = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
        entry = (-rank, key)
        if len(self._chosen) < SAMPLED:
            heapq.heappush(self._chosen, entry)
        elif entry > self._chosen[0]:
            del self.checksums[heapq.heapreplace(self._chosen, entry)[1]]
        else:
            return
        self.checksums[key] = f"sha256:{digest}"


class Packed:
    """The tar of a bucket, as a stream. Made and read in one thread."""

    def __init__(self, place: str, bucket: Bucket, tally: Tally) -> None:
        self._place = place
        self._bucket = bucket
        self._tally = tally
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="bucket-get")
        self._chunks = self._all()
        self._stopped = False
        self.ended = False

    def read(self, _: int = CHUNK, /) -> bytes:
        if self._stopped:
            raise DumpFailed(f"{self._place}: the dump was broken off.")
        held: list[bytes] = []
        size = 0
        for chunk in self._chunks:
            held.append(chunk)
            size += len(chunk)
            if size >= CHUNK:
                return b"".join(held)
        self.ended = not held
        return b"".join(held)

    def stop(self) -> None:
        """See ``core.backups.place.Stoppable``."""
        self._stopped = True

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _all(self) -> Iterator[bytes]:
        self._tally.begin()
        waiting: deque[tuple[Listed, Future[_Fetched | None] | None]] = deque()
        for each in self._bucket.listed():
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
            self._tally.add(listed.key, len(found.body), hashlib.sha256(found.body).hexdigest())

    def _fetched(self, key: str) -> "_Fetched | None":
        answer = self._bucket.get(key)
        return None if answer is None else _Fetched(answer["Body"].read(), _head(answer))

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
        self._tally.add(key, size, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class _Fetched:
    body: bytes
    head: str


def unpack(bucket: Bucket, stream: Stream, only: str | None, is_stopped: Callable[[], bool]) -> int:
    """Put the objects of a tar into the bucket, or the one of that key; how many. Raises ``Abandoned``, ``BackupDamaged``."""
    count = 0
    sending: deque[Future[None]] = deque()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="bucket-put") as threads:
        try:
            with tarfile.open(fileobj=stream, mode="r|") as packed:  # type: ignore[call-overload]
                for member in packed:
                    if is_stopped():
                        raise Abandoned
                    key = member.pax_headers.get("path", member.name)
                    source = packed.extractfile(member)
                    if source is None or only not in (None, key):
                        continue
                    count += 1
                    head = json.loads(member.pax_headers.get(HEAD, "{}"))
                    if member.size > SMALL:
                        _upload(bucket, key, source, head)
                        continue
                    sending.append(threads.submit(_put, bucket, key, source.read(), head))
                    if len(sending) >= 2 * AT_ONCE:
                        sending.popleft().result()
            while sending:
                sending.popleft().result()
        except (tarfile.TarError, ValueError) as error:
            raise BackupDamaged(f"The backup's tar cannot be read ({type(error).__name__}).") from None
        finally:
            for each in sending:
                each.cancel()
        while stream.read(CHUNK):  # to its end, where it is checked
            pass
    return count


def may_write(bucket: Bucket) -> None:
    """Returns when an object can be put there and deleted again."""
    _put(bucket, "probe", b"", {})
    bucket.s3.delete_object(Bucket=bucket.name, Key=f"{bucket.prefix}probe")


def remove_all(bucket: Bucket) -> None:
    """Every object under the prefix."""
    keys: list[str] = []

    def removed() -> None:
        objects: Any = [{"Key": bucket.prefix + key} for key in keys]
        answer = bucket.s3.delete_objects(Bucket=bucket.name, Delete={"Objects": objects, "Quiet": True})
        if failed := answer.get("Errors", []):
            raise DumpFailed(f"{len(failed)} objects were not deleted ({failed[0].get('Code')}).")
        keys.clear()

    for each in bucket.listed():
        keys.append(each.key)
        if len(keys) == 1000:
            removed()
    if keys:
        removed()


def _put(bucket: Bucket, key: str, body: bytes, head: Mapping[str, Any]) -> None:
    bucket.s3.put_object(Bucket=bucket.name, Key=bucket.prefix + key, Body=body, **head)


def _upload(bucket: Bucket, key: str, source: IO[bytes], head: Mapping[str, Any]) -> None:
    """In parts; a failed one is given up as a whole."""
    target: dict[str, Any] = {"Bucket": bucket.name, "Key": bucket.prefix + key}
    upload = bucket.s3.create_multipart_upload(**target, **head)["UploadId"]
    parts: list[Any] = []
    try:
        size = 8 << 20
        while body := source.read(size):
            number = len(parts) + 1
            answer = bucket.s3.upload_part(**target, UploadId=upload, PartNumber=number, Body=body)
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            size = min(LARGEST_PART, (8 << 20) * (1 + number // 500))
        bucket.s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
    except BaseException:
        with suppress(Exception):
            bucket.s3.abort_multipart_upload(**target, UploadId=upload)
        raise


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
