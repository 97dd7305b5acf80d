"""Backups that ended well and are not to be trusted, and those that did not come."""

from datetime import UTC, datetime, timedelta

import pytest

from core.backups.errors import DumpFailed, OutputEmpty, OutputTooSmall
from core.backups.guards import Rhythm, check_freshness, check_output
from core.backups.manifest import Base, Manifest, PartRecord

NOW = datetime(2026, 3, 29, 12, tzinfo=UTC)


def backup(*sizes: int, engine: str = "postgres", **counts: int) -> Manifest:
    parts = tuple(
        PartRecord(name=f"part-{number}", format="sql", key=f"k{number}", sha256="0" * 64, size=9, plain_size=size)
        for number, size in enumerate(sizes)
    )
    return Manifest(
        id="x" * 12, source="dify", engine=engine, server="s", parts=parts, counts=counts, started_at=NOW, finished_at=NOW
    )


@pytest.mark.parametrize(("made", "named"), [(backup(), ""), (backup(0), "part-0"), (backup(10, 0, 0), "part-1, part-2")])
def test_nothing_that_came_out_is_no_backup(made: Manifest, named: str) -> None:
    with pytest.raises(OutputEmpty, match=f"dify: nothing came out.*{named}"):
        check_output(made, None, 0)


def test_less_than_expected_is_no_backup() -> None:
    assert check_output(backup(60, 40), None, 100) == []
    with pytest.raises(OutputTooSmall, match=r"only 99 bytes came out; sources\.dify\.smallest.*expects 100"):
        check_output(backup(60, 39), None, 100)
    assert issubclass(OutputTooSmall, DumpFailed)


@pytest.mark.parametrize(
    ("made", "last", "warned"),
    [
        (backup(51), backup(100), []),
        (backup(50), backup(100), ["50 bytes, at most half of the 100"]),
        (backup(100, a=5, b=5), backup(100, a=5, b=15), ["10 rows, objects or files, at most half of the 20"]),
        (backup(1, a=1), backup(100, a=9), ["1 bytes", "1 rows"]),
        (backup(1, a=8, engine="bucket"), backup(100, a=9, engine="bucket"), ["1 bytes"]),
        (backup(1, engine="bucket"), backup(100, a=9, engine="bucket"), ["1 bytes", "0 rows"]),
        (backup(100), backup(100), []),
        (backup(100), None, []),
    ],
)
def test_half_of_the_last_good_one_is_worth_a_look(made: Manifest, last: Manifest | None, warned: list[str]) -> None:
    found = check_output(made, last, 0)
    assert {one.code for one in found} <= {"shrunk_output"}
    assert len(found) == len(warned)
    assert all(text in one.message for text, one in zip(warned, found, strict=True))


def increment(size: int, **counts: int) -> Manifest:
    made = backup(size, engine="bucket", **counts)
    return made.model_copy(update={"base": Base(id="w", folder="f/"), "checksums": {"/": "bytes:1000"}})


@pytest.mark.parametrize(
    ("made", "last", "warned"),
    [
        (increment(1, objects=9), backup(1000, objects=9), 0),
        (increment(900, objects=4), backup(1000, objects=9), 1),
        (backup(1, objects=9), increment(100, objects=9), 0),
        (backup(1, objects=4), increment(100, objects=9), 1),
    ],
)
def test_an_increment_is_judged_by_its_objects(made: Manifest, last: Manifest, warned: int) -> None:
    assert [one.message.count("rows, objects") for one in check_output(made, last, 0)] == [1] * warned


def test_what_an_increment_restores_has_to_be_enough() -> None:
    assert check_output(increment(1, objects=9), None, 1000) == []
    with pytest.raises(OutputTooSmall, match="only 1000 bytes"):
        check_output(increment(1, objects=9), None, 1001)


def hours_ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


@pytest.mark.parametrize(
    ("newest", "schedule", "grace", "code"),
    [
        (hours_ago(12), "0 0 * * *", 6, None),
        (hours_ago(13), "0 0 * * *", 6, "backup_late"),
        (hours_ago(13), "0 0 * * *", 13, None),
        (hours_ago(37), "0 0 * * *", 13, "backup_late"),
        (hours_ago(1.5), "0 * * * *", 6, None),
        (hours_ago(6.5), "0 * * * *", 6, "backup_late"),
        (None, "0 0 * * *", 6, "no_backup"),
    ],
)
def test_a_backup_that_did_not_come(newest: datetime | None, schedule: str, grace: float, code: str | None) -> None:
    found = check_freshness("dify", newest, Rhythm(schedule, "UTC", timedelta(hours=grace)), NOW)
    assert (found.code if found else None) == code


def test_the_schedules_own_time_zone_counts_also_when_its_clock_is_turned() -> None:
    rhythm = Rhythm("30 2 * * *", "Europe/Berlin", timedelta(hours=1))
    assert rhythm.due(NOW) == datetime(2026, 3, 29, 1, tzinfo=UTC), "half past two does not exist on this day"
    late = check_freshness("dify", datetime(2026, 3, 28, 1, 30, tzinfo=UTC), rhythm, NOW)
    assert late is not None
    assert late.message == "dify was last backed up well on 2026-03-28 01:30 UTC; one was due on 2026-03-29 01:00 UTC."
