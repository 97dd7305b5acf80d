"""The SDK's S3 clients, one per address and key in a process, and the threads in which they work.

A client takes a tenth of a second to make and may be used by many threads at once. The SDK and everything it loads is imported
when the first one is made.
"""

import asyncio
import base64
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from blocks.s3_errors import in_our_words
from blocks.tls import trusted_file
from core.addresses import is_loopback
from core.errors import StoreUnavailable

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

T = TypeVar("T")

AT_ONCE = 8
_THREADS = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="s3")
_MAKING = Lock()


@dataclass(frozen=True, slots=True)
class Access:
    """What a client is made from. ``endpoint`` None means AWS; without keys its own ways of finding some."""

    endpoint: str | None
    region: str
    path_style: bool
    connect_timeout: float
    timeout: float
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    ca_file: Path | None = None

    @property
    def place(self) -> str:
        """For messages: host and port."""
        return urlsplit(self.endpoint).netloc.rpartition("@")[2] if self.endpoint else f"AWS {self.region}"


async def asked(access: Access, bucket: str, work: "Callable[[S3Client], T]") -> T:
    """The result of ``work`` with the client, in a thread. Raises ``StoreUnavailable``, ``StoreRefused``, ``NotFound``."""

    def working() -> T:
        with in_our_words(access.place, bucket):
            return work(client(access))

    try:
        async with asyncio.timeout(access.timeout):
            return await asyncio.get_running_loop().run_in_executor(_THREADS, working)
    except TimeoutError:
        what = f"The object store at {access.place} did not answer within {access.timeout:g} s"
        raise StoreUnavailable(f"{what}; try again in a moment.", retry_after=5) from None


def client(access: Access) -> "S3Client":
    """The client of that address and key; blocks while the first one is made."""
    with _MAKING:
        return _made(access)


@cache
def _made(access: Access) -> "S3Client":
    import boto3  # noqa: PLC0415  (a third of a second, and only where there is a bucket)
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=access.connect_timeout,
        read_timeout=access.timeout,
        max_pool_connections=AT_ONCE,
        tcp_keepalive=True,
        # Our tasks try again, where it makes sense and visibly.
        retries={"total_max_attempts": 1, "mode": "standard"},
        s3={"addressing_style": "path" if access.path_style else "virtual"},
        signature_version="s3v4",
        # What only AWS understands is left out; the signature covers the content over HTTP, TLS does over HTTPS.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        ignore_configured_endpoint_urls=True,  # type: ignore[call-arg]  # its types do not know it
        proxies={} if is_loopback(urlsplit(access.endpoint or "").hostname or "") else None,
    )
    made = boto3.session.Session(
        aws_access_key_id=access.access_key or None,
        aws_secret_access_key=access.secret_key or None,
        region_name=access.region,
    ).client("s3", endpoint_url=access.endpoint, config=config, verify=trusted_file(access.ca_file))
    made.meta.events.register("before-sign.s3.DeleteObjects", _with_md5)
    return made


def _with_md5(request: Any, **_: Any) -> None:
    """Deleting many at once is refused by most stores without the checksum that the SDK has given up."""
    request.headers["Content-MD5"] = base64.b64encode(hashlib.md5(request.body, usedforsecurity=False).digest()).decode()
