"""A tar put back as the objects of a bucket."""

import json
import tarfile
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Any

from blocks.bucket_objects import AT_ONCE, HEAD, SMALL, Bucket, put
from blocks.handover import CHUNK, Abandoned
from core.backups.errors import BackupDamaged
from core.backups.place import Stream

LARGEST_PART = 64 << 20


def unpack(bucket: Bucket, stream: Stream, wanted: Callable[[str], bool], is_stopped: Callable[[], bool]) -> int:
    """Put the objects of a tar into the bucket whose keys are wanted; how many. Raises ``Abandoned``, ``BackupDamaged``."""
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
                    if source is None or not wanted(key):
                        continue
                    count += 1
                    head = json.loads(member.pax_headers.get(HEAD, "{}"))
                    if member.size > SMALL:
                        _upload(bucket, key, source, head)
                        continue
                    sending.append(threads.submit(put, bucket, key, source.read(), head))
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
