"""A MongoDB's collections as one stream of BSON documents, read and written by the driver; every function blocks.

The stream is, one after another: for each collection a document with its name, options and indexes, then documents that hold a
batch of its own as they are (``batch``), and at the end of all one that says so (``end``). Any BSON library reads it.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import bson
import bson.raw_bson

from blocks.handover import CHUNK, Abandoned
from core.backups.errors import BackupDamaged, DumpFailed
from core.backups.naming import beside
from core.backups.place import Stream

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.collection import Collection

SUMMED = 20_000
"""Documents of a collection up to which their content is summed; of a larger one they are only counted."""
LARGEST = 64 << 20
"""Bytes of one document of the stream: MongoDB's own are at most 16 MB, and so are batches."""


@dataclass(slots=True)
class Tally:
    """Documents by collection, and the sum of their hashes: the same in whatever order they come."""

    counts: dict[str, int] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)

    def collect(self, key: str, batches: Iterator[bytes]) -> Iterator[bytes]:
        """The batches as they are, counted on the way."""
        count = total = 0
        self.counts[key] = 0
        for batch in batches:
            for document in documents_of(batch):
                count += 1
                if count <= SUMMED:
                    total += weight_of(document)
            yield batch
        self.counts[key] = count
        if count <= SUMMED:
            self.checksums[key] = f"sum:{total:x}"


@dataclass(frozen=True, slots=True)
class Archive:
    """``databases``: what each is called in the backup, by its name on the server. All names there begin with ``prefix``."""

    client: "MongoClient[dict[str, Any]]"
    databases: Mapping[str, str]
    prefix: str = ""

    def chunks(self, tally: Tally) -> Iterator[bytes]:
        """The whole stream."""
        tally.counts.clear()
        tally.checksums.clear()
        for name, shown in self.databases.items():
            for each in self.collections(name):
                key = key_of(shown, each["name"])
                head = {"database": shown, "collection": each["name"], "options": each.get("options", {})}
                if each.get("type") == "view":
                    yield bson.encode(head | {"indexes": []})
                    continue
                collection = self.client[name][each["name"]]
                indexes = [dict(index) for index in collection.list_indexes() if index["name"] != "_id_"]
                yield bson.encode(head | {"indexes": indexes})
                for batch in tally.collect(key, batches_of(collection)):
                    yield bson.encode({"batch": batch})
        yield bson.encode({"end": True, "documents": sum(tally.counts.values())})

    def collections(self, name: str) -> list[dict[str, Any]]:
        """Views last, since they need what they look at; the server's own are left out."""
        found = [dict(each) for each in self.client[name].list_collections() if not each["name"].startswith("system.")]
        return sorted(found, key=lambda each: (each.get("type") == "view", each["name"]))

    def fill(self, stream: Stream, only: str | None, is_stopped: Callable[[], bool]) -> int:
        """Make the collections of a stream, or the one called ``only``; how many. Raises ``Abandoned``, ``BackupDamaged``."""
        names = {shown: name for name, shown in self.databases.items()}
        made, into, ended = 0, None, False
        for raw in _records(stream):
            if is_stopped():
                raise Abandoned
            record = bson.decode(raw)
            if "collection" in record:
                shown, wanted = record["database"], record["collection"]
                if shown not in names:
                    names[shown] = beside(self.prefix, shown)
                into = None
                if only in (None, wanted, f"{shown}.{wanted}"):
                    into = self._make(names[shown], record)
                    made += 1
            elif "batch" in record and into is not None:
                into.insert_many(bson.raw_bson.RawBSONDocument(each) for each in documents_of(record["batch"]))
            ended = ended or bool(record.get("end"))
        if not ended:
            raise BackupDamaged("The backup's stream has no end.")
        return made

    def _make(self, name: str, record: Mapping[str, Any]) -> "Collection[Any]":
        database = self.client[name]
        database.command("create", record["collection"], **record["options"])
        if record["indexes"]:
            database.command("createIndexes", record["collection"], indexes=record["indexes"])
        return database[record["collection"]]


def batches_of(collection: "Collection[Any]") -> Iterator[bytes]:
    """All documents, as the server sends them."""
    return iter(collection.find_raw_batches(batch_size=2000))


def weight_of(document: bytes) -> int:
    """What a document adds to the sum of its collection."""
    return int.from_bytes(hashlib.sha256(document).digest()[:12])


def documents_of(batch: bytes) -> Iterator[bytes]:
    """The BSON documents that lie one after another in it."""
    start = 0
    while start < len(batch):
        (size,) = struct.unpack_from("<i", batch, start)
        if size < 5 or start + size > len(batch):
            raise DumpFailed("The server sent a document that is cut off.")
        yield batch[start : start + size]
        start += size


def key_of(shown: str, collection: str) -> str:
    """How a collection is called in counts."""
    plain = collection.replace("/", "%2F")
    return f"{shown}/{plain}" if shown else plain


def _records(stream: Stream) -> Iterator[bytes]:
    while head := _exactly(stream, 4, begins=True):
        (size,) = struct.unpack("<i", head)
        if not 5 <= size <= LARGEST:
            raise BackupDamaged("The backup's stream is no BSON.")
        yield head + _exactly(stream, size - 4)


def _exactly(stream: Stream, size: int, *, begins: bool = False) -> bytes:
    held = bytearray()
    while len(held) < size:
        chunk = stream.read(min(CHUNK, size - len(held)))
        if not chunk:
            if begins and not held:
                return b""
            raise BackupDamaged("The backup's stream is cut off.")
        held += chunk
    return bytes(held)
