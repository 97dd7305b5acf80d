"""Services in the settings: what each kind of check must be told, and what it would ignore."""

from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from core.config import load_settings
from core.errors import ConfigurationInvalid
from core.settings_checks import ADDRESSES, FOR
from core.settings_services import Check, ServiceSettings


def refused(**values: object) -> str:
    with pytest.raises(ValidationError) as caught:
        ServiceSettings.model_validate(values)
    (problem,) = caught.value.errors()
    return problem["msg"].removeprefix("Value error, ")


def test_the_rules_are_about_kinds_and_keys_that_exist() -> None:
    kinds = set(get_args(Check))
    assert kinds >= ADDRESSES.keys()
    assert FOR.keys() <= ServiceSettings.model_fields.keys()
    assert all(set(those) <= kinds for those in FOR.values())


@pytest.mark.parametrize(
    ("check", "url"),
    [
        ("http", "https://host/health?deep=1"),
        ("tcp", "tcp://[::1]:5432"),
        ("dns", "dns://name.example.com"),
        ("dns", "dns://10.0.0.2:5353/name.example.com"),
        ("tls", "tls://host"),
        ("tls", "https://host:8443"),
        ("icmp", "icmp://10.0.0.1"),
        ("postgres", "postgresql+asyncpg://u:p@h:5432/db"),
        ("postgres", "postgresql://u@/db?host=/run"),
        ("mysql", "mysql+pymysql://u:p@h/db"),
        ("redis", "valkey://h:6379"),
        ("mongo", "mongodb://a:27017,b:27018/?replicaSet=rs"),
        ("s3", "http://minio:9000"),
        ("ldap", "ldap+starttls://dc"),
        ("oidc", "https://casdoor:8000"),
        ("weaviate", "http://weaviate:8080"),
        ("model", None),
        ("prefect", None),
        ("disk", None),
        ("none", None),
        ("heartbeat", None),
    ],
)
def test_addresses_that_a_check_takes(check: str, url: str | None) -> None:
    assert ServiceSettings.model_validate({"check": check, "url": url}).check == check


@pytest.mark.parametrize(
    ("check", "url", "message"),
    [
        ("http", None, 'check = "http" needs a url such as https://host:port/path'),
        ("http", "tcp://host:80", 'check = "http" needs a url such as https://host:port/path'),
        ("http", "host:80", 'check = "http" needs a url such as https://host:port/path'),
        ("http", "http://host:eighty", 'check = "http" needs a url such as https://host:port/path'),
        ("http", "http:///path", 'check = "http" needs a url such as https://host:port/path'),
        ("http", "http://ho st/", 'check = "http" needs a url such as https://host:port/path, without spaces'),
        ("tcp", "tcp://host", 'check = "tcp" needs a url such as tcp://host:port'),
        ("tcp", "tcp://host:0", 'check = "tcp" needs a url such as tcp://host:port'),
        ("dns", "dns://", 'check = "dns" needs a url such as dns://name, or dns://server/name'),
        ("ldap", "http://dc", 'check = "ldap" needs a url such as ldaps://host, ldap://host or ldap+starttls://host'),
        ("redis", "http://cache", 'check = "redis" needs a url such as redis://:password@host:6379/0'),
    ],
)
def test_other_addresses_are_refused_with_an_example(check: str, url: str | None, message: str) -> None:
    assert refused(check=check, url=url) == message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"json_value": "ok"}, "json_value is what json_path leads to: expected json_path as well"),
        ({"json_path": "$..[?("}, "json_path: expected a JSONPath such as $.status or $.checks[0].state"),
        (
            {"method": "HEAD", "contains": "ok"},
            'an answer to method = "HEAD" has no body: expected GET for contains and json_path',
        ),
        ({"status": "200,299-204"}, "status: 299-204 ends before it begins; expected a range such as 200-299"),
        ({"headers": {"X Key": "v"}}, "headers: expected names such as X-Api-Key"),
        ({"headers": {"X-Key": "v\r\nHost: other"}}, "headers: X-Key holds a line break; expected one line"),
        ({"username": "u"}, "username without a password: expected password as well (env:NAME or file:PATH)"),
        ({"username": "u", "password": ""}, "username without a password: expected password as well (env:NAME or file:PATH)"),
        ({"bucket": "b"}, 'bucket means nothing with check = "http": expected check = "s3"'),
        ({"one_token": True}, 'one_token means nothing with check = "http": expected check = "model"'),
    ],
)
def test_what_does_not_belong_together_is_refused(values: dict[str, object], message: str) -> None:
    assert refused(check="http", url="http://host/", **values) == message


def test_a_container_is_named() -> None:
    assert refused(check="docker") == 'check = "docker" needs the name of a container: expected container as well'


def test_a_refusal_names_file_and_service_and_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "pilothouse.toml"
    file.write_text('[services.shop]\ncheck = "tcp"\nurl = "tcp://user:hunter2@shop"\n', encoding="utf-8")
    with pytest.raises(ConfigurationInvalid) as caught:
        load_settings(config=file, environ={"HOME": str(tmp_path)})
    assert str(caught.value) == 'pilothouse.toml: services.shop: check = "tcp" needs a url such as tcp://host:port'


def test_the_example_in_the_documentation_is_a_valid_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    example = page.partition("## Checks")[2].partition("```toml\n")[2].partition("```")[0]
    for name in ("probe", "company-ca.pem"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    file = tmp_path / "pilothouse.toml"
    file.write_text(example.replace("/run/secrets/", ""), encoding="utf-8")
    services = load_settings(config=file, environ={"HOME": str(tmp_path), "SHOP_KEY": "k"}).services
    assert {name: service.check for name, service in services.items()} == {"shop": "http", "directory": "ldap"}
