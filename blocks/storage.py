"""Where files go, by the settings: a folder or a bucket, and the links that lead to what lies there."""

from dataclasses import dataclass

from blocks.storage_bucket import ObjectBucket
from blocks.storage_folder import ObjectFolder
from core.config import Settings
from core.files import BaseLinks, Links

Storage = ObjectFolder | ObjectBucket


@dataclass(frozen=True, slots=True)
class SignedLinks:
    """Links to a private bucket, for a while."""

    bucket: ObjectBucket
    seconds: float

    async def url(self, key: str) -> str:
        return await self.bucket.presigned(key, self.seconds)


def file_storage(settings: Settings) -> Storage:
    """The store of ``[files]``. Touches nothing yet."""
    files = settings.files
    if not files.in_bucket:
        return ObjectFolder(folder=files.folder or settings.data_dir / "files")
    taken = {"endpoint", "region", "bucket", "prefix", "access_key", "secret_key", "path_style", "public_endpoint", "set_policy"}
    return ObjectBucket(**files.model_dump(include=taken), ca_file=settings.ca_file)


def file_links(settings: Settings, storage: Storage) -> Links:
    """What leads to its objects. A custom endpoint leads to the bucket already, so its name is not put in."""
    files = settings.files
    if isinstance(storage, ObjectBucket) and files.link_kind == "presigned":
        return SignedLinks(storage, files.link_days * 86_400)
    if isinstance(storage, ObjectBucket) and files.link_kind == "public":
        return BaseLinks(f"{files.custom_endpoint or storage.public_base}/{files.prefix}")
    return BaseLinks(f"{settings.address}{settings.api_prefix}/files")


def all_ours(storage: Storage) -> bool:
    """Whether nobody else keeps anything where the store puts its objects: a whole bucket may be shared."""
    return isinstance(storage, ObjectFolder) or bool(storage.prefix)
