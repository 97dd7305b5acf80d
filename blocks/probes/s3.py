"""S3: a tiny object is put into a bucket, read, compared and deleted; without a bucket, the buckets are listed."""

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from blocks.own_thread import in_own_thread
from blocks.probes.asking import Question, ask
from blocks.probes.findings import Ended, Findings, down, looked
from blocks.probes.observing import ca_file_of, failed, first_cause, late, limit_of
from blocks.s3_client import Access, client
from blocks.s3_errors import BUSY, CREDENTIALS, FULL
from core.addresses import http_url
from core.errors import ConfigurationInvalid
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PREFIX = "pilothouse-probe/"
SIZE = 64
OLD = timedelta(minutes=15)
"""Age from which an object of ours was left by a look that was killed."""
DENIED = frozenset({"AccessDenied", "AllAccessDisabled", "403", "MethodNotAllowed", "405"})
AWS = (".amazonaws.com", ".amazonaws.com.cn")
VIRTUAL = (".aliyuncs.com", ".myqcloud.com")
"""Services that take a bucket's name as a part of the host alone."""
_MARKS = (b"<Error>", b"ListAllMyBucketsResult")
"""What S3 answers with to a stranger."""
_SENTENCES: Mapping[str, str] = {
    "login": "{} does not accept the key: correct username (access key), password (secret key) and region.",
    "bucket": '{} has no bucket "{bucket}": create it, or correct bucket.',
    "full": '{} takes no more: make room, or raise the quota of bucket "{bucket}".',
    "clock": "{} finds our clock wrong: set this machine's time, or its own.",
    "busy": "{} is overloaded or failing: look at its log.",
    "denied": "{} forbids what was asked: grant the key the right to list buckets, or set bucket.",
    "refused": "{} refused what was asked: check address, region and bucket.",
}


