"""What differs is told by name, and every end of a restore has its word."""

import pytest

from core.backups.comparing import compare, incomplete, is_older, result_of, worst
from core.backups.errors import (
    BackupDamaged,
    ExtensionMissing,
    NothingToDrill,
    PlaceRefused,
    RestoreDiffers,
    RestoreFailed,
    ToolTooOld,
)
from core.backups.place import Fingerprint
from core.errors import PilothouseError

SAVED = Fingerprint({"a": 3, "b": 0, "c": 9}, {"a": "all:1", "c": "ends:2"})


def test_the_same_is_good_whatever_else_is_there() -> None:
    found = compare(SAVED, Fingerprint({**SAVED.counts, "more": 7}, {**SAVED.checksums, "more": "all:3"}))
    assert (found.result, found.rows, found.tables, found.summed, found.differences) == ("good", 12, 3, 2, [])
    found.require_good("spare")


@pytest.mark.parametrize(
    ("counts", "checksums", "told"),
    [
        ({"a": 2, "b": 0, "c": 9}, {"a": "all:0", "c": "ends:2"}, ["a: 2 of 3"]),
        ({"a": 3, "c": 9}, {"a": "all:1", "c": "ends:2"}, ["b: missing"]),
        ({"a": 3, "b": 0, "c": 9}, {"a": "all:1", "c": "ends:x"}, ["c: other content"]),
        ({"a": 3, "b": 0, "c": 9}, {"c": "ends:2"}, ["a: other content"]),
        ({}, {}, ["a: missing", "b: missing", "c: missing"]),
    ],
)
def test_each_difference_is_named(counts: dict[str, int], checksums: dict[str, str], told: list[str]) -> None:
    found = compare(SAVED, Fingerprint(counts, checksums))
    assert [str(each) for each in found.differences] == told
    assert found.result == "differs"
    with pytest.raises(RestoreDiffers, match=told[0]):
        found.require_good("spare")


def test_a_hundred_differences_are_a_short_message() -> None:
    found = compare(Fingerprint({f"t{number:03}": 1 for number in range(100)}), Fingerprint({}))
    with pytest.raises(RestoreDiffers, match="t019: missing; and 80 more") as raised:
        found.require_good("spare")
    assert "t020" not in raised.value.message


@pytest.mark.parametrize(
    ("error", "target", "result"),
    [
        (ExtensionMissing("x", extensions=["vector"]), "PostgreSQL 18.1", "extension_mismatch"),
        (ToolTooOld("x"), "PostgreSQL 18.1", "version_mismatch"),
        (RestoreFailed("x"), "PostgreSQL 16.9", "version_mismatch"),
        (RestoreFailed("x"), "PostgreSQL 18.0", "failed"),
        (RestoreFailed("x"), "", "failed"),
        (BackupDamaged("x"), "PostgreSQL 16.9", "failed"),
        (PlaceRefused("x"), "PostgreSQL 18.1", "failed"),
        (RestoreDiffers("x"), "PostgreSQL 18.1", "differs"),
        (NothingToDrill("x"), "", "nothing_to_drill"),
    ],
)
def test_every_end_has_its_word(error: PilothouseError, target: str, result: str) -> None:
    assert result_of(error, "PostgreSQL 18.6", target) == result


def test_of_several_the_worst_counts() -> None:
    assert worst(["good", "nothing_to_drill", "good"]) == "nothing_to_drill"
    assert worst(["good", "extension_mismatch", "differs"]) == "differs"
    assert worst(["good", "good"]) == "good"
    assert worst([]) == "nothing_to_drill"


def test_versions_are_compared_by_their_first_number() -> None:
    assert is_older("PostgreSQL 9.6", "PostgreSQL 15.2")
    assert not is_older("PostgreSQL 15.2", "PostgreSQL 15.9")
    assert not is_older("Folder", "PostgreSQL 15.9")


def test_an_incomplete_target_is_said_with_the_same_code() -> None:
    error = incomplete(BackupDamaged("The bytes differ."), "spare")
    assert isinstance(error, BackupDamaged)
    assert error.message == "The bytes differ. spare is incomplete: restore into it again with --replace."
