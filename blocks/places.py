"""What a source or a target of the settings is in truth: the block that speaks to its engine."""

from collections.abc import Callable, Mapping

from blocks.bucket_backups import SavedBucket
from blocks.folder_backups import SavedFolder
from blocks.mongo_backups import MongoServer
from blocks.mysql_backups import MySQLServer
from blocks.postgres_backups import PostgresServer
from blocks.redis_backups import RedisServer
from blocks.weaviate_backups import WeaviateServer
from core.backups.place import Place
from core.backups.sources import CONFIGURATION, KEY_FILES
from core.config import FILE, Settings
from core.errors import ConfigurationInvalid
from core.settings_backups import SourceSettings
from core.settings_places import Engine, PlaceSettings

Maker = Callable[[str, PlaceSettings, Settings], Place]


def place_of(name: str, place: PlaceSettings, settings: Settings) -> Place:
    """The place of a section: ``place_of("sources.dify", settings.sources["dify"], settings)``. Touches nothing yet.

    Raises ``ConfigurationInvalid`` for an engine that this release does not speak to.
    """
    maker = MAKERS.get(place.kind)
    if maker is None:
        raise ConfigurationInvalid(f'{name}: there are no backups of engine "{place.kind}"; expected one of {", ".join(MAKERS)}.')
    return maker(name, place, settings)


def _postgres(name: str, place: PlaceSettings, settings: Settings) -> Place:
    assert place.url is not None
    server = PostgresServer(
        name=name,
        url=place.url,
        databases=place.databases,
        all_databases=place.all_databases,
        programs=settings.database.programs,
        ca_file=settings.ca_file,
        fast=settings.backups.fast,
    )
    if not isinstance(place, SourceSettings):
        return server
    more = {"exclude_tables": place.exclude_tables, "exclude_data": place.exclude_data}
    return server.model_copy(update={"roles": place.globals, "form": place.format, **more})


def _folder(name: str, place: PlaceSettings, settings: Settings) -> Place:
    assert place.path is not None
    exclude = place.exclude if isinstance(place, SourceSettings) else ()
    ours = name == f"sources.{CONFIGURATION}" and CONFIGURATION not in settings.sources
    return SavedFolder(
        name=name,
        path=place.path,
        include=KEY_FILES if ours else (),
        files={FILE: settings.read_from} if ours and settings.read_from is not None else {},
        exclude=exclude,
        apart=settings.backups.store.folder or settings.data_dir / "backups",
        fast=settings.backups.fast,
    )


def _mysql(name: str, place: PlaceSettings, settings: Settings) -> Place:
    assert place.url is not None
    server = MySQLServer(
        name=name,
        url=place.url,
        databases=place.databases,
        all_databases=place.all_databases,
        ca_file=settings.ca_file,
        fast=settings.backups.fast,
    )
    if not isinstance(place, SourceSettings):
        return server
    return server.model_copy(update={"exclude_tables": place.exclude_tables, "exclude_data": place.exclude_data})


def _redis(name: str, place: PlaceSettings, settings: Settings) -> Place:
    assert place.url is not None
    return RedisServer(name=name, url=place.url, ca_file=settings.ca_file, fast=settings.backups.fast)


def _bucket(name: str, place: PlaceSettings, settings: Settings) -> Place:
    taken = {"bucket", "prefix", "endpoint", "region", "access_key", "secret_key", "path_style"}
    return SavedBucket(name=name, ca_file=settings.ca_file, fast=settings.backups.fast, **place.model_dump(include=taken))


def _mongo(name: str, place: PlaceSettings, settings: Settings) -> Place:
    assert place.url is not None
    return MongoServer(
        name=name,
        url=place.url,
        databases=place.databases,
        all_databases=place.all_databases,
        ca_file=settings.ca_file,
        fast=settings.backups.fast,
    )


def _weaviate(name: str, place: PlaceSettings, settings: Settings) -> Place:
    assert place.url is not None
    return WeaviateServer(name=name, url=place.url, api_key=place.api_key, ca_file=settings.ca_file)


MAKERS: Mapping[Engine, Maker] = {
    "postgres": _postgres,
    "mysql": _mysql,
    "mongo": _mongo,
    "redis": _redis,
    "bucket": _bucket,
    "weaviate": _weaviate,
    "folder": _folder,
}
