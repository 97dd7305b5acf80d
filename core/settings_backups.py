"""Backups: ``[sources.X]`` what is saved, ``[sets.X]`` what belongs together, ``[targets.X]`` where it may be put back,
``[hooks.X]`` and ``[changes.X]`` which commands may run, ``[backups]`` where all of it goes and for how long."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from core.settings_types import HttpUrl, Section

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
    "s3": "bucket",
    "file": "folder",
    "http": "weaviate",
    "https": "weaviate",
}
"""Engine by the scheme of a place's URL."""


def _keep(value: object) -> object:
    """``7 days`` (any number, any of the rules) as the table it stands for."""
    if not isinstance(value, str):
        return value
    count, _, what = value.strip().partition(" ")
    rule = {"day": "days", "days": "days", "last": "last", "daily": "daily", "weekly": "weekly", "monthly": "monthly"}.get(what)
    if not count.isdecimal() or rule is None:
        raise ValueError('expected a table of rules such as { daily = 7, weekly = 4 }, or "7 days"')
    return {rule: int(count)}


class KeepSettings(Section):
    """Which good backups of a source stay: the newest of each of so many hours, days, weeks, months, years that have one."""

    days: Annotated[float, Field(ge=0, le=36_500)] = 0
    """Every one that is younger."""
    last: Annotated[int, Field(ge=0, le=10_000)] = 0
    """So many of the newest, whenever they were made."""
    hourly: Annotated[int, Field(ge=0, le=10_000)] = 0
    daily: Annotated[int, Field(ge=0, le=10_000)] = 0
    weekly: Annotated[int, Field(ge=0, le=10_000)] = 0
    monthly: Annotated[int, Field(ge=0, le=10_000)] = 0
    yearly: Annotated[int, Field(ge=0, le=10_000)] = 0

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not any(self.model_dump().values()):
            raise ValueError("keeps nothing: expected at least one rule above zero")
        return self


Keep = Annotated[KeepSettings, BeforeValidator(_keep)]
DEFAULT_KEEP = KeepSettings(daily=7, weekly=4, monthly=6)


class StoreSettings(Section):
    """``[backups.store]``: a folder on this machine, or a bucket of anything that speaks S3."""

    folder: Path | None = None
    """None: ``backups`` in the data directory."""
    endpoint: HttpUrl | None = None
    """Address of the S3 service; None with a bucket means AWS."""
    region: str = "us-east-1"
    bucket: Annotated[str, Field(min_length=3, max_length=63)] | None = None
    prefix: Annotated[str, Field(pattern=r"^(?:[\w-][\w.-]*/)*$", max_length=200)] = ""
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    path_style: bool | None = None


class BackupSettings(Section):
    """``[backups]``: where backups go, who can open them, and when they run."""

    store: StoreSettings = StoreSettings()
    recipients: tuple[str, ...] = ()
    """age public keys (``age1…``, ``ssh-ed25519 …``); empty leaves backups unencrypted."""
    identity: SecretStr | None = None
    """The age secret key with which drills and restores open them: ``file:PATH`` or ``env:NAME``."""
    keep: Keep = DEFAULT_KEEP
    """For sources without rules of their own."""
    fast: bool = False
    """True takes all cores at normal priority; otherwise one core is left free and chat comes first."""
    schedule: str = "0 2 * * *"
    """Cron, in ``timezone``: every source and set that has no schedule of its own."""
    drill_schedule: str = "0 4 * * 0"
    grace_hours: Annotated[float, Field(gt=0, le=720)] = 6.0
    """Hours after which a backup that should have come counts as late."""


class PlaceSettings(Section):
    """What a source and a target have in common: where the state lies."""

    engine: Engine | None = None
    """None: by the URL's scheme."""
    url: SecretStr | None = None
    """``postgresql://…``, ``mysql://…``, ``mongodb://…``, ``redis://…``, Weaviate's ``http://…``."""
    path: Path | None = None
    """A folder, or a file."""
    databases: tuple[str, ...] = ()
    """Those of the server to save; empty: the one that the URL names."""
    all_databases: bool = False
    """Every database of the server, new ones too."""
    endpoint: HttpUrl | None = None
    """Of a bucket's S3 service."""
    region: str = "us-east-1"
    bucket: str | None = None
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    api_key: SecretStr | None = None
    """Weaviate's."""

    @property
    def kind(self) -> Engine:
        """The engine, said or by the URL."""
        if self.engine is not None:
            return self.engine
        if self.bucket is not None:
            return "bucket"
        scheme = (self.url.get_secret_value() if self.url else "file").partition(":")[0]
        return SCHEMES[scheme.partition("+")[0] if scheme not in SCHEMES else scheme]

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if sum(place is not None for place in (self.url, self.path, self.bucket)) != 1:
            raise ValueError("expected one of url, path and bucket")
        if self.engine is None and self.url is not None:
            scheme = self.url.get_secret_value().partition(":")[0]
            if scheme not in SCHEMES and scheme.partition("+")[0] not in SCHEMES:
                raise ValueError(f"unknown scheme {scheme!r} in url: expected one of {', '.join(SCHEMES)}")
        return self


class SourceSettings(PlaceSettings):
    """``[sources.X]``: one thing that is saved as a whole."""

    globals: bool = False
    """PostgreSQL: roles and other things of the whole server as well."""
    exclude_tables: tuple[str, ...] = ()
    exclude_data: tuple[str, ...] = ()
    """Tables whose definition is saved without their rows."""
    exclude: tuple[str, ...] = ()
    """Folders: patterns of files that are left out."""
    format: Literal["custom", "directory"] = "custom"
    """PostgreSQL: ``directory`` dumps in parallel and needs as much free disk as the dump is large."""
    keep: Keep | None = None
    schedule: str | None = None
    recipients: tuple[str, ...] | None = None
    """Instead of those of ``[backups]``."""
    before: tuple[str, ...] = ()
    """Hooks, by name."""
    after: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    ping: SecretStr | None = None
    """URL of a dead man's switch (healthchecks.io and the like): called at the start, the end, and on failure."""
    drill_target: str | None = None
    """A target to drill in; None: a scratch database on the same server, or an embedded one."""


class SetSettings(Section):
    """``[sets.X]``: sources saved in one run, good only when all of them are."""

    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    schedule: str | None = None


class HookSettings(Section):
    """``[hooks.X]``: a command, as a list of arguments; no shell reads it."""

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    seconds: Annotated[float, Field(gt=0, le=86_400)] = 300.0
