"""Where files go by the settings, and by the variables of MinIO's users."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from core.config import Settings, describe, load_settings
from core.errors import ConfigurationInvalid

BOTH = {"MINIO_ACCESS_KEY": "a-name", "MINIO_SECRET_KEY": "a-secret"}
KEYS = 'access_key = "a"\nsecret_key = "b"\n'


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(toml: str = "", **environ: str) -> Settings:
    Path("pilothouse.toml").write_text(toml, encoding="utf-8")
    return load_settings(environ={"HOME": "/nowhere", **environ})


def test_files_stay_on_this_machine_unless_told() -> None:
    settings = load()
    assert not settings.files.in_bucket
    assert settings.files.link_kind == "served"


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({"MINIO_ENDPOINT": "minio"}, "http://minio:9000"),
        ({"MINIO_ENDPOINT": "minio", "MINIO_PORT": "9100"}, "http://minio:9100"),
        ({"MINIO_ENDPOINT": "s3.example", "MINIO_PORT": "443", "MINIO_USE_SSL": "true"}, "https://s3.example"),
        ({"MINIO_ENDPOINT": "s3.example", "MINIO_PORT": "80", "MINIO_USE_SSL": "TRUE"}, "https://s3.example:80"),
        ({"MINIO_ENDPOINT": "s3.example", "MINIO_PORT": "80", "MINIO_USE_SSL": "false"}, "http://s3.example"),
        ({"MINIO_ENDPOINT": "localhost:9001", "MINIO_PORT": "9000"}, "http://localhost:9001"),
        ({"MINIO_ENDPOINT": "https://s3.example/"}, "https://s3.example"),
        ({"MINIO_ENDPOINT": "https://s3.example", "MINIO_PORT": "9443"}, "https://s3.example:9443"),
        ({"MINIO_ENDPOINT": "[::1]"}, "http://[::1]:9000"),
        ({"MINIO_ENDPOINT": "minio", "MINIO_PORT": "tcp://10.0.0.7:9001"}, "http://minio:9000"),
    ],
)
def test_minios_variables_name_the_store(environ: dict[str, str], endpoint: str) -> None:
    files = load(**environ, **BOTH).files
    assert (files.endpoint, files.bucket, files.in_bucket) == (endpoint, "files", True)
    assert (files.access_key, files.secret_key) == (SecretStr("a-name"), SecretStr("a-secret"))
    assert files.link_kind == "served"


def test_the_custom_endpoint_is_the_base_of_public_links() -> None:
    custom = {"MINIO_BUCKET": "charts", "MINIO_CUSTOM_ENDPOINT": "http://host:9000/charts/"}
    settings = load(MINIO_ENDPOINT="minio", **BOTH, **custom)
    assert (settings.files.custom_endpoint, settings.files.link_kind) == ("http://host:9000/charts", "public")
    assert settings.origins["files.custom_endpoint"] == "MINIO_CUSTOM_ENDPOINT"
    shown = {one.key: one.value for one in describe(settings)}
    assert (shown["files.access_key"], shown["files.secret_key"]) == ("********", "********")


def test_all_that_belongs_to_an_address_comes_with_it() -> None:
    toml = '[files]\nendpoint = "http://theirs:9000"\nbucket = "theirs"\nsecret_key = "theirs"\naccess_key = "theirs"\n'
    files = load(toml, MINIO_ENDPOINT="minio", **BOTH).files
    assert (files.endpoint, files.bucket, files.secret_key) == ("http://minio:9000", "files", SecretStr("a-secret"))
    with pytest.raises(ConfigurationInvalid, match=r"MINIO_ENDPOINT: .* expected MINIO_SECRET_KEY"):
        load(toml, MINIO_ENDPOINT="minio", MINIO_ACCESS_KEY="a")


def test_variables_left_alone_are_hinted_at() -> None:
    settings = load(MINIO_BUCKET="charts")
    assert not settings.files.in_bucket
    assert settings.hints == ("MINIO_BUCKET is set but not used: MINIO_ENDPOINT would send files to a bucket",)
    assert load(f'[files]\nbucket = "charts"\n{KEYS}', MINIO_BUCKET="other").hints == ()
    assert load(MINIO_PORT="tcp://10.0.0.7:9000").hints == ()


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"MINIO_PORT": "nine"}, "MINIO_PORT: expected a port number"),
        ({"MINIO_USE_SSL": "maybe"}, "MINIO_USE_SSL: expected true or false"),
        ({"MINIO_ENDPOINT": "[::"}, "MINIO_ENDPOINT: expected a host"),
        ({"MINIO_BUCKET": "x"}, "MINIO_BUCKET: files.bucket: "),
    ],
)
def test_a_bad_variable_is_named(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        load(**({"MINIO_ENDPOINT": "minio"} | BOTH | environ))
    assert said in caught.value.message
    assert "a-secret" not in caught.value.message


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('endpoint = "http://minio:9000"', "expected files.bucket"),
        ('endpoint = "http://minio:9000"\nbucket = "charts"', "both of its keys"),
        ('bucket = "charts"\naccess_key = "a"', "both of its keys"),
        ('links = "public"', "need a bucket"),
        ('prefix = "no-slash"', "files.prefix"),
        ('prefix = "/first/"', "files.prefix"),
        ("link_days = 8", "files.link_days"),
        ("retention_days = 0", "files.retention_days"),
    ],
)
def test_what_cannot_work_is_refused_at_start(toml: str, said: str) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        load(f"[files]\n{toml}\n")
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("toml", "kind"),
    [
        ("", "served"),
        ("set_policy = true", "public"),
        ('set_policy = true\nlinks = "presigned"', "presigned"),
        ('custom_endpoint = "https://cdn.example"', "public"),
        ('custom_endpoint = "https://cdn.example"\nlinks = "served"', "served"),
    ],
)
def test_links_by_default_are_those_that_open(toml: str, kind: str) -> None:
    assert load(f'[files]\nbucket = "charts"\n{KEYS}{toml}\n').files.link_kind == kind


def test_the_machines_own_role_may_open_a_bucket_of_aws() -> None:
    files = load('[files]\nbucket = "charts"\n').files
    assert files.in_bucket
    assert files.access_key is None


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, "http://127.0.0.1:8700"),
        ({"PILOTHOUSE_HOST": "0.0.0.0", "PORT": "80"}, "http://127.0.0.1:80"),
        ({"PILOTHOUSE_HOST": "::"}, "http://[::1]:8700"),
        ({"SITE_URL": "https://ai.example/"}, "https://ai.example"),
    ],
)
def test_links_to_pilothouse_begin_with_its_address(environ: dict[str, str], address: str) -> None:
    assert load(**environ).address == address
