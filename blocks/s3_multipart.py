"""Large objects in parts: one on its way while the next is filled, each tried again, none left behind when the source fails."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from core.errors import PilothouseError, StoreUnavailable

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef

Ask = Callable[[Callable[["S3Client"], Any]], Awaitable[Any]]
TRIES = 5
"""Of one part, within some eight seconds: the source cannot be read a second time."""


async def parts_of(source: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """``source`` in parts of ``size`` bytes, the last one smaller."""
    held = bytearray()
    async for chunk in source:
        held += chunk
        while len(held) > size:  # a part of exactly that size may be the last
            yield bytes(held[:size])
            del held[:size]
    yield bytes(held)


async def upload(ask: Ask, bucket: str, key: str, parts: AsyncIterator[bytes], first: bytes, headers: Mapping[str, Any]) -> int:
    """Upload ``first`` and the rest of ``parts`` as one object; its size in bytes. Whatever fails, the upload is given up."""
    target: dict[str, Any] = {"Bucket": bucket, "Key": key}
    begun = await ask(lambda s3: s3.create_multipart_upload(**target, **headers))
    target["UploadId"] = begun["UploadId"]
    done: list[CompletedPartTypeDef] = []
    size = len(first)
    sending = asyncio.create_task(_sent(ask, target, 1, first))
    try:
        async for part in parts:
            done.append(await sending)
            size += len(part)
            sending = asyncio.create_task(_sent(ask, target, len(done) + 1, part))
        done.append(await sending)
        await ask(lambda s3: s3.complete_multipart_upload(**target, MultipartUpload={"Parts": done}))
    except BaseException:
        sending.cancel()
        with suppress(PilothouseError, asyncio.CancelledError):
            await sending
        # Also when we are cancelled; what this misses, tidying finds.
        with suppress(PilothouseError):
            await asyncio.shield(ask(lambda s3: s3.abort_multipart_upload(**target)))
        raise
    return size


async def _sent(ask: Ask, target: Mapping[str, Any], number: int, data: bytes) -> "CompletedPartTypeDef":
    for tried in range(1, TRIES + 1):
        try:
            answer = await ask(lambda s3: s3.upload_part(**target, PartNumber=number, Body=data))
        except StoreUnavailable:
            if tried == TRIES:
                raise
            await asyncio.sleep(0.5 * 2 ** (tried - 1) * random.uniform(0.75, 1.25))  # noqa: S311  (jitter)
        else:
            return {"PartNumber": number, "ETag": answer["ETag"]}
    raise AssertionError
