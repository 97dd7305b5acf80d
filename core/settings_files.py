"""``[files]``: where the files that Pilothouse makes are kept, and what their links look like."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.settings_s3 import S3Settings
from core.settings_types import HttpUrl


class FileSettings(S3Settings):
    """``[files]``: a folder on this machine, or a bucket of anything that speaks S3 (``MINIO_ENDPOINT`` and its kin)."""

    kind: Literal["folder", "s3"] | None = None
    """None: ``s3`` where an endpoint or a bucket is given, else ``folder``."""
    folder: Path | None = None
    """None: ``files`` in the data directory."""
    public_endpoint: HttpUrl | None = None
    """The S3 service as browsers reach it; the bucket is added to it."""
    custom_endpoint: HttpUrl | None = None
    """Base of public links, used as it is: it has to lead to the bucket already. ``MINIO_CUSTOM_ENDPOINT``."""
    links: Literal["served", "public", "presigned"] | None = None
    """``served`` by Pilothouse itself; None: ``public`` with ``custom_endpoint`` or ``set_policy``, else ``served``."""
    link_days: Annotated[float, Field(gt=0, le=7)] = 7.0
    """How long a presigned link works."""
    set_policy: bool = False
    """True: the bucket is made where it is missing, and everyone may read what lies under ``prefix``."""
    retention_days: Annotated[float, Field(gt=0, le=3650)] = 15.0
    """Days that a file of no conversation is kept."""
    max_bytes: Annotated[int, Field(ge=1024)] = 20 * 1024 * 1024
    """The largest file that is kept."""

    @property
    def in_bucket(self) -> bool:
        """Whether files go to S3."""
        return self.kind == "s3" or (self.kind is None and (self.endpoint is not None or self.bucket is not None))

    @property
    def link_kind(self) -> Literal["served", "public", "presigned"]:
        """``links`` with its default put in."""
        if not self.in_bucket:
            return "served"
        return self.links or ("public" if self.custom_endpoint is not None or self.set_policy else "served")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if not self.in_bucket:
            if self.links not in {None, "served"}:
                raise ValueError('links other than "served" need a bucket: expected endpoint and bucket as well')
            return self
        if self.bucket is None:
            raise ValueError("an S3 store needs a bucket: expected files.bucket (MINIO_BUCKET) as well")
        if self.half_a_key or (self.endpoint is not None and self.access_key is None):
            raise ValueError("an S3 store needs both of its keys: expected files.access_key and files.secret_key as well")
        return self
