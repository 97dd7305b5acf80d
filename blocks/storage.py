"""Where files go, by the settings: a folder or a bucket, and the links that lead to what lies there."""

from blocks.storage_folder import ObjectFolder
from core.config import Settings
from core.files import BaseLinks, Links


def file_store(settings: Settings) -> ObjectFolder:
    """The store of ``[files]``. Touches nothing yet."""
    return ObjectFolder(folder=settings.files.folder or settings.data_dir / "files")


def file_links(settings: Settings) -> Links:
    """What leads to its objects."""
    return BaseLinks(f"{settings.address}{settings.api_prefix}/files")
