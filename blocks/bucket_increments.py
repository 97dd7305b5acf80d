"""A bucket's increment: what is new or changed since a whole backup, saved with the list of all keys in force, and put back.

It is always one against a whole backup, never against another increment, so a restore reads two at most.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import IO

from blocks.bucket_backups import INDEX_FORM, NO_SUCH, TAR, SavedBucket
from blocks.bucket_objects import SHA256, Bucket, Tally
from blocks.bucket_packing import Chunked, Noted
from blocks.own_thread import in_own_thread
from core.backups.bucket_index import LIST_HEAD, Digests, Index, digest_of, line_of, unchanged_in
from core.backups.errors import RestoreFailed
from core.backups.manifest import Base, Manifest
from core.backups.place import Dump, Fingerprint, Inspection, Part, Stream

KEYS, KEYS_FORM, CHANGED = "objects.keys", "keys", "changed.tar"


class BucketIncrement:
    """What is to be saved of a bucket whose last whole backup is ``whole``, with the index that lies beside that."""

    def __init__(self, place: SavedBucket, whole: Manifest, known: Index) -> None:
        self.base = Base(id=whole.id, folder=whole.folder)
        self._place = place
        self._known = known
        self._sums: Mapping[str, str] = whole.checksums

    async def weighed(self) -> tuple[int, int]:
        """Bytes that are new or changed, and bytes in all."""

        def weigh(bucket: Bucket) -> tuple[int, int]:
            new = total = 0
            for each in bucket.listed():
                total += each.size
                new += 0 if each in self._known else each.size
            return new, total

        return await self._place.asked(weigh)

    @asynccontextmanager
    async def dumping(self, _: Inspection) -> AsyncGenerator[Dump, None]:
        """See ``Place.dumping``. What is in force is settled when the list is read; what is new is fetched after that."""
        new, before = Digests(), Tally()
        noted = Noted(before=before)
        wanted = partial(self._place.packing, noted, lambda one: digest_of(one.key) in new)
        parts = [Part(KEYS, KEYS_FORM, partial(self._listing, new, before)), Part(CHANGED, "tar", wanted)]
        yield Dump(parts, Fingerprint(noted.tally.counts, noted.tally.checksums))

    @contextmanager
    def _listing(self, new: Digests, before: Tally) -> Iterator[Stream]:
        with self._place.connected() as bucket:
            stream = Chunked(self._place.name, self._lines(bucket, new, before))
            yield stream
            stream.require_ended()

    def _lines(self, bucket: Bucket, new: Digests, before: Tally) -> Iterator[bytes]:
        new.clear()
        before.begin()
        yield LIST_HEAD
        for each in bucket.listed():
            unchanged = each in self._known
            if not unchanged:
                new.add(digest_of(each.key))
            elif (digest := self._sums.get(each.key)) is not None:
                before.add(each.key, each.size, digest.removeprefix(SHA256))
            else:
                before.count(each.size)
            yield line_of(each, unchanged=unchanged)


class IncrementTarget:
    """A bucket that takes an increment together with its base: the list first, then the base's objects, then the new ones."""

    def __init__(self, place: SavedBucket) -> None:
        self._place = place
        self._unchanged: Digests | None = None
        self._found = 0

    async def inspect(self) -> Inspection:
        """See ``Place.inspect``."""
        return await self._place.inspect()

    def dumping(self, inspection: Inspection) -> AbstractAsyncContextManager[Dump]:
        """See ``Place.dumping``."""
        return self._place.dumping(inspection)

    async def restore(self, part: str, form: str, stream: IO[bytes], only: str | None = None) -> None:
        """See ``Place.restore``. Raises ``TargetNotEmpty`` before anything is touched."""
        if form == INDEX_FORM:
            return
        if form == KEYS_FORM:
            self._unchanged, self._found = await in_own_thread(partial(unchanged_in, stream), "bucket-keys"), 0
            return
        if self._unchanged is None or part not in (TAR, CHANGED):
            raise RestoreFailed(f"{self._place.name}: {part} came before the list of keys in force, or is no part of a bucket's.")
        in_force, onto = self._unchanged, part == CHANGED
        self._found += await self._place.put_objects(
            stream, lambda key: only in (None, key) and (onto or digest_of(key) in in_force), only=only, onto=onto
        )
        if onto and only is not None and not self._found:
            raise RestoreFailed(NO_SUCH)

    async def fingerprint(self, like: Fingerprint) -> Fingerprint:
        """See ``Place.fingerprint``."""
        return await self._place.fingerprint(like)

    async def clear(self) -> None:
        """See ``Place.clear``."""
        await self._place.clear()
