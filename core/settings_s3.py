"""A bucket of anything that speaks S3, as the sections that lead to one have it."""

from typing import Annotated

from pydantic import Field, SecretStr

from core.settings_types import HttpUrl, Section


class S3Settings(Section):
    """Where a bucket is, and who may use it."""

    endpoint: HttpUrl | None = None
    """Address of the S3 service; None with a bucket means AWS."""
    region: str = "us-east-1"
    bucket: Annotated[str, Field(min_length=3, max_length=63)] | None = None
    prefix: Annotated[str, Field(pattern=r"^(?:[\w-][\w.-]*/)*$", max_length=200)] = ""
    """What keys in the bucket begin with, such as ``pilothouse/``; only what lies under it concerns us."""
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    path_style: bool | None = None
    """``endpoint/bucket/key`` (True) or ``bucket.endpoint/key``; None takes the first wherever an endpoint is given."""

    @property
    def half_a_key(self) -> bool:
        """Whether one of the two keys is missing: they are only of use together."""
        return (self.access_key is None) != (self.secret_key is None)

    @property
    def without_bucket(self) -> bool:
        """Whether something is said of a bucket that is not named."""
        return self.bucket is None and bool(self.endpoint or self.prefix or self.access_key or self.secret_key)
