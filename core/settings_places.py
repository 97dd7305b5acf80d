"""Where state lies that is saved or put back: what ``[sources.X]`` and ``[targets.X]`` have in common."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import SecretStr, model_validator

from core.addresses import http_url, mysql_url, postgres_url, redis_url
from core.settings_s3 import S3Settings
from core.settings_types import secret

Engine = Literal["postgres", "mysql", "mongo", "redis", "bucket", "folder", "weaviate"]
SCHEMES: dict[str, Engine] = {
    "postgresql": "postgres",
    "postgres": "postgres",
    "mysql": "mysql",
    "mariadb": "mysql",
    "mongodb": "mongo",
    "mongodb+srv": "mongo",
    "redis": "redis",
    "rediss": "redis",
    "valkey": "redis",
    "valkeys": "redis",
    "http": "weaviate",
    "https": "weaviate",
}
"""Engine by the scheme of a place's URL."""


def engine_of(url: str) -> Engine:
    """By the scheme; a driver's suffix (``postgresql+asyncpg``) changes nothing. Raises ``ValueError``."""
    scheme = url.strip().partition("://")[0].lower()
    engine = SCHEMES.get(scheme) or SCHEMES.get(scheme.partition("+")[0])
    if engine is None or "://" not in url:
        raise ValueError("expected an address that begins with postgresql://, mysql://, mongodb://, redis://, s3:// or http://")
    return engine


def names_database(url: str) -> bool:
    """Whether the address of a database server names one of its databases."""
    return bool(urlsplit(url).path.strip("/"))


def place_url(url: str) -> str:
    """The address in its engine's usual form. Raises ``ValueError``.

    PostgreSQL always has a database to log in to: one of a server alone is completed by ``postgres``.
    """
    plain, engine = url.strip(), engine_of(url)
    base, _, query = plain.partition("?")
    if engine == "postgres":
        whole = plain if names_database(plain) else f"{base.rstrip('/')}/postgres"
        return postgres_url(whole if whole == plain or not query else f"{whole}?{query}")
    if engine == "mysql":
        return _mysql(plain, base, query)
    if engine == "redis":
        return redis_url(plain)
    if engine == "weaviate":
        return http_url(plain)
    if not base.partition("://")[2].rpartition("@")[2].partition("/")[0]:
        raise ValueError("expected an address such as mongodb://user:password@host:27017/database?authSource=admin")
    return plain


def _mysql(plain: str, base: str, query: str) -> str:
    if names_database(plain):
        return mysql_url(plain)
    base, _, query = mysql_url(f"{base.rstrip('/')}/-{f'?{query}' if query else ''}").partition("?")
    return base.removesuffix("-") + (f"?{query}" if query else "")


def _in_its_key(value: Any) -> Any:
    """``s3://bucket/prefix`` as the keys that it stands for."""
    if not isinstance(value, dict) or not isinstance(url := value.get("url"), str):
        return value
    scheme, _, rest = url.strip().partition("://")
    others = {key: other for key, other in value.items() if key != "url"}
    if scheme == "s3" and not others.keys() & {"bucket", "prefix"}:
        bucket, _, prefix = rest.partition("/")
        return others | {"bucket": bucket, "prefix": f"{prefix.strip('/')}/" if prefix.strip("/") else ""}
    return value


class PlaceSettings(S3Settings):
    """Where the state lies: one of a URL, a path and a bucket (also ``url = "s3://bucket/prefix"``)."""

    engine: Engine | None = None
    """None: by the URL's scheme, ``bucket`` or ``path``."""
    url: Annotated[SecretStr, secret(place_url)] | None = None
    """``postgresql://…``, ``mysql://…``, ``mongodb://…``, ``redis://…``, Weaviate's ``http://…``."""
    path: Path | None = None
    """A folder, or a file."""
    databases: tuple[str, ...] = ()
    """Those of the server; empty: the one that the URL names."""
    all_databases: bool = False
    """Every database of the server, new ones too."""
    api_key: SecretStr | None = None
    """Weaviate's."""

    @property
    def kind(self) -> Engine:
        """The engine, as said or by where the state lies."""
        if self.engine is not None:
            return self.engine
        if self.url is not None:
            return engine_of(self.url.get_secret_value())
        return "bucket" if self.bucket is not None else "folder"

    @model_validator(mode="before")
    @classmethod
    def _addressed(cls, value: Any) -> Any:
        return _in_its_key(value)

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if sum(place is not None for place in (self.url, self.path, self.bucket)) != 1:
            raise ValueError("expected one of url, path and bucket")
        fitting = self.model_copy(update={"engine": None}).kind
        if self.kind != fitting:
            raise ValueError(f'engine "{self.kind}" does not go with where it lies: that is of engine "{fitting}"')
        if self.without_bucket:
            raise ValueError("endpoint, prefix, access_key and secret_key belong to a bucket: expected bucket as well")
        if self.half_a_key:
            raise ValueError("access_key and secret_key are only of use together: expected both or neither")
        if (self.databases or self.all_databases) and self.kind not in ("postgres", "mysql", "mongo"):
            raise ValueError(f'databases and all_databases mean nothing to engine "{self.kind}"')
        if self.databases and self.all_databases:
            raise ValueError("expected either databases or all_databases")
        return self
