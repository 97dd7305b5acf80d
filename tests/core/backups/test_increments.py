"""When a bucket's backup may hold only what is new, and what an increment is restored from."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.backups.choosing import completed
from core.backups.increments import too_much, why_whole
from core.backups.manifest import Base, Manifest, PartRecord
from core.errors import Conflict
from core.store.backups import BackupRecord

NOW = datetime(2026, 1, 31, tzinfo=UTC)
WHOLE = ("objects.tar", "objects.index")


def manifest(*parts: str, days: float = 1, **more: Any) -> Manifest:
    records = tuple(
        PartRecord(name=name, format=name.rpartition(".")[2], key=name, sha256="", size=1, plain_size=1) for name in parts
    )
    at = NOW - timedelta(days=days)
    return Manifest(id="w", source="app", engine="bucket", started_at=at, finished_at=at, server="", parts=records, **more)


def record(made: Manifest, status: Any = "good") -> BackupRecord:
    more: dict[str, Any] = {"set_name": None, "set_id": None, "set_sources": (), "flow_run_id": None, "error": None}
    more |= {"started_at": NOW, "finished_at": NOW, "verified_at": None, "verified_result": None, "size": 1, "plain_size": 1}
    return BackupRecord(id=made.id, source="app", engine="bucket", status=status, manifest=made, **more)


@pytest.mark.parametrize(
    ("whole", "recipients", "days", "why"),
    [
        (None, (), 7, "no good whole one"),
        (manifest("objects.tar"), (), 7, "no index"),
        (manifest(*WHOLE), (), 7, None),
        (manifest(*WHOLE), ("age1",), 7, "recipients"),
        (manifest(*WHOLE, recipients=("a", "b")), ("b", "a"), 7, None),
        (manifest(*WHOLE, days=6.9), (), 7, None),
        (manifest(*WHOLE, days=7), (), 7, "last 7 days"),
        (manifest(*WHOLE, days=0), (), 0, "last 0 days"),
        (manifest(*WHOLE, days=-1), (), 7, "last 7 days"),
    ],
)
def test_when_it_has_to_be_whole(whole: Manifest | None, recipients: tuple[str, ...], days: float, why: str | None) -> None:
    said = why_whole(whole, recipients, days, NOW)
    assert said is None if why is None else said is not None and why in said


@pytest.mark.parametrize(("new", "total", "whole"), [(0, 10, False), (5, 10, False), (6, 10, True), (0, 0, True)])
def test_half_of_the_bytes_may_be_new(new: int, total: int, whole: bool) -> None:
    assert too_much(new, total) is whole


def test_the_base_goes_back_between_the_list_and_what_is_new() -> None:
    since = manifest("objects.keys", "changed.tar", base=Base(id="w", folder="f/"))
    whole = manifest(*WHOLE)
    assert completed(whole, None) == whole
    assert [part.name for part in completed(since, record(whole)).parts] == ["objects.keys", *WHOLE, "changed.tar"]


@pytest.mark.parametrize(
    ("base", "said"),
    [
        (None, "is not listed any more"),
        (record(manifest(*WHOLE), "missing"), "is missing"),
        (record(manifest(*WHOLE), "bad"), "is bad"),
    ],
)
def test_without_its_base_it_is_refused(base: BackupRecord | None, said: str) -> None:
    with pytest.raises(Conflict, match=said):
        completed(manifest("objects.keys", "changed.tar", base=Base(id="w", folder="f/")), base)
