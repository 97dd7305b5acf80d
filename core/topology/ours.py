"""Pilothouse's own services, made from its settings, so that it watches itself without being told."""

from collections.abc import Iterable, Mapping
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import SecretStr

from core.backups.sources import CONFIGURATION, OURS, PREFECTS, left_out, sources_of
from core.settings import Settings
from core.settings_s3 import S3Settings
from core.settings_services import Check, ServiceSettings, Severity
from core.topology.topology import Topology
from core.workspaces import DEFAULT, EVERY

NAME = "pilothouse"
"""Of the topology."""
API, DATABASE, DISK, FILES = "api", "database", "disk", "files"
NETWORK, PREFECT, BACKUPS, VALKEY = "network", "prefect", "backups", "valkey"
UNREADABLE = "topologies"
SWEEPING = "health_sweep"
MODELS = 100
"""Models that are watched one by one."""


def ours(settings: Settings, flows: Iterable[str] = ()) -> Topology:
    """The topology; ``flows`` are the names of the flows that run by schedule."""
    services = {**_stores(settings), **_models(settings)}
    services[PREFECT] = ServiceSettings(
        check="prefect",
        title="Prefect",
        depends_on=(DATABASE,) if DATABASE in services and _beside_ours(settings) else (),
    )
    stores = tuple(name for name in (DATABASE, VALKEY) if name in services)
    # A process says that it lives by a lease in the database, which tells more than its port does and needs no address.
    services[API] = ServiceSettings(check="heartbeat", title="API", depends_on=stores, hints=tuple(_models(settings)))
    saved = _backups(settings, services)
    services |= saved
    services |= _flows(flows, tuple(saved))
    if settings.sweeps.prober:
        services[NETWORK] = ServiceSettings(check="tcp", title="Network of this machine", url=SecretStr("tcp://prober:1"))
    return Topology(NAME, services)


def hidden_from(workspace: str, settings: Settings) -> frozenset[str]:
    """Keys of the services that tell of other workspaces' backups. The default one's people see all."""
    if workspace in (EVERY, DEFAULT):
        return frozenset()
    of_others = [name for name, source in sources_of(settings).items() if source.workspace != workspace]
    return frozenset(f"{NAME}/{kind}-{name}" for name in of_others for kind in ("backup", "drill"))


def provider_service(provider: str) -> str:
    """The name of the service that stands for a provider."""
    return f"model-{provider}"


def model_service(provider: str, model: str) -> str:
    """The name of the service that stands for a model of it."""
    return f"{provider_service(provider)}/{model}"


def with_models(own: Topology, settings: Settings, used: Iterable[tuple[str, str]]) -> Topology:
    """The topology with a service for each chat model that is configured, and for those ``used`` (provider and model) besides."""
    configured = ((name, model.name) for name, each in settings.providers.items() for model in each.models if model.is_chat)
    known = dict.fromkeys([*configured, *(each for each in used if each[0] in settings.providers)])
    models = {
        model_service(provider, model): _at_once(
            "model", f"{model} of {provider}", provider, (provider_service(provider),), "warning"
        ).model_copy(update={"model": model})
        for provider, model in list(known)[:MODELS]
    }
    return Topology(own.name, {**own.services, **models})


def with_unreadable(own: Topology) -> Topology:
    """The topology with one service more, which stands for the others, which cannot be read."""
    unread = ServiceSettings(check="none", title="Topology files", open_after=1, close_after=1)
    return Topology(own.name, {**own.services, UNREADABLE: unread})


def _stores(settings: Settings) -> dict[str, ServiceSettings]:
    found: dict[str, ServiceSettings] = {}
    if settings.database.url is not None:
        found[DATABASE] = ServiceSettings(check="postgres", title="Database", url=settings.database.url)
    if settings.redis.url is not None:
        found[VALKEY] = ServiceSettings(check="redis", title="Redis or Valkey", url=settings.redis.url)
    found[DISK] = ServiceSettings(check="disk", title="Disk of the data directory", path=settings.data_dir)
    files, backups = settings.files, settings.backups.store
    if files.in_bucket and files.bucket is not None:
        found[FILES] = _bucket("Store for files", files, files.bucket)
    elif files.folder is not None:
        found[FILES] = ServiceSettings(check="disk", title="Disk of the files", path=files.folder)
    if backups.bucket is not None:
        found[BACKUPS] = _bucket("Store for backups", backups, backups.bucket)
    elif backups.folder is not None:
        found[BACKUPS] = ServiceSettings(check="disk", title="Disk of the backups", path=backups.folder)
    return found


def _bucket(title: str, store: S3Settings, bucket: str) -> ServiceSettings:
    return ServiceSettings(
        check="s3",
        title=title,
        url=SecretStr(store.endpoint or f"https://s3.{store.region}.amazonaws.com"),
        bucket=bucket,
        region=store.region,
        username=store.access_key.get_secret_value() if store.access_key else None,
        password=store.secret_key,
    )


def _models(settings: Settings) -> dict[str, ServiceSettings]:
    """One for each provider; chat goes on with another where one fails, so that none of them is more than a warning."""
    only = len(settings.providers) == 1
    return {
        provider_service(name): ServiceSettings(
            check="model", title=f"Models of {name}", name=name, severity="critical" if only else "warning"
        )
        for name in settings.providers
    }


def _backups(settings: Settings, services: Mapping[str, ServiceSettings]) -> dict[str, ServiceSettings]:
    """Of each source its last backup and its last drill."""
    found: dict[str, ServiceSettings] = {}
    needs = {OURS: DATABASE, PREFECTS: PREFECT}
    for name in sources_of(settings):
        if name == CONFIGURATION and left_out(settings):
            continue
        store = BACKUPS if BACKUPS in services else DISK
        below = (store, *(each for each in (needs.get(name, ""),) if each in services))
        grace = settings.backups.grace_hours * 3600
        backup = _at_once("backup", f"Backup of {name}", name, below, "critical").model_copy(update={"grace": grace})
        drill = _at_once("drill", f"Drill of {name}", name, (store,), "warning")
        found |= {f"backup-{name}": backup, f"drill-{name}": drill}
    return found


def _flows(flows: Iterable[str], saved: tuple[str, ...]) -> dict[str, ServiceSettings]:
    """A run that failed because of a source is told of by that source."""
    found = {}
    for name in flows:
        because = tuple(each for each in saved if each.startswith(f"{name}-"))
        severity: Severity = "critical" if name == SWEEPING else "warning"
        found[f"flow-{name}"] = _at_once("flow", f"Flow {name}", name, (PREFECT, *because), severity)
    return found


def _at_once(check: Check, title: str, name: str, needs: tuple[str, ...], severity: Severity) -> ServiceSettings:
    """What we know from our own records is no less true for being looked at once."""
    return ServiceSettings(check=check, title=title, name=name, open_after=1, close_after=1, depends_on=needs, severity=severity)


def _beside_ours(settings: Settings) -> bool:
    """Whether Prefect's database is on the server of ours."""
    theirs, mine = settings.prefect.database_url, settings.database.url
    if theirs is None or mine is None:
        return False
    return _server(urlsplit(theirs.get_secret_value())) == _server(urlsplit(mine.get_secret_value()))


def _server(url: SplitResult) -> tuple[str | None, str | None]:
    port = str(url.port) if url.port else None
    query = parse_qs(url.query)
    return url.hostname or next(iter(query.get("host", [])), None), port or next(iter(query.get("port", [])), "5432")
