"""Which parts of a backup a restore reads, and whether it may write where it was told to: pure."""

from collections.abc import Sequence
from urllib.parse import quote, urlsplit

from core.backups.errors import TargetNotEmpty
from core.backups.manifest import Manifest, PartRecord
from core.backups.sources import sources_of
from core.configured import configured
from core.errors import Conflict, InputInvalid
from core.settings import Settings
from core.settings_backups import OWN_SOURCES
from core.settings_places import PlaceSettings
from core.store.backups import BackupRecord

GLOBALS = "globals.sql"
BY_DATABASE = ("postgres", "mysql", "mongo")
"""Engines with a part for each database."""
WHOLE = ("redis", "weaviate")
"""Engines that are saved as a whole, whatever database an address names."""
PORTS = {"postgresql": 5432, "postgres": 5432, "mysql": 3306, "mariadb": 3306, "mongodb": 27017, "redis": 6379, "valkey": 6379}


def restorable(record: BackupRecord) -> Manifest:
    """Its manifest. Raises ``Conflict`` for one that is not good."""
    if record.manifest is None or record.status != "good":
        raise Conflict(f"The backup {record.id} is {record.status}: only a good one can be restored.")
    return record.manifest


def completed(manifest: Manifest, base: BackupRecord | None) -> Manifest:
    """An increment with the parts of its base, in the order in which they go back; any other backup as it is.

    Raises ``Conflict`` where the base is gone or not good: without it the increment restores nothing.
    """
    if manifest.base is None:
        return manifest
    if base is None or base.manifest is None or base.status != "good" or base.manifest.base is not None:
        found = "is not listed any more" if base is None else f"is {base.status}"
        raise Conflict(
            f"The backup {manifest.id} holds only what is new since {manifest.base.id}, which {found}: "
            "it cannot be restored without that one. Choose another; `pilothouse backups list` shows those there are."
        )
    first, *rest = manifest.parts
    return manifest.model_copy(update={"parts": (first, *base.manifest.parts, *rest)})


def parts_for(manifest: Manifest, only: str | None = None, *, roles: bool = True) -> Sequence[tuple[PartRecord, str | None]]:
    """The parts in the order in which they go back, each with what alone is wanted of it: what is of the whole server first.

    ``only`` is a table or file as the manifest counts it (``public.people``; ``database/public.people`` where there are several).
    Without ``roles`` what is of the whole server is left as it is. Raises ``InputInvalid``.
    """
    whole = [part for part in manifest.parts if part.name == GLOBALS]
    others = [part for part in manifest.parts if part.name != GLOBALS]
    if only is None:
        return [(part, None) for part in [*(whole if roles else ()), *others]]
    if manifest.engine not in BY_DATABASE or len(others) == 1:
        return [(part, only) for part in others]
    database, _, table = only.partition("/")
    found = [part for part in others if table and part.name.startswith(f"{database}.")]
    if not found:
        known = ", ".join(sorted(quote(name, safe=" ") for name in manifest.databases))
        raise InputInvalid(f"only: the backup has several databases; expected DATABASE/TABLE, with one of {known}.", field="only")
    return [(part, table) for part in found]


def same_place(one: PlaceSettings, other: PlaceSettings) -> bool:
    """Whether both are the same state, as far as their addresses tell."""
    if one.kind != other.kind:
        return False
    if one.path is not None and other.path is not None:
        mine, others = one.path.resolve(), other.path.resolve()
        return mine == others or mine in others.parents or others in mine.parents
    if one.bucket is not None or other.bucket is not None:
        alike = (one.endpoint, one.bucket) == (other.endpoint, other.bucket)
        return alike and (one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix))
    whole = one.all_databases or other.all_databases or one.kind in WHOLE
    return _server(one) == _server(other) and (whole or bool(_databases(one) & _databases(other)))


def source_behind(settings: Settings, target: str) -> str | None:
    """The source that a restore into ``target`` would overwrite, if it is one."""
    sources = sources_of(settings)
    if target in sources:
        return target
    place = settings.targets.get(target)
    return None if place is None else next((name for name, source in sources.items() if same_place(source, place)), None)


def place_for(settings: Settings, target: str) -> PlaceSettings:
    """Where a restore into ``target`` writes: a target, or a source. Raises ``NotFound`` and ``InputInvalid``."""
    found = settings.targets.get(target) or sources_of(settings).get(target)
    if found is None:
        found = configured("target", target, settings.targets, field="target", none="none: add a section [targets.NAME]")
    source = source_behind(settings, target)
    if source in OWN_SOURCES and source not in settings.sources:
        raise InputInvalid(
            f"{target} is what Pilothouse itself works with: restore it with `pilothouse restore --store … --into-data-dir …`.",
            field="target",
        )
    return found


def require_consent(settings: Settings, target: str, *, replace: bool, confirm: str | None) -> None:
    """Returns unless the target is a source itself that nobody said twice may be overwritten. Raises ``TargetNotEmpty``."""
    source = source_behind(settings, target)
    if source is not None and not (replace and confirm == source):
        raise TargetNotEmpty(
            f"{target} is where the source {source} lies, and all of it would be overwritten: "
            f"say so twice, with --replace and --confirm {source}, or restore into another target."
        )


def _server(place: PlaceSettings) -> tuple[str, int | str | None]:
    """Host and port, or the socket's folder. Other names of the same machine are not known to be the same."""
    assert place.url is not None
    url = place.url.get_secret_value()
    parts = urlsplit(url)
    if place.kind == "mongo":
        return parts.netloc.rpartition("@")[2].lower(), None
    if not parts.hostname:
        return "", parts.query
    host = "localhost" if parts.hostname in ("127.0.0.1", "::1") else parts.hostname
    return host, parts.port or PORTS.get(parts.scheme.partition("+")[0])


def _databases(place: PlaceSettings) -> set[str]:
    assert place.url is not None
    named = urlsplit(place.url.get_secret_value()).path.strip("/")
    return set(place.databases) or {named}