class S3Probe:
    """With a key through the SDK; without one, a service that is named by its address only has to answer as S3 does."""

    def __init__(self, access: Access, bucket: str | None, service: ServiceSettings, settings: Settings) -> None:
        self._access = access
        self._bucket = bucket
        self._slow = service.slow
        self._reach = settings.sweeps.reach

    async def look(self) -> Observation:
        """See ``Probe.look``."""

        async def asked(found: Findings) -> None:
            if self._access.endpoint is not None and not self._access.access_key:
                await self._greeted(self._access.endpoint, found)
            else:
                await in_own_thread(partial(self._asked, found), "s3-probe")

        return await looked(self._access.place, self._access.timeout, self._slow, asked)

    async def _greeted(self, url: str, found: Findings) -> None:
        question = Question(
            url=f"{url}/", limit=self._access.timeout, ca_file=self._access.ca_file, redirects=False, reach=self._reach
        )
        answer = await ask(question)
        if isinstance(answer, Observation):
            raise Ended(answer)
        if answer.status >= 500:
            raise self._refused(str(answer.status))
        if not any(mark in answer.body for mark in _MARKS):
            raise self._no_s3()
        found.unchecked("The login was not checked: set username (access key) and password (secret key).")

    def _asked(self, found: Findings) -> None:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError  # noqa: PLC0415  (as in s3_client)

        try:
            s3 = client(self._access)
            found.begin()  # making the first one is not the service's time
            if self._bucket is None:
                found.facts["buckets"] = len(s3.list_buckets().get("Buckets", []))
                found.answered()
            else:
                self._round(s3, self._bucket, found)
        except ClientError as error:
            raise self._refused(_code(error)) from None
        except (HTTPClientError, BotoCoreError, OSError) as error:
            raise self._broken(error) from None

    def _round(self, s3: "S3Client", bucket: str, found: Findings) -> None:
        """Put, get, delete."""
        from botocore.exceptions import ClientError  # noqa: PLC0415

        key, content = f"{PREFIX}{secrets.token_hex(16)}", secrets.token_bytes(SIZE)
        try:
            version = s3.put_object(Bucket=bucket, Key=key, Body=content).get("VersionId")
        except ClientError as error:
            if _code(error) in DENIED and self._reads(s3, bucket):
                found.answered()
                found.add("degraded", "read_only", f'Bucket "{bucket}" can be read, but not written: grant the key s3:PutObject.')
                return
            raise
        try:
            read = s3.get_object(Bucket=bucket, Key=key)["Body"].read(SIZE + 1)
            if read != content:
                raise down("content", f'Bucket "{bucket}" gives back something else than was put into it: look at its log.')
            found.answered()
        finally:
            self._remove(s3, bucket, key, version, found)
        self._clear(s3, bucket, found)

    def _remove(self, s3: "S3Client", bucket: str, key: str, version: str | None, found: Findings) -> None:
        from botocore.exceptions import ClientError  # noqa: PLC0415

        tries: list[Callable[[], object]] = [lambda: s3.delete_object(Bucket=bucket, Key=key)]
        if version and version != "null":  # else each look would leave a version behind
            tries.insert(0, lambda: s3.delete_object(Bucket=bucket, Key=key, VersionId=version))
        for each in tries:
            try:
                each()
            except ClientError as error:
                code = _code(error)
            else:
                return
        found.add("degraded", "delete", f'Bucket "{bucket}" keeps what is deleted ({code}): grant the key s3:DeleteObject.')

    def _clear(self, s3: "S3Client", bucket: str, found: Findings) -> None:
        """Remove what earlier looks left that were killed; a key that may not list leaves it there."""
        from botocore.exceptions import ClientError  # noqa: PLC0415

        before = datetime.now(UTC) - OLD
        with suppress(ClientError):
            for each in s3.list_objects_v2(Bucket=bucket, Prefix=PREFIX, MaxKeys=100).get("Contents", []):
                if each["LastModified"] < before:
                    s3.delete_object(Bucket=bucket, Key=each["Key"])

    def _reads(self, s3: "S3Client", bucket: str) -> bool:
        from botocore.exceptions import ClientError  # noqa: PLC0415

        try:
            s3.list_objects_v2(Bucket=bucket, MaxKeys=1)
        except ClientError:
            return False
        return True

    def _refused(self, code: str) -> Ended:
        kinds = (
            ("login", frozenset(CREDENTIALS)),
            ("bucket", frozenset({"NoSuchBucket"})),
            ("full", frozenset(FULL)),
            ("clock", frozenset({"RequestTimeTooSkewed"})),
            ("busy", BUSY | {"InternalError", "ServiceUnavailable", "500", "502", "503", "504"}),
            ("denied", DENIED),
        )
        found = next((kind for kind, codes in kinds if code in codes), "refused")
        sentence = _SENTENCES[found].format(self._access.place, bucket=self._bucket)
        if found == "denied" and self._bucket is not None:
            sentence = f'{self._access.place} lets the key neither write nor list bucket "{self._bucket}": grant it the rights.'
        return down(found, sentence)

    def _broken(self, error: Exception) -> Ended:
        from botocore import exceptions as sdk  # noqa: PLC0415

        where = self._access.place
        if isinstance(error, sdk.ConnectTimeoutError | sdk.ReadTimeoutError):
            return Ended(late(where, self._access.timeout))
        if isinstance(cause := first_cause(error), OSError):
            return Ended(failed(cause, where))
        if isinstance(error, sdk.ProxyConnectionError):
            return Ended(Observation("unreachable", "proxy", f"The proxy on the way to {where} fails: check HTTPS_PROXY."))
        if isinstance(error, sdk.ConnectionClosedError | sdk.ConnectionError):
            return Ended(failed(ConnectionResetError(), where))
        if isinstance(error, sdk.NoCredentialsError | sdk.PartialCredentialsError):
            return down("login", "There is no key: set username (access key) and password (secret key).")
        return self._no_s3()

    def _no_s3(self) -> Ended:
        return down("protocol", f"What answers at {self._access.place} is no S3 that we understand: correct host and port.")


def _code(error: Exception) -> str:
    response = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", "") or response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``. A path in the address names the bucket, where nothing else does."""
    try:
        parts = urlsplit(http_url("" if service.url is None else service.url.get_secret_value()))
    except ValueError as error:
        raise ConfigurationInvalid(f"services.{name}.url: {error}.") from None
    host, address = parts.hostname or "", parts.netloc.rpartition("@")[2]
    password = "" if service.password is None else service.password.get_secret_value()
    access = Access(
        # The SDK knows the addresses of AWS by region, and finds a key of its own there where none is set.
        endpoint=None if host.startswith("s3") and host.endswith(AWS) else f"{parts.scheme}://{address}",
        region=service.region,
        path_style=not host.endswith(VIRTUAL + AWS),
        connect_timeout=limit_of(service, settings),
        timeout=limit_of(service, settings),
        access_key=unquote(parts.username or "") or service.username or "",
        secret_key=unquote(parts.password or "") or password,
        ca_file=ca_file_of(service, settings),
    )
    return S3Probe(access, service.bucket or unquote(parts.path.strip("/")) or None, service, settings)
