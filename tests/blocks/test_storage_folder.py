"""A folder: nothing is seen before it is whole, no key leads out of it, and it says what is wrong with it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from blocks.storage_folder import ObjectFolder
from core.errors import InputInvalid, NotFound, StoreRefused, StoreUnavailable
from tests.blocks.test_storage import content, keys
from tests.waiting import eventually

WRITER = """
import asyncio, os, signal, sys
from pathlib import Path
from blocks import storage_folder
from blocks.storage_folder import ObjectFolder

folder = ObjectFolder(folder=Path(sys.argv[1]))
if sys.argv[2] == "writing":
    real = storage_folder._write
    storage_folder._write = lambda begun, data: (real(begun, data), os.kill(os.getpid(), signal.SIGKILL))
else:
    Path.replace = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(folder.put("one", b"new" * 1000, "text/plain", "one.txt"))
"""


@pytest.fixture
def folder(tmp_path: Path) -> ObjectFolder:
    return ObjectFolder(folder=tmp_path / "objects")


def killed(folder: Path, moment: str) -> int:
    """The exit code of a process that dies while it writes."""
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(folder), moment],
        cwd=Path(__file__).parent.parent.parent,
        env={"PATH": os.environ["PATH"], "PREFECT_API_URL": "http://127.0.0.1:9/api", "HOME": str(folder.parent)},
        check=False,
        timeout=60,
    )
    return done.returncode


@pytest.mark.parametrize("moment", ["writing", "renaming"])
@pytest.mark.parametrize("old", [True, False])
async def test_a_process_killed_while_it_writes_leaves_what_was_there(folder: ObjectFolder, moment: str, old: bool) -> None:
    if old:
        await folder.put("one", b"old", "text/plain", "one.txt")
    assert await asyncio.to_thread(killed, folder.folder, moment) == -signal.SIGKILL
    assert await keys(folder) == (["one"] if old else [])
    if old:
        assert await content(folder, "one") == b"old"
    else:
        with pytest.raises(NotFound):
            await folder.head("one")
    assert list(folder.folder.glob(".begun-*"))
    assert await folder.tidy(hours=1) == 0
    assert await folder.tidy(hours=-1) > 0
    assert not list(folder.folder.glob(".begun-*"))
    assert await keys(folder) == (["one"] if old else [])


OUTSIDE = [
    "../outside",
    "a/../../outside",
    "/etc/passwd",
    "a//b",
    "",
    "/",
    "a/",
    ".hidden",
    "a/.hidden",
    "..",
    "a\0b",
    "a\\..\\b",
    "a\nb",
    "x" * 201,
    "/".join("x" * 21),
]


@pytest.mark.parametrize("key", OUTSIDE)
async def test_no_key_leads_out_of_the_folder(folder: ObjectFolder, tmp_path: Path, key: str) -> None:
    (tmp_path / "outside").write_text("secret")
    await folder.put("inside", b"x", "text/plain", "x")
    with pytest.raises(InputInvalid, match="A key has parts"):
        await folder.put(key, b"evil", "text/plain", "x")
    with pytest.raises(NotFound):
        await folder.head(key)
    with pytest.raises(NotFound):
        await content(folder, key)
    await folder.remove([key])
    assert (tmp_path / "outside").read_text() == "secret"
    assert sorted(os.listdir(tmp_path)) == ["objects", "outside"]  # noqa: PTH208
    assert await keys(folder) == ["inside"]


async def test_what_lies_in_it_is_ours_alone(folder: ObjectFolder) -> None:
    await folder.put("a/b", b"x", "text/plain", "x")
    assert folder.folder.stat().st_mode & 0o777 == 0o700
    assert (folder.folder / "a" / "b").stat().st_mode & 0o777 == 0o600


async def test_a_file_that_someone_put_there_is_an_object_too(folder: ObjectFolder) -> None:
    folder.folder.mkdir()
    (folder.folder / "report.pdf").write_bytes(b"%PDF")
    (folder.folder / "damaged.svg").write_bytes(b"<svg/>")
    (folder.folder / ".damaged.svg.json").write_bytes(b"{")
    found = await folder.head("report.pdf")
    assert (found.media_type, found.name, found.size) == ("application/pdf", "report.pdf", 4)
    assert (await folder.head("damaged.svg")).media_type == "image/svg+xml"
    assert await keys(folder) == ["damaged.svg", "report.pdf"]


async def test_what_is_noted_of_an_object_goes_with_it(folder: ObjectFolder) -> None:
    await folder.put("a/one", b"x", "text/plain", "x")
    await folder.remove(["a/one"])
    assert [path.name for path in folder.folder.rglob("*")] == ["a"]


async def test_a_folder_is_no_object(folder: ObjectFolder) -> None:
    await folder.put("a/one", b"x", "text/plain", "x")
    for key in ("a", "a/one/two"):
        with pytest.raises(NotFound):
            await folder.head(key)
        with pytest.raises(NotFound):
            await content(folder, key)


async def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    folder = ObjectFolder(folder=tmp_path / "file")
    with pytest.raises(StoreRefused, match=r"file cannot be used .*: make room there, or"):
        await folder.put("one", b"x", "text/plain", "x")
    with pytest.raises(StoreRefused, match=r"file cannot be used .*: make room there, or"):
        await folder.check()


async def test_an_object_cannot_lie_within_another(folder: ObjectFolder) -> None:
    await folder.put("a/one", b"x", "text/plain", "x")
    for key in ("a", "a/one/two"):
        with pytest.raises(StoreRefused):
            await folder.put(key, b"y", "text/plain", "y")
    assert await keys(folder) == ["a/one"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
async def test_a_full_disk_is_said_and_leaves_nothing(folder: ObjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    async def much() -> AsyncIterator[bytes]:
        yield b"x" * 100_000

    real = os.open
    monkeypatch.setattr("blocks.storage_folder.os.open", lambda *_: real("/dev/full", os.O_WRONLY))
    for data in (b"x" * 100_000, much()):
        with pytest.raises(StoreRefused, match="No space left on device"):
            await folder.put("one", data, "text/plain", "x")
    assert await keys(folder) == []


async def test_a_disk_that_fails_may_come_back(folder: ObjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("blocks.storage_folder.os.fsync", failing)
    with pytest.raises(StoreUnavailable, match="Input/output error"):
        await folder.put("one", b"x", "text/plain", "x")
    assert await keys(folder) == []
    assert not list(folder.folder.iterdir())


async def test_a_folder_that_cannot_be_read_does_not_look_empty(folder: ObjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await keys(folder) == []  # nobody has written to it yet
    await folder.put("one", b"x", "text/plain", "x")

    def refusing(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", refusing)
    with pytest.raises(StoreRefused, match="Permission denied"):
        await keys(folder)


async def test_a_reader_who_leaves_at_once_leaves_no_file_open(folder: ObjectFolder) -> None:
    await folder.put("one", b"x" * 1_000_000, "text/plain", "x")
    for steps in range(4):
        reading = asyncio.create_task(content(folder, "one"))
        for _ in range(steps):
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await eventually(lambda: len(asyncio.all_tasks()) == 1, what="nothing goes on")
        await eventually(lambda: str(folder.folder / "one") not in opened_files(), what="it is closed")


def opened_files() -> set[str]:
    return {file.path for file in psutil.Process().open_files()}
