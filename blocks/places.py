"""What a source or a target of the settings is in truth: the block that speaks to its engine."""

from collections.abc import Callable, Mapping
from typing import Any

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
from core.settings_s3 import S3Settings

Maker = Callable[[str, PlaceSettings, Settings], Place]


def place_of(name: str, place: PlaceSettings, settings: Settings) -> Place:
    """The place of a section: ``place_of("sources.dify", settings.sources["dify"], settings)``. Touches nothing yet.

    Raises ``ConfigurationInvalid`` for an engine that this release does not speak to.
    """
    maker = MAKERS.get(place.kind)
    if maker is None:
        raise ConfigurationInvalid(f'{name}: there are no backups of engine "{place.kind}"; expected one of {", ".join(MAKERS)}.')
    return maker(name, place, settings)


def _server(name: str, place: PlaceSettings, settings: Settings) -> dict[str, Any]:
    """What every server with databases by name takes."""
    assert place.url is not None
    known = {"name": name, "url": place.url, "ca_file": settings.ca_file, "fast": settings.backups.fast}
    return known | {"databases": place.databases, "all_databases": place.all_databases}


def _postgres(name: str, place: PlaceSettings, settings: Settings) -> Place:
    server = PostgresServer(**_server(name, place, settings), programs=settings.database.programs)
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
    server = MySQLServer(**_server(name, place, settings))
    if not isinstance(place, SourceSettings):
        return server
    return server.model_copy(update={"exclude_tables": place.exclude_tables, "exclude_data": place.exclude_data})


def _redis(name: str, place: PlaceSettings, settings: Settings) -> Place:
    assert place.url is not None
    return RedisServer(name=name, url=place.url, ca_file=settings.ca_file, fast=settings.backups.fast)


def _bucket(name: str, place: PlaceSettings, settings: Settings) -> Place:
    taken = place.model_dump(include=set(S3Settings.model_fields))
    return SavedBucket(name=name, ca_file=settings.ca_file, fast=settings.backups.fast, **taken)


def _mongo(name: str, place: PlaceSettings, settings: Settings) -> Place:
    return MongoServer(**_server(name, place, settings))


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
