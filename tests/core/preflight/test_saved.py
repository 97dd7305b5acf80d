"""Whether there is something to go back to, and whether that was tried."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.preflight.saved import Copies, backups, drills

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DUE = NOW.replace(hour=2)
GRACE = timedelta(hours=6)
GOOD = Copies("dify", DUE, DUE + timedelta(minutes=1), drill="good", drill_at=NOW - timedelta(days=3))


@pytest.mark.parametrize(
    ("copies", "beside", "status", "said"),
    [
        (None, False, "warn", "Not looked at"),
        ([], False, "fail", "Nothing is backed up"),
        ([replace(GOOD, good_at=None)], False, "fail", "dify has never been backed up"),
        ([replace(GOOD, good_at=DUE - timedelta(days=2))], False, "fail", "2 days old"),
        ([replace(GOOD, failed=True)], False, "warn", "The last attempt failed for dify"),
        ([replace(GOOD, encrypted=False)], False, "warn", "Not encrypted: dify"),
        ([GOOD], True, "warn", "disk of this machine"),
        ([GOOD], False, "pass", "1 sources"),
    ],
)
def test_backups(copies: list[Copies] | None, beside: bool, status: str, said: str) -> None:
    item = backups(copies, NOW, GRACE, beside)
    assert (item.id, item.status) == ("backups", status)
    assert said in item.message


def test_what_is_left_out_is_told() -> None:
    item = backups([GOOD], NOW, GRACE, False, "The key files are not backed up.")
    assert (item.status, item.message) == ("warn", "The key files are not backed up.")


def test_a_backup_is_not_late_within_its_grace() -> None:
    yesterday = [replace(GOOD, good_at=DUE - timedelta(days=1))]
    assert backups(yesterday, DUE + timedelta(hours=5), GRACE, beside=False).status == "pass"
    assert backups(yesterday, DUE + timedelta(hours=7), GRACE, beside=False).status == "fail"


@pytest.mark.parametrize(
    ("copies", "status"),
    [
        (None, "warn"),
        ([], "warn"),
        ([replace(GOOD, drill="differs")], "fail"),
        ([replace(GOOD, drill="", drill_at=None)], "warn"),
        ([replace(GOOD, drill="nothing_to_drill")], "warn"),
        ([replace(GOOD, drill_at=NOW - timedelta(days=40))], "warn"),
        ([GOOD], "pass"),
    ],
)
def test_drills(copies: list[Copies] | None, status: str) -> None:
    item = drills(copies, NOW)
    assert (item.id, item.status) == ("drills", status)
