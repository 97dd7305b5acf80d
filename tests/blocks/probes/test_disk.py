"""Disks: what is in use of a real one, one that takes no writes, one that is not there, one that does not answer."""

import asyncio
import os
import threading
from pathlib import Path

import psutil
import pytest

from blocks.probes import disk as module
from tests.blocks.probes.looking import seen
from tests.waiting import eventually


async def test_what_is_in_use(tmp_path: Path) -> None:
    found = await seen("disk", path=tmp_path, warn=101, critical=102)
    assert (found.state, found.code, found.message) == ("up", "ok", "")
    told = os.statvfs(tmp_path)
    assert found.facts["size_bytes"] == told.f_blocks * told.f_frsize
    assert 0 < float(found.facts["disk_percent"]) < 100
    free = told.f_bavail * told.f_frsize
    assert abs(int(found.facts["free_bytes"]) - free) < 0.05 * free + 1e9


async def test_limits(tmp_path: Path) -> None:
    percent = float((await seen("disk", path=tmp_path, warn=101, critical=102)).facts["disk_percent"])
    for warn, critical, state in ((percent / 2, 101, "degraded"), (percent / 4, percent / 2, "down")):
        found = await seen("disk", path=tmp_path, warn=warn, critical=critical)
        assert (found.state, found.code) == (state, "disk")
        assert "are free: make room" in found.message


async def test_a_disk_that_is_not_there() -> None:
    found = await seen("disk", path="/no/such/disk")
    assert (found.state, found.code) == ("down", "missing")
    assert (await seen("disk")).code == "missing"  # the data directory of these settings


@pytest.fixture
def read_only() -> Path:
    """Something that is mounted so on this machine."""
    mounts = [Path(each.mountpoint) for each in psutil.disk_partitions(all=True) if "ro" in each.opts.split(",")]
    found = next((each for each in mounts if os.statvfs(each).f_flag & os.ST_RDONLY), None)
    return found or pytest.skip("nothing is mounted read-only on this machine")


async def test_a_disk_that_takes_no_writes(read_only: Path) -> None:
    found = await seen("disk", path=read_only, warn=101, critical=102)
    assert (found.state, found.code) == ("degraded", "read_only")


async def test_a_disk_that_does_not_answer_is_asked_by_one_thread_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network disk whose server is gone blocks whoever asks, and cannot be had in a test."""
    released, asked = threading.Event(), []

    def hang(path: Path) -> os.statvfs_result:
        asked.append(path)
        released.wait(20)
        return os.statvfs("/")

    monkeypatch.setattr(module, "_ask", hang)
    first = await seen("disk", path=tmp_path, timeout=0.2)
    second = await seen("disk", path=tmp_path, timeout=0.2)
    assert [(each.state, each.code) for each in (first, second)] == [("down", "timeout")] * 2
    assert "still does not answer" in second.message
    assert asked == [tmp_path]
    released.set()

    async def is_back() -> bool:
        return (await seen("disk", path=tmp_path, warn=101, critical=102)).state == "up"

    await eventually(is_back, what="the disk is asked again")
    assert not asyncio.all_tasks() - {asyncio.current_task()}
