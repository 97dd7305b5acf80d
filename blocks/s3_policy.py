"""A bucket that everyone may read, or what lies under one prefix of it: made where it is missing, other rules left alone."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

STATEMENT = "PilothouseFiles"
READ = "s3:GetObject"


def arrange(s3: "S3Client", bucket: str, prefix: str, location: str | None) -> None:
    """Run twice is run once. ``location``: the region that AWS wants named when a bucket is made outside its first one."""
    from botocore.exceptions import ClientError  # noqa: PLC0415  (as in s3_client)

    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if _code(error) not in {"404", "NoSuchBucket"}:
            raise
        where: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": location}} if location else {}
        s3.create_bucket(Bucket=bucket, **where)
    try:
        policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    except ClientError as error:
        if _code(error) != "NoSuchBucketPolicy":
            raise
        policy = {"Version": "2012-10-17", "Statement": []}
    resource = f"arn:aws:s3:::{bucket}/{prefix}*"
    if not any(_opens(statement, resource) for statement in policy["Statement"]):
        ours = {"Sid": STATEMENT, "Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": [READ], "Resource": [resource]}
        policy["Statement"].append(ours)
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def _opens(statement: Mapping[str, Any], resource: str) -> bool:
    """Whether it lets everyone read there already; services write single values and lists as they like."""
    principal = statement.get("Principal")
    everyone = "*" in _listed(principal.get("AWS", []) if isinstance(principal, dict) else principal)
    allowed = statement.get("Effect") == "Allow" and not statement.get("Condition")
    return allowed and everyone and READ in _listed(statement.get("Action")) and resource in _listed(statement.get("Resource"))


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _code(error: Exception) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
