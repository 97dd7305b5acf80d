"""Modes, ages and certificates of real files."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from blocks.preflight.files import certificate, days_of, mode_of, modes_of
from tests.certificates import Authority


def test_modes_and_ages(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("x", encoding="utf-8")
    file.chmod(0o640)
    os.utime(file, (time.time(), time.time() - 10 * 86_400))
    assert modes_of([file, file, tmp_path, tmp_path / "nothing"]) == {str(file): 0o640}
    assert mode_of(tmp_path / "nothing") is None
    assert days_of(file) == pytest.approx(10, abs=0.01)
    assert days_of(tmp_path / "nothing") is None


def test_a_certificate_lasts_or_does_not(tmp_path: Path) -> None:
    hour, now = 1 / 24, datetime.now(UTC)
    file = Authority(tmp_path).signed("127.0.0.1", ends=hour, lifetime=2 * hour)
    seen = [certificate(file, now + timedelta(minutes=minutes)) for minutes in (0, 30, 55, 24 * 60)]
    assert [(each.state, each.code) for each in seen] == [
        ("up", "ok"),
        ("degraded", "expires_soon"),
        ("down", "expires_now"),
        ("down", "expired"),
    ]
    assert seen[3].message == "It has ended 1 days ago: renew it."


def test_what_is_no_certificate(tmp_path: Path) -> None:
    file, now = tmp_path / "certificate.pem", datetime.now(UTC)
    file.write_text("no", encoding="utf-8")
    assert (certificate(file, now).state, certificate(file, now).code) == ("down", "unreadable")
    assert "No such file" in certificate(tmp_path / "nothing", now).message
