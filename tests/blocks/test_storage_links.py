"""Which store and which links the settings make."""

import pytest

from blocks.storage import file_links, file_storage
from blocks.storage_bucket import ObjectBucket
from blocks.storage_folder import ObjectFolder
from core.config import Settings

BUCKET = {"endpoint": "http://minio:9000", "bucket": "charts", "access_key": "a", "secret_key": "b"}
KEY = "0" * 32 + "-chart.svg"


def settings(files: dict[str, object], **more: object) -> Settings:
    return Settings.model_validate({"data_dir": "/data", "files": files} | more)


def test_a_folder_is_in_the_data_directory_unless_named() -> None:
    found = file_storage(settings({}))
    assert isinstance(found, ObjectFolder)
    assert str(found.folder) == "/data/files"
    other = file_storage(settings({"folder": "/mnt/shared"}))
    assert isinstance(other, ObjectFolder)
    assert str(other.folder) == "/mnt/shared"


def test_a_bucket_gets_all_that_the_settings_say() -> None:
    found = file_storage(settings(BUCKET | {"prefix": "ours/", "region": "cn-north-1", "path_style": False, "set_policy": True}))
    assert isinstance(found, ObjectBucket)
    assert (found.prefix, found.region, found.path_style, found.set_policy) == ("ours/", "cn-north-1", False, True)
    assert found.secret_key is not None
    assert found.secret_key.get_secret_value() == "b"


@pytest.mark.parametrize(
    ("files", "more", "url"),
    [
        ({}, {}, "http://127.0.0.1:8700/files/"),
        ({}, {"public_url": "https://ai.example/", "api_prefix": "/api"}, "https://ai.example/api/files/"),
        (BUCKET, {}, "http://127.0.0.1:8700/files/"),
        (BUCKET | {"set_policy": True}, {}, "http://minio:9000/charts/"),
        (BUCKET | {"links": "public", "public_endpoint": "https://s3.example"}, {}, "https://s3.example/charts/"),
        (BUCKET | {"links": "public", "prefix": "ours/"}, {}, "http://minio:9000/charts/ours/"),
        (BUCKET | {"custom_endpoint": "http://host:9000/charts"}, {}, "http://host:9000/charts/"),
        (BUCKET | {"custom_endpoint": "http://host:9000/charts/"}, {}, "http://host:9000/charts/"),
        (BUCKET | {"custom_endpoint": "https://cdn.example//", "prefix": "ours/"}, {}, "https://cdn.example/ours/"),
    ],
)
async def test_links_lead_where_they_should(files: dict[str, object], more: dict[str, object], url: str) -> None:
    made = settings(files, **more)
    assert await file_links(made, file_storage(made)).url(KEY) == url + KEY


async def test_presigned_links_are_signed_for_the_public_endpoint_and_the_days_that_were_set() -> None:
    made = settings(BUCKET | {"links": "presigned", "public_endpoint": "https://s3.example", "link_days": 2})
    link = await file_links(made, file_storage(made)).url(KEY)
    assert link.startswith(f"https://s3.example/charts/{KEY}?")
    assert "X-Amz-Expires=172800&" in link
