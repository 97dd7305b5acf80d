"""Which parts go back and in which order; and when a target is the source itself."""

from datetime import UTC, datetime
from typing import Any

import pytest

from core.backups.choosing import parts_for, place_for, require_consent, same_place, source_behind
from core.backups.errors import TargetNotEmpty
from core.backups.manifest import Manifest, PartRecord
from core.config import Settings
from core.errors import InputInvalid, NotFound
from core.settings_backups import TargetSettings

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def manifest(*parts: str, engine: str = "postgres", databases: tuple[str, ...] = ()) -> Manifest:
    records = tuple(PartRecord(name=name, format="x", key=name, sha256="", size=1, plain_size=1) for name in parts)
    more: dict[str, Any] = {"databases": databases, "parts": records}
    return Manifest(id="1", source="app", engine=engine, started_at=NOW, finished_at=NOW, server="", **more)


def chosen(saved: Manifest, only: str | None = None, *, roles: bool = True) -> list[tuple[str, str | None]]:
    return [(part.name, wanted) for part, wanted in parts_for(saved, only, roles=roles)]


def test_globals_go_first_unless_they_are_left_alone() -> None:
    saved = manifest("a.pgdump", "globals.sql", "b.pgdump")
    assert chosen(saved) == [("globals.sql", None), ("a.pgdump", None), ("b.pgdump", None)]
    assert chosen(saved, roles=False) == [("a.pgdump", None), ("b.pgdump", None)]


def test_one_table_is_looked_for_in_its_database_alone() -> None:
    several = manifest("globals.sql", "a.pgdump", "my%2Fdb.pgdump", databases=("a", "my/db"))
    assert chosen(several, "my%2Fdb/public.t") == [("my%2Fdb.pgdump", "public.t")]
    with pytest.raises(InputInvalid, match=r"one of a, my%2Fdb\."):
        parts_for(several, "public.t")
    with pytest.raises(InputInvalid):
        parts_for(several, "c/public.t")
    assert chosen(manifest("globals.sql", "a.pgdump"), "public.t") == [("a.pgdump", "public.t")]
    assert chosen(manifest("files.tar", engine="folder"), "keys/a.pem") == [("files.tar", "keys/a.pem")]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"url": "postgresql://a:x@db/app"}, {"url": "postgresql+asyncpg://b:y@DB:5432/app"}, True),
        ({"url": "postgresql://a:x@127.0.0.1/app"}, {"url": "postgresql://a:x@localhost/app"}, True),
        ({"url": "postgresql://a:x@db/app"}, {"url": "postgresql://a:x@db:5433/app"}, False),
        ({"url": "postgresql://a:x@db/app"}, {"url": "postgresql://a:x@db/other"}, False),
        ({"url": "postgresql://a:x@db/app"}, {"url": "postgresql://a:x@db", "all_databases": True}, True),
        ({"url": "postgresql://a:x@db/app"}, {"url": "postgresql://a:x@db", "databases": ["b", "app"]}, True),
        ({"url": "postgresql://a:x@db/app"}, {"url": "mysql://a:x@db/app"}, False),
        ({"url": "mysql://a:x@db/app"}, {"url": "mariadb://a:x@db:3306/app"}, True),
        ({"path": "/srv/dify"}, {"path": "/srv/dify/../dify"}, True),
        ({"path": "/srv/dify"}, {"path": "/srv/dify/storage"}, True),
        ({"path": "/srv/dify"}, {"path": "/srv/dify2"}, False),
        ({"bucket": "files", "prefix": "a/"}, {"bucket": "files"}, True),
        ({"bucket": "files", "prefix": "a/"}, {"bucket": "files", "prefix": "b/"}, False),
        ({"url": "redis://:x@cache:6379/0"}, {"url": "redis://cache"}, True),
    ],
)
def test_addresses_of_the_same_place(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    first, second = TargetSettings.model_validate(one), TargetSettings.model_validate(other)
    assert same_place(first, second) == same_place(second, first) == same


SETTINGS = Settings.model_validate(
    {
        "data_dir": "/nowhere",
        "database": {"url": "postgresql://p:x@db/pilothouse"},
        "sources": {"app": {"url": "postgresql://a:x@db/app"}},
        "targets": {
            "spare": {"url": "postgresql://a:x@db/spare"},
            "twin": {"url": "postgresql://root:y@db/app"},
            "ours": {"url": "postgresql://root:y@db/pilothouse"},
        },
    }
)


def test_a_source_is_overwritten_only_when_told_twice() -> None:
    require_consent(SETTINGS, "spare", replace=True, confirm=None)
    for target in ("app", "twin"):
        assert source_behind(SETTINGS, target) == "app"
        for replace, confirm in ((False, None), (True, None), (True, "twin"), (False, "app")):
            with pytest.raises(TargetNotEmpty, match="--replace and --confirm app"):
                require_consent(SETTINGS, target, replace=replace, confirm=confirm)
        require_consent(SETTINGS, target, replace=True, confirm="app")


def test_what_pilothouse_works_with_is_no_target() -> None:
    assert place_for(SETTINGS, "spare") is SETTINGS.targets["spare"]
    for target in ("ours", "pilothouse"):
        with pytest.raises(InputInvalid, match="--into-data-dir"):
            place_for(SETTINGS, target)
    with pytest.raises(NotFound, match="there are: ours, spare, twin"):
        place_for(SETTINGS, "nothing")
