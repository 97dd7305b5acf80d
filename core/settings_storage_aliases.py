"""The variables by which MinIO's users say where files go: ``MINIO_ENDPOINT`` and what belongs to it."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from core.errors import ConfigurationInvalid

MINIO = (
    "MINIO_ENDPOINT",
    "MINIO_PORT",
    "MINIO_USE_SSL",
    "MINIO_ACCESS_KEY",
    "MINIO_SECRET_KEY",
    "MINIO_BUCKET",
    "MINIO_CUSTOM_ENDPOINT",
)
PORT = "9000"
BUCKET = "files"
TRUE, FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off", ""}


def minio_settings(given: Mapping[str, str]) -> dict[str, tuple[str, object]]:
    """Keys of ``[files]``, each with its variable and value; none without ``MINIO_ENDPOINT``.

    All that belongs to the address is set together, so that no key of another store is sent there.
    """
    given = _meant(given)
    if "MINIO_ENDPOINT" not in given:
        return {}
    found: dict[str, tuple[str, object]] = {
        "kind": ("MINIO_ENDPOINT", "s3"),
        "endpoint": ("MINIO_ENDPOINT", _endpoint(given)),
        "bucket": ("MINIO_BUCKET", given.get("MINIO_BUCKET", BUCKET)),
    }
    for key, name in (("access_key", "MINIO_ACCESS_KEY"), ("secret_key", "MINIO_SECRET_KEY")):
        if name not in given:
            raise ConfigurationInvalid(f"MINIO_ENDPOINT: an S3 store needs both of its keys; expected {name} to be set as well")
        found[key] = (name, given[name])
    if "MINIO_CUSTOM_ENDPOINT" in given:
        found["custom_endpoint"] = ("MINIO_CUSTOM_ENDPOINT", given["MINIO_CUSTOM_ENDPOINT"])
    return found


def minio_hints(given: Mapping[str, str], in_bucket: bool) -> list[str]:
    """That variables were left alone, where nothing says that files go to a bucket."""
    alone = [name for name in MINIO if name in _meant(given)]
    if in_bucket or not alone or "MINIO_ENDPOINT" in alone:
        return []
    return [f"{alone[0]} is set but not used: MINIO_ENDPOINT would send files to a bucket"]


def _meant(given: Mapping[str, str]) -> Mapping[str, str]:
    """Without the address by which Kubernetes describes a service called "minio"."""
    return {name: value for name, value in given.items() if name != "MINIO_PORT" or not value.startswith("tcp://")}


def _endpoint(given: Mapping[str, str]) -> str:
    """The address; a scheme and a port in ``MINIO_ENDPOINT`` itself win."""
    text, port, tls = given["MINIO_ENDPOINT"], given.get("MINIO_PORT", PORT), given.get("MINIO_USE_SSL", "").lower()
    if not port.isdecimal():
        raise ConfigurationInvalid("MINIO_PORT: expected a port number")
    if tls not in TRUE | FALSE:
        raise ConfigurationInvalid("MINIO_USE_SSL: expected true or false")
    schemed = "://" in text
    try:
        parts = urlsplit(text if schemed else f"{'https' if tls in TRUE else 'http'}://{text}")
        named = parts.port
    except ValueError:
        raise ConfigurationInvalid("MINIO_ENDPOINT: expected a host such as minio or minio.example") from None
    if named is not None or (schemed and "MINIO_PORT" not in given) or port == {"https": "443", "http": "80"}.get(parts.scheme):
        return parts.geturl()
    return parts._replace(netloc=f"{parts.netloc}:{port}").geturl()
