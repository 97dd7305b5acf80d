"""A bucket on a real S3 server: links, the policy, credentials, a server that is away, dies or hangs, unfinished uploads."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from botocore.exceptions import ClientError

from blocks.s3_client import Access, client
from blocks.storage_bucket import ObjectBucket
from core.errors import PilothouseError, StoreRefused, StoreUnavailable
from tests.blocks.test_storage import MIB, bucket_block, chunks, content, keys
from tests.ports import free_port
from tests.s3 import S3Server
from tests.waiting import eventually

CJK = "季度报告（一）.svg"


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as opened:
        yield opened


def unfinished(s3: S3Server, bucket: str) -> list[str]:
    return [one["Key"] for one in s3.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


async def test_a_private_bucket_is_read_by_a_signed_link_alone(s3: S3Server, http: httpx.AsyncClient) -> None:
    bucket = bucket_block(s3, s3.bucket())
    await bucket.put("one-chart.svg", b"<svg/>", "image/svg+xml", CJK)
    plain = f"{bucket.public_base}/one-chart.svg"
    assert (await http.get(plain)).status_code == 403
    link = await bucket.presigned("one-chart.svg", 60)
    assert link.startswith(f"{plain}?")
    found = await http.get(link)
    assert (found.status_code, found.content, found.headers["content-type"]) == (200, b"<svg/>", "image/svg+xml")
    assert found.headers["content-disposition"].startswith("inline; ")
    assert "filename*=UTF-8''%E5%AD%A3%E5%BA%A6" in found.headers["content-disposition"]
    other = link.replace("one-chart.svg", "two-chart.svg")
    assert (await http.get(other)).status_code == 403
    assert s3.password not in link


async def test_a_signed_link_ends(s3: S3Server, http: httpx.AsyncClient) -> None:
    bucket = bucket_block(s3, s3.bucket())
    await bucket.put("one", b"x", "text/plain", "x")
    link = await bucket.presigned("one", 1)
    assert parse_qs(urlsplit(link).query)["X-Amz-Expires"] == ["1"]

    async def refused() -> bool:
        return (await http.get(link)).status_code == 403

    await eventually(refused, what="the link has ended")


async def test_a_signed_link_is_signed_for_the_address_that_browsers_use(s3: S3Server, http: httpx.AsyncClient) -> None:
    """The signature covers the host: one made for another address would be refused."""
    name = s3.bucket()
    public = s3.url.replace("127.0.0.1", "localhost")
    bucket = bucket_block(s3, name, public_endpoint=public)
    await bucket.put("one", b"x", "text/plain", "x")
    link = await bucket.presigned("one", 60)
    assert link.startswith(f"{public}/{name}/one?")
    assert (await http.get(link)).status_code == 200
    assert (await http.get(link.replace("localhost", "127.0.0.1"))).status_code == 403
    assert bucket.public_base == f"{public}/{name}"


async def test_everyone_reads_what_the_policy_opens_and_nothing_else(s3: S3Server, http: httpx.AsyncClient) -> None:
    """The bucket is missing at first, and is made."""
    name = "made-by-policy"
    bucket = bucket_block(s3, name, prefix="ours/", set_policy=True)
    await bucket.put("one.svg", b"<svg/>", "image/svg+xml", "one.svg")
    s3.client().put_object(Bucket=name, Key="theirs.svg", Body=b"x")
    assert (await http.get(f"{bucket.public_base}/ours/one.svg")).status_code == 200
    assert (await http.get(f"{bucket.public_base}/theirs.svg")).status_code == 403
    assert (await http.get(bucket.public_base)).status_code == 403
    assert (await http.put(f"{bucket.public_base}/ours/one.svg", content=b"y")).status_code == 403


async def test_a_policy_is_set_only_when_asked_and_only_once(s3: S3Server) -> None:
    name = s3.bucket()
    await bucket_block(s3, name).put("one", b"x", "text/plain", "x")
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        s3.client().get_bucket_policy(Bucket=name)
    theirs = {"Sid": "Theirs", "Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["s3:GetObject"]}
    policy = {"Version": "2012-10-17", "Statement": [theirs | {"Resource": [f"arn:aws:s3:::{name}/open/*"]}]}
    s3.client().put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    for _ in range(2):
        await bucket_block(s3, name, set_policy=True, prefix="charts/").put("one", b"x", "text/plain", "x")
    kept = json.loads(s3.client().get_bucket_policy(Bucket=name)["Policy"])["Statement"]
    resources = sorted(resource for statement in kept for resource in statement["Resource"])
    assert resources == [f"arn:aws:s3:::{name}/charts/*", f"arn:aws:s3:::{name}/open/*"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"secret_key": "wrong-secret-0001"}, "does not accept our key"),
        ({"access_key": "nobody-0001"}, "does not accept our key"),
        ({"bucket": "no-such-bucket-0001"}, 'has no bucket "no-such-bucket-0001"'),
        ({"bucket": "not/a bucket"}, "cannot be asked"),
    ],
)
async def test_what_an_administrator_has_to_set_right_is_said(s3: S3Server, change: dict[str, str], said: str) -> None:
    bucket = bucket_block(s3, s3.bucket(), **change)
    for asked in (bucket.put("one", b"x", "text/plain", "x"), keys(bucket), bucket.check(), bucket.remove(["one"])):
        with pytest.raises(StoreRefused, match=said) as caught:
            await asked
        assert caught.value.permanent
        for secret in (s3.password, "wrong-secret-0001", "nobody-0001"):
            assert secret not in caught.value.message
    assert "wrong-secret-0001" not in repr(bucket)


async def test_a_server_that_is_away_is_said_to_be(s3: S3Server) -> None:
    bucket = bucket_block(s3, "any-bucket", endpoint=f"http://127.0.0.1:{free_port()}")
    for asked in (bucket.put("one", b"x", "text/plain", "x"), keys(bucket), bucket.check(), content(bucket, "one")):
        with pytest.raises(StoreUnavailable, match="does not answer") as caught:
            await asked
        assert not caught.value.permanent
        assert caught.value.retry_after


async def test_a_server_that_hangs_is_waited_for_only_so_long(own_s3: S3Server) -> None:
    bucket = bucket_block(own_s3, own_s3.bucket(), timeout=0.5)
    await bucket.put("one", b"x", "text/plain", "x")
    own_s3.freeze()
    with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.5 s"):
        await bucket.put("two", b"x", "text/plain", "x")
    own_s3.thaw()
    await eventually(lambda: _put(bucket, "three"), what="it answers again")


async def _put(bucket: ObjectBucket, key: str) -> bool:
    try:
        return await bucket.put(key, b"x", "text/plain", "x") == 1
    except PilothouseError:
        return False


async def test_a_server_killed_in_the_middle_of_an_upload_and_back_gets_the_whole(own_s3: S3Server) -> None:
    name = own_s3.bucket()
    bucket = bucket_block(own_s3, name)
    total = 23 * MIB

    async def source() -> AsyncGenerator[bytes, None]:
        sent = 0
        async for chunk in chunks(total):
            yield chunk
            sent += len(chunk)
            if sent - len(chunk) < 12 * MIB <= sent:
                assert unfinished(own_s3, name) == ["big"]
                own_s3.kill()
                asyncio.get_running_loop().call_later(1.0, own_s3.start)

    assert await bucket.put("big", source(), "application/octet-stream", "big") == total
    assert await content(bucket, "big") == b"".join([chunk async for chunk in chunks(total)])
    assert unfinished(own_s3, name) == []


async def test_an_upload_that_fails_leaves_no_parts(s3: S3Server) -> None:
    name = s3.bucket()
    bucket = bucket_block(s3, name)
    going = asyncio.Event()

    async def endless() -> AsyncGenerator[bytes, None]:
        async for chunk in chunks(16 * MIB):
            yield chunk
        assert unfinished(s3, name) == ["big"]
        going.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(bucket.put("big", endless(), "application/octet-stream", "big"))
    await going.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert unfinished(s3, name) == []
    assert await keys(bucket) == []


async def test_uploads_that_a_dead_process_left_are_given_up_under_our_prefix(s3: S3Server) -> None:
    name = s3.bucket()
    for key in ("ours/one", "ours/two", "theirs"):
        s3.client().create_multipart_upload(Bucket=name, Key=key)
    bucket = bucket_block(s3, name, prefix="ours/")
    assert await bucket.tidy(hours=1) == 0
    assert await bucket.tidy(hours=-1) == 2
    assert unfinished(s3, name) == ["theirs"]


def test_addresses_of_both_styles() -> None:
    def base(**values: object) -> str:
        return ObjectBucket.model_validate({"bucket": "charts"} | values).public_base

    assert base(endpoint="http://minio:9000") == "http://minio:9000/charts"
    assert (
        base(endpoint="https://oss-cn-hangzhou.aliyuncs.com", path_style=False) == "https://charts.oss-cn-hangzhou.aliyuncs.com"
    )
    assert base(region="eu-central-1") == "https://charts.s3.eu-central-1.amazonaws.com"
    assert base(region="eu-central-1", path_style=True) == "https://s3.eu-central-1.amazonaws.com/charts"
    assert base(endpoint="http://minio:9000", public_endpoint="https://s3.example/") == "https://s3.example/charts"


async def test_a_virtual_host_is_signed_too() -> None:
    values = {"bucket": "charts", "endpoint": "https://s3.example", "path_style": False, "access_key": "a", "secret_key": "b"}
    link = await ObjectBucket.model_validate(values).presigned("one two.svg", 60)
    assert link.startswith("https://charts.s3.example/one%20two.svg?")


def test_one_client_serves_a_process_and_nothing_shows_its_key() -> None:
    access = Access("http://127.0.0.1:9", "us-east-1", True, 1.0, 1.0, "name", "very-secret")
    assert client(access) is client(Access("http://127.0.0.1:9", "us-east-1", True, 1.0, 1.0, "name", "very-secret"))
    assert "very-secret" not in repr(access)
