"""Backups: ``[sources.X]`` what is saved, ``[sets.X]`` what belongs together, ``[targets.X]`` where it may be put back,
``[hooks.X]`` which commands may run, ``[backups]`` where all of it goes and for how long."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from core.addresses import http_url
from core.backups.keys import identity_text, recipient
from core.schedules import cron
from core.settings_keep import Keep, KeepSettings
from core.settings_places import PlaceSettings, engine_of, names_database
from core.settings_s3 import S3Settings
from core.settings_types import Section, WorkspaceName, secret
from core.workspaces import DEFAULT

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
"""Of a source, a set, a target and a hook: it goes into keys, file names and addresses."""
OWN_SOURCES = ("pilothouse", "prefect", "configuration")
"""What ``up`` saves of itself without being told; a section of such a name says more about it, or replaces it."""

Cron = Annotated[str, AfterValidator(cron)]
Recipient = Annotated[str, AfterValidator(recipient)]


class StoreSettings(S3Settings):
    """``[backups.store]``: a folder on this machine, or a bucket of anything that speaks S3."""

    folder: Path | None = None
    """None: ``backups`` in the data directory."""

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.without_bucket:
            raise ValueError("an S3 store needs a bucket: expected backups.store.bucket as well")
        if self.bucket is None:
            return self
        if self.folder is not None:
            raise ValueError("expected a folder or a bucket, not both")
        if self.half_a_key or (self.endpoint is not None and self.access_key is None):
            raise ValueError("an S3 store needs both keys: expected access_key and secret_key")
        return self


class BackupSettings(Section):
    """``[backups]``: where backups go, who can open them, and when they run."""

    store: StoreSettings = StoreSettings()
    recipients: tuple[Recipient, ...] = ()
    """age public keys (``age1…``, ``ssh-ed25519 …``); empty leaves backups unencrypted."""
    identity: Annotated[SecretStr, secret(identity_text)] | None = None
    """The age secret key with which drills and restores open them: ``file:PATH`` or ``env:NAME``."""
    keep: Keep = KeepSettings(daily=7, weekly=4, monthly=6)
    """For sources and sets without rules of their own."""
    fast: bool = False
    """True takes all cores at normal priority; otherwise one core is left free and chat comes first."""
    schedule: Cron = "0 2 * * *"
    """Cron, in ``timezone``: for every set, and every source that is in no set, without a schedule of its own."""
    drill_schedule: Cron = "0 4 * * 0"
    """Cron: when the newest backup of each source is restored to prove it."""
    grace_hours: Annotated[float, Field(gt=0, le=720)] = 6.0
    """Hours after which a backup that should have come counts as late."""
    smallest: Annotated[int, Field(ge=0)] = 0
    """Bytes before compression; a source's backup that is smaller counts as failed. 0: only an empty one."""


class SourceSettings(PlaceSettings):
    """``[sources.X]``: one thing that is saved as a whole."""

    workspace: WorkspaceName = DEFAULT
    """Whose it is: nobody else sees its backups."""
    globals: bool = False
    """PostgreSQL: roles and other things of the whole server as well."""
    exclude_tables: tuple[str, ...] = ()
    exclude_data: tuple[str, ...] = ()
    """Tables whose definition is saved without their rows."""
    exclude: tuple[str, ...] = ()
    """Folders: patterns of files that are left out."""
    format: Literal["custom", "directory"] = "custom"
    """PostgreSQL: ``directory`` dumps in parallel and needs as much free disk as the dump is large."""
    whole_every: Annotated[float, Field(ge=0, le=3_650)] = 7.0
    """Buckets: days after which a backup holds all objects again, and not only those new since the last whole one. 0: always."""
    keep: Keep | None = None
    schedule: Cron | None = None
    """A source of a set is saved with its set; with a schedule here also by itself."""
    recipients: tuple[Recipient, ...] | None = None
    """Instead of those of ``[backups]``."""
    smallest: Annotated[int, Field(ge=0)] | None = None
    """Instead of that of ``[backups]``."""
    before: tuple[str, ...] = ()
    """Hooks, by name; one that fails fails the backup."""
    after: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    ping: Annotated[SecretStr, secret(http_url)] | None = None
    """URL of a dead man's switch (healthchecks.io and the like): called at the start, the end, and on failure."""
    drill_target: str | None = None
    """A target to drill in; None: something that is made for a while."""

    @model_validator(mode="before")
    @classmethod
    def _something(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(url := value.get("url"), str | SecretStr):
            plain = url.get_secret_value() if isinstance(url, SecretStr) else url
            server = plain.startswith(("postgres", "mysql", "mariadb")) and not names_database(plain)
            if server and not value.get("databases") and not value.get("all_databases"):
                raise ValueError(f"expected databases or all_databases, or a database at the end of the {engine_of(plain)} url")
        return value


class TargetSettings(PlaceSettings):
    """``[targets.X]``: a place that a restore or a drill may write to."""


class SetSettings(Section):
    """``[sets.X]``: sources saved in one run, good only when all of them are."""

    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    keep: Keep | None = None
    """Holds for the set as a whole, whatever its sources' own rules are."""
    schedule: Cron | None = None


class HookSettings(Section):
    """``[hooks.X]``: a command, as a list of arguments; no shell reads it."""

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    seconds: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    """After which it is ended and counts as failed."""


def names_known(
    sources: Mapping[str, SourceSettings],
    sets: Mapping[str, SetSettings],
    targets: Mapping[str, TargetSettings],
    hooks: Mapping[str, HookSettings],
) -> None:
    """Returns when every name fits its uses and leads somewhere. Raises ``ValueError`` that begins with the key."""
    for section, names in (("sources", sources), ("sets", sets), ("targets", targets), ("hooks", hooks)):
        for name in names:
            if not NAME.fullmatch(name):
                raise ValueError(f"{section}.{name}: expected a name of at most 63 letters, digits, dashes and underscores")
    for name, one in sets.items():
        if name in sources or name in OWN_SOURCES:
            raise ValueError(f"sets.{name}: a source has this name; expected another, since backups are asked for by name")
        _known(f"sets.{name}.sources", one.sources, [*sources, *OWN_SOURCES], "source")
        if len(set(one.sources)) < len(one.sources):
            raise ValueError(f"sets.{name}.sources: a source is named twice")
    for name, source in sources.items():
        for key in ("before", "after", "failed"):
            _known(f"sources.{name}.{key}", getattr(source, key), hooks, "hook")
        if source.drill_target is not None:
            _known(f"sources.{name}.drill_target", [source.drill_target], targets, "target")
            if (other := targets[source.drill_target].kind) != source.kind:
                raise ValueError(f'sources.{name}.drill_target: expected a target of engine "{source.kind}", not "{other}"')


def _known(key: str, names: Iterable[str], there: Iterable[str], what: str) -> None:
    known = sorted(there)
    for name in names:
        if name not in known:
            raise ValueError(
                f'{key}: unknown {what} "{name}"; expected one of {", ".join(known) or "[" + what + "s.X], but there is none"}'
            )
