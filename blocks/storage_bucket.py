"""Objects in a bucket of anything that speaks S3: MinIO, AWS, Ceph, SeaweedFS, JuiceFS."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import quote, unquote, urlsplit

from prefect.blocks.core import Block
from pydantic import Field, PrivateAttr, SecretStr

from blocks.s3_client import Access, asked, client
from blocks.s3_errors import MISSING, refusal
from blocks.s3_multipart import parts_of, upload
from blocks.s3_policy import arrange
from core.files import ListedObject, StoredObject, disposition

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import ListMultipartUploadsOutputTypeDef, MultipartUploadTypeDef, ObjectIdentifierTypeDef

T = TypeVar("T")
CHUNK = 256 * 1024
PAGE = 1000
"""Keys of one listing, and of one deletion: S3's limit."""


class ObjectBucket(Block):
    """A bucket, or what lies under a prefix in it, that holds objects by key.

    Example:
        Load the saved block and keep a text in it:

        ```python
        from blocks.storage_bucket import ObjectBucket

        bucket = await ObjectBucket.aload("files")
        await bucket.put("notes/hello.txt", b"hello", "text/plain", "hello.txt")
        ```
    """

    _block_type_name: ClassVar[str | None] = "Object Bucket"
    _block_type_slug: ClassVar[str | None] = "object-bucket"
    _description: ClassVar[str | None] = "A bucket of anything that speaks S3, for files, charts and backups."

    bucket: str = Field(description="The bucket's name.")
    endpoint: str | None = Field(default=None, description="Address of the service, such as http://minio:9000; AWS if empty.")
    region: str = Field(default="us-east-1", description="The bucket's region.")
    prefix: str = Field(default="", description="What our keys begin with, such as pilothouse/; everything under it is ours.")
    access_key: SecretStr | None = Field(default=None, description="The key's name. Without keys, AWS' own ways of finding some.")
    secret_key: SecretStr | None = Field(default=None, description="The key's secret.")
    path_style: bool | None = Field(default=None, description="endpoint/bucket/key (true) or bucket.endpoint/key.")
    public_endpoint: str | None = Field(default=None, description="The service as browsers reach it, for links.")
    set_policy: bool = Field(default=False, description="Make a missing bucket, and let everyone read under the prefix.")
    ca_file: Path | None = Field(default=None, description="A file of further CA certificates to trust.")
    connect_timeout: float = Field(default=3.0, gt=0, description="Seconds for connecting.")
    timeout: float = Field(default=30.0, gt=0, description="Seconds for one request, such as one part of a large object.")
    part_bytes: int = Field(default=8 * 1024 * 1024, ge=5 * 1024 * 1024, description="Size of a part; S3 takes 10,000 of them.")

    _arranged: bool = PrivateAttr(default=False)

    async def put(self, key: str, data: bytes | AsyncIterator[bytes], media_type: str, name: str) -> int:
        """See ``ObjectStore.put``. Of a stream some parts are in memory, never the whole."""
        if self.set_policy and not self._arranged:
            location = None if self.endpoint or self.region == "us-east-1" else self.region
            await self._ask(lambda s3: arrange(s3, self.bucket, self.prefix, location))
            self._arranged = True
        headers: dict[str, Any] = {
            "ContentType": media_type,
            "ContentDisposition": disposition(name, media_type),
            "Metadata": {"name": quote(name)},
        }
        if isinstance(data, bytes):
            return await self._put(key, data, headers)
        async with aclosing(parts_of(data, self.part_bytes)) as parts:
            first = await anext(parts)
            if len(first) < self.part_bytes:
                return await self._put(key, first, headers)
            return await upload(self._ask, self.bucket, self.prefix + key, parts, first, headers)

    async def head(self, key: str) -> StoredObject:
        """See ``ObjectStore.head``."""
        found = await self._ask(lambda s3: s3.head_object(Bucket=self.bucket, Key=self.prefix + key))
        name = unquote(found["Metadata"].get("name", "")) or key.rpartition("/")[2]
        media_type = found.get("ContentType") or "application/octet-stream"
        return StoredObject(key, found["ContentLength"], media_type, name, found["LastModified"])

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """See ``ObjectStore.read``."""
        if end is not None and end <= start:
            return
        span: dict[str, Any] = {"Range": f"bytes={start}-{'' if end is None else end - 1}"} if start or end is not None else {}
        opened = await self._ask(lambda s3: _opened(s3, self.bucket, self.prefix + key, span))
        if opened is None:
            return
        body, chunk = opened
        try:
            while chunk:
                yield chunk
                chunk = await self._ask(lambda _: body.read(CHUNK))
        finally:
            body.close()

    async def list(self, prefix: str = "") -> AsyncGenerator[Sequence[ListedObject], None]:
        """See ``ObjectStore.list``."""
        query: dict[str, Any] = {"Bucket": self.bucket, "Prefix": self.prefix + prefix, "MaxKeys": PAGE}
        more = True
        while more:
            page = await self._ask(lambda s3: s3.list_objects_v2(**query))
            found = page.get("Contents", [])
            if found:
                yield [ListedObject(one["Key"].removeprefix(self.prefix), one["Size"], one["LastModified"]) for one in found]
            more = page["IsTruncated"]
            query["ContinuationToken"] = page.get("NextContinuationToken", "")

    async def remove(self, keys: Sequence[str]) -> None:
        """See ``ObjectStore.remove``."""
        for start in range(0, len(keys), PAGE):
            await self._ask(partial(self._remove, keys[start : start + PAGE]))

    async def tidy(self, hours: float) -> int:
        """See ``Tidied.tidy``: parts of uploads that a process left when it died, for which S3 goes on asking money."""
        before = datetime.now(UTC) - timedelta(hours=hours)
        gone = 0
        async with aclosing(self._unfinished()) as pages:
            async for page in pages:
                for one in page:
                    if one["Initiated"] < before:
                        target = {"Bucket": self.bucket, "Key": one["Key"], "UploadId": one["UploadId"]}
                        await self._ask(partial(_given_up, target))
                        gone += 1
        return gone

    async def check(self) -> None:
        """See ``Tidied.check``."""
        await self._ask(lambda s3: s3.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1))

    async def presigned(self, key: str, seconds: float) -> str:
        """A link to a private object that works for ``seconds``, signed for the public endpoint."""

        def signed() -> str:
            query = {"Bucket": self.bucket, "Key": self.prefix + key}
            signing = client(self._access(self.public_endpoint or self.endpoint))
            return signing.generate_presigned_url("get_object", Params=query, ExpiresIn=int(seconds))

        return await asyncio.to_thread(signed)

    @property
    def public_base(self) -> str:
        """Where everyone finds the objects of a public bucket; a key follows after a slash."""
        base = self.public_endpoint or self.endpoint or f"https://s3.{self.region}.amazonaws.com"
        if self._in_path:
            return f"{base.rstrip('/')}/{self.bucket}"
        parts = urlsplit(base)
        return f"{parts.scheme}://{self.bucket}.{parts.netloc}{parts.path.rstrip('/')}"

    @property
    def _in_path(self) -> bool:
        return self.endpoint is not None if self.path_style is None else self.path_style

    def _access(self, endpoint: str | None) -> Access:
        name, secret = (each.get_secret_value() if each else "" for each in (self.access_key, self.secret_key))
        return Access(endpoint, self.region, self._in_path, self.connect_timeout, self.timeout, name, secret, self.ca_file)

    async def _ask(self, work: "Callable[[S3Client], T]") -> T:
        return await asked(self._access(self.endpoint), self.bucket, work)

    async def _put(self, key: str, data: bytes, headers: dict[str, Any]) -> int:
        await self._ask(lambda s3: s3.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=data, **headers))
        return len(data)

    def _remove(self, keys: Sequence[str], s3: "S3Client") -> None:
        objects: list[ObjectIdentifierTypeDef] = [{"Key": self.prefix + key} for key in keys]
        answer = s3.delete_objects(Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True})
        failed = [one for one in answer.get("Errors", []) if one.get("Code") not in MISSING]
        if failed:
            raise refusal(failed[0].get("Code", ""), 0, self._access(self.endpoint).place, self.bucket)

    async def _unfinished(self) -> AsyncGenerator[Sequence["MultipartUploadTypeDef"], None]:
        query: dict[str, Any] = {"Bucket": self.bucket, "Prefix": self.prefix}
        more = True
        while more:
            page = await self._ask(partial(_begun, query))
            yield page.get("Uploads", [])
            more = page.get("IsTruncated", False)
            query |= {"KeyMarker": page.get("NextKeyMarker", ""), "UploadIdMarker": page.get("NextUploadIdMarker", "")}


def _begun(query: Mapping[str, Any], s3: "S3Client") -> "ListMultipartUploadsOutputTypeDef":
    return s3.list_multipart_uploads(**query)


def _given_up(target: Mapping[str, Any], s3: "S3Client") -> None:
    s3.abort_multipart_upload(**target)


def _opened(s3: "S3Client", bucket: str, key: str, span: Mapping[str, Any]) -> "tuple[StreamingBody, bytes] | None":
    """The object and its first chunk, in one go: most are small. None where it has no such bytes."""
    from botocore.exceptions import ClientError  # noqa: PLC0415  (as in s3_client)

    try:
        body = s3.get_object(Bucket=bucket, Key=key, **span)["Body"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in {"InvalidRange", "416"}:
            return None
        raise
    return body, body.read(CHUNK)
