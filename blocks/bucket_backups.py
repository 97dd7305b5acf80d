"""A bucket of anything that speaks S3, or what lies under a prefix in it, that is backed up or restored into."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import IO, ClassVar, TypeVar

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from blocks.bucket_objects import OBJECTS, Bucket, may_write, remove_all
from blocks.bucket_packing import Chunked, Noted, Packed
from blocks.bucket_unpacking import unpack
from blocks.own_thread import in_own_thread, put_back
from blocks.s3_client import Access, client
from blocks.s3_errors import in_our_words
from core.backups.bucket_index import Index, Listed
from core.backups.errors import NoTarget, PlaceRefused, PlaceUnavailable, RestoreFailed, TargetNotEmpty
from core.backups.manifest import ALL
from core.backups.naming import DRILLS
from core.backups.place import Dump, Fingerprint, Inspection, Part, Stream
from core.errors import NotFound, StoreRefused, StoreUnavailable

T = TypeVar("T")
NO_SUCH = "The backup has no such object."
TAR, INDEX, INDEX_FORM = "objects.tar", "objects.index", "index"


class SavedBucket(Block):
    """A bucket to be backed up, or restored into.

    Example:
        Load the saved block and see what there is:

        ```python
        from blocks.bucket_backups import SavedBucket

        bucket = await SavedBucket.aload("fastgpt-files")
        print(await bucket.inspect())
        ```
    """

    _block_type_name: ClassVar[str | None] = "Saved Bucket"
    _block_type_slug: ClassVar[str | None] = "saved-bucket"
    _description: ClassVar[str | None] = "A bucket of anything that speaks S3, whose objects are backed up or restored."

    name: str = Field(description="What messages call it, such as sources.fastgpt-files.")
    bucket: str = Field(description="The bucket's name.")
    prefix: str = Field(default="", description="Only what lies under it.")
    endpoint: str | None = Field(default=None, description="Address of the service, such as http://minio:9000; AWS if empty.")
    region: str = Field(default="us-east-1", description="The bucket's region.")
    access_key: SecretStr | None = Field(default=None, description="The key's name. Without keys, AWS' own ways of finding some.")
    secret_key: SecretStr | None = Field(default=None, description="The key's secret.")
    path_style: bool | None = Field(default=None, description="endpoint/bucket/key (true) or bucket.endpoint/key.")
    ca_file: Path | None = Field(default=None, description="A file of further CA certificates to trust.")
    connect_timeout: float = Field(default=5.0, gt=0, description="Seconds for connecting.")
    timeout: float = Field(default=60.0, gt=0, description="Seconds without a byte.")
    fast: bool = Field(default=False, description="Run at normal priority.")

    async def inspect(self) -> Inspection:
        """See ``Place.inspect``. Lists the whole bucket, for its size."""

        def looked(bucket: Bucket) -> Inspection:
            sizes = [each.size for each in bucket.listed()]
            return Inspection(f"S3 {self._access.place}", None, (), sum(sizes), not sizes)

        return await self.asked(looked)

    @asynccontextmanager
    async def dumping(self, inspection: Inspection) -> AsyncGenerator[Dump, None]:
        """See ``Place.dumping``. Each object is of the moment in which it is read. The fingerprint is of what was read: it is
        complete when the part has been.
        """
        noted = Noted(index=Index())
        index = Part(INDEX, INDEX_FORM, partial(self._index, noted), packed=True, public=True)
        parts = [Part(TAR, "tar", partial(self.packing, noted)), index]
        yield Dump(parts, Fingerprint(noted.tally.counts, noted.tally.checksums))

    async def restore(self, part: str, form: str, stream: IO[bytes], only: str | None = None) -> None:
        """See ``Place.restore``. ``only`` is an object's key, without the prefix. Raises ``TargetNotEmpty`` before anything is
        touched.
        """
        if form == INDEX_FORM:  # of use to the next backup alone
            return
        if form != "tar":
            raise RestoreFailed(f"{self.name}: a bucket cannot take a part of the form {form}.")
        if not await self.put_objects(stream, lambda key: only in (None, key), only=only) and only is not None:
            raise RestoreFailed(NO_SUCH)

    async def put_objects(
        self, stream: IO[bytes], wanted: Callable[[str], bool], *, only: str | None = None, onto: bool = False
    ) -> int:
        """Put those objects of a tar back whose keys are wanted; how many. Unless they may come ``onto`` what is there, raises
        ``TargetNotEmpty`` before anything is touched."""

        def put(stopped: Event, bucket: Bucket) -> int:
            there = None if onto else next((each for each in bucket.listed() if only in (None, each.key)), None)
            if there is not None:
                raise TargetNotEmpty(
                    f"{self.name}: the bucket holds {'this object' if only else 'objects'} already; delete first."
                )
            return unpack(bucket, stream, wanted, stopped.is_set)

        return await put_back(self.name, lambda stopped: self._with_bucket(partial(put, stopped)), fast=self.fast)

    async def fingerprint(self, like: Fingerprint) -> Fingerprint:
        """See ``Place.fingerprint``."""

        def counted(bucket: Bucket) -> Fingerprint:
            count, size, sums = 0, 0, dict[str, str]()
            for each in bucket.listed():
                count += 1
                size += each.size
                if each.key in like.checksums:
                    sums[each.key] = bucket.digest(each.key)
            return Fingerprint({OBJECTS: count}, sums | {ALL: f"bytes:{size}"})

        return await self.asked(counted)

    async def clear(self) -> None:
        """See ``Place.clear``. Older versions stay, in a bucket that keeps them."""
        await self.asked(remove_all)

    @asynccontextmanager
    async def beside(self, prefix: str) -> AsyncGenerator["SavedBucket", None]:
        """A place under another prefix of the same bucket; at the end all that lies under such is deleted, whoever put it there.

        Raises ``NoTarget`` where the keys may not write to it.
        """
        if len(prefix) < 6:
            raise ValueError("a prefix of at least six characters")
        folder = f"{prefix}/" if prefix.startswith(DRILLS) else f"{DRILLS}{prefix}/"
        scratch = self.model_copy(update={"name": f"{self.name} (scratch)", "prefix": f"{self.prefix}{folder}"})
        try:
            await scratch.asked(may_write)
        except PlaceRefused as error:
            raise NoTarget(f"{error.message} To drill, name a target as the source's drill_target.") from None
        try:
            yield scratch
        finally:
            all_such = self.model_copy(update={"prefix": f"{self.prefix}{folder.removesuffix('/')}"})
            await all_such.clear()

    @property
    def _access(self) -> Access:
        name, secret = (each.get_secret_value() if each else "" for each in (self.access_key, self.secret_key))
        in_path = self.endpoint is not None if self.path_style is None else self.path_style
        return Access(self.endpoint, self.region, in_path, self.connect_timeout, self.timeout, name, secret, self.ca_file)

    @contextmanager
    def packing(self, noted: Noted, wanted: Callable[[Listed], bool] | None = None) -> Iterator[Stream]:
        """A tar of all objects, or of those that are wanted, and what is found out meanwhile. In a thread."""
        with self.connected() as bucket:
            packed = Packed(self.name, bucket, noted, wanted)
            try:
                yield packed
            finally:
                packed.close()
            packed.require_ended()

    @contextmanager
    def _index(self, noted: Noted) -> Iterator[Stream]:
        assert noted.index is not None
        stream = Chunked(self.name, noted.index.chunks())
        yield stream
        stream.require_ended()

    async def asked(self, work: Callable[[Bucket], T]) -> T:
        """What ``work`` finds, in a thread of its own."""
        return await in_own_thread(partial(self._with_bucket, work), "bucket", quiet=not self.fast)

    def _with_bucket(self, work: Callable[[Bucket], T]) -> T:
        with self.connected() as bucket:
            return work(bucket)

    @contextmanager
    def connected(self) -> Iterator[Bucket]:
        """The bucket within the block, whose errors are ours. In a thread."""
        try:
            with in_our_words(self._access.place, self.bucket):
                yield Bucket(client(self._access), self.bucket, self.prefix)
        except StoreUnavailable as error:
            raise PlaceUnavailable(f"{self.name}: {error.message}", retry_after=30) from None
        except (StoreRefused, NotFound) as error:
            raise PlaceRefused(f"{self.name}: {error.message}") from None
