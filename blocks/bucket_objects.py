"""The objects of a bucket: listed, read, counted and removed."""

import hashlib
import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from blocks.handover import CHUNK
from core.backups.bucket_index import Listed
from core.backups.errors import DumpFailed
from core.backups.manifest import ALL, ALL_BYTES
from core.backups.naming import DRILLS

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

HEAD = "PILOTHOUSE.head"
"""The record of a tar's PAX header that keeps an object's media type and metadata."""
OBJECTS = "objects"
"""What is counted."""
AT_ONCE = 8
SMALL = 1 << 20
"""Bytes up to which an object is fetched or sent as a whole, beside others."""
SHA256 = "sha256:"
SAMPLED = 200
"""Objects whose content is compared after a restore: those whose keys have the smallest hashes."""


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
                    yield state_of(key, one["Size"], one)
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
        return f"{SHA256}{found.hexdigest()}"


@dataclass(slots=True)
class Tally:
    """How many objects and bytes there are, and the SHA-256 of some."""

    counts: dict[str, int] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    _chosen: list[tuple[int, str]] = field(default_factory=list)
    _bytes: int = 0

    def begin(self, so_far: "Tally | None" = None) -> None:
        """Anew, or with what another one has counted."""
        before = so_far or Tally({OBJECTS: 0}, {ALL: f"{ALL_BYTES}0"})
        self.counts.clear()
        self.counts.update(before.counts)
        self.checksums.clear()
        self.checksums.update(before.checksums)
        self._chosen[:], self._bytes = before._chosen, before._bytes

    def count(self, size: int) -> None:
        """One more, of which no digest is known."""
        self.counts[OBJECTS] += 1
        self._bytes += size
        self.checksums[ALL] = f"{ALL_BYTES}{self._bytes}"

    def add(self, key: str, size: int, digest: str) -> None:
        """One more; its digest is kept while its key's hash is among the smallest."""
        self.count(size)
        rank = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
        entry = (-rank, key)
        if len(self._chosen) < SAMPLED:
            heapq.heappush(self._chosen, entry)
        elif entry > self._chosen[0]:
            del self.checksums[heapq.heapreplace(self._chosen, entry)[1]]
        else:
            return
        self.checksums[key] = f"{SHA256}{digest}"


def may_write(bucket: Bucket) -> None:
    """Returns when an object can be put there and deleted again."""
    put(bucket, "probe", b"", {})
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


def put(bucket: Bucket, key: str, body: bytes, head: Mapping[str, Any]) -> None:
    """A small object as a whole."""
    bucket.s3.put_object(Bucket=bucket.name, Key=bucket.prefix + key, Body=body, **head)


def state_of(key: str, size: int, answer: "Mapping[str, Any]") -> Listed:
    """An object of which a listing or a read tells."""
    modified = answer.get("LastModified")
    return Listed(key, size, str(answer.get("ETag") or "").strip('"'), int(modified.timestamp()) if modified else 0)
