"""Folders and files: what is saved comes back the same; nothing is ever written outside of where it belongs."""

import io
import os
import socket
import stat
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

from blocks.folder_backups import SavedFolder
from blocks.pipe import store_part
from blocks.pipe_reading import reading_part
from blocks.storage_folder import ObjectFolder
from core.backups.errors import PlaceRefused, RestoreFailed
from core.backups.manifest import PartRecord
from core.backups.place import Fingerprint

FOLDER = "files/2026/01/31/020000Z-0123456789ab/"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """One of everything that a folder may hold."""
    folder = tmp_path / "source"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "empty").mkdir(mode=0o750)
    (folder / ".env").write_text("SECRET_KEY=x")
    (folder / ".env").chmod(0o600)
    (folder / "run.sh").write_text("#!/bin/sh")
    (folder / "run.sh").chmod(0o755)
    (folder / "图表 1.svg").write_text("<svg/>")
    (folder / "deep" / ("n" * 180)).write_bytes(b"")
    (folder / "deep" / "deeper" / "large").write_bytes(os.urandom(6_000_001))
    (folder / "deep" / "debug.log").write_text("…")
    (folder / "link").symlink_to("deep/debug.log")
    (folder / "dangling").symlink_to("/nowhere")
    os.utime(folder / ".env", (1_000_000_000, 1_000_000_000))
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(folder / "socket"))
    return folder


async def saved(place: SavedFolder, store: ObjectFolder) -> tuple[PartRecord, Fingerprint]:
    async with place.dumping(await place.inspect()) as dump:
        (part,) = dump.parts
        record = await store_part(part, store, FOLDER)
    return record, dump.fingerprint


async def put_back(record: PartRecord, store: ObjectFolder, target: SavedFolder, only: str | None = None) -> None:
    async with reading_part(record, store) as stream:
        await target.restore(record.name, record.format, stream, only)


def shape(folder: Path) -> dict[str, object]:
    """Every entry with what matters of it."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = str(path.readlink())
        elif path.is_dir() or path.is_file():
            content = path.read_bytes() if path.is_file() else None
            found[str(path.relative_to(folder))] = (stat.S_IMODE(path.stat().st_mode), path.stat().st_mtime, content)
    return found


async def test_a_folder_comes_back_the_same(source: Path, tmp_path: Path) -> None:
    store = ObjectFolder(folder=tmp_path / "store")
    place = SavedFolder(name="sources.x", path=source)
    record, fingerprint = await saved(place, store)
    assert fingerprint.counts == {".": 5, "deep": 3}
    target = SavedFolder(name="targets.x", path=tmp_path / "target")
    assert (await target.inspect()).empty
    await put_back(record, store, target)
    assert shape(tmp_path / "target") == shape(source)
    assert await target.fingerprint(fingerprint) == fingerprint == await place.fingerprint(fingerprint)
    assert not (await target.inspect()).empty
    (tmp_path / "target" / "run.sh").write_text("#!/bin/sx")
    changed = await target.fingerprint(fingerprint)
    assert changed.counts == fingerprint.counts
    assert {name for name, word in changed.checksums.items() if word != fingerprint.checksums[name]} == {"."}
    await target.clear()
    assert (await target.inspect()).empty


async def test_stock_tar_opens_it(source: Path, tmp_path: Path) -> None:
    place = SavedFolder(name="sources.x", path=source)
    async with place.dumping(await place.inspect()) as dump:
        with dump.parts[0].open() as stream:
            content = b"".join(iter(lambda: stream.read(100_000), b""))
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert {"图表 1.svg", "deep/deeper/large", "empty", "link"} <= set(tar.getnames())


async def test_one_file_alone_and_what_is_left_out(source: Path, tmp_path: Path) -> None:
    store = ObjectFolder(folder=tmp_path / "store")
    place = SavedFolder(name="sources.x", path=source, exclude=("*.log", "deep/deeper"))
    record, fingerprint = await saved(place, store)
    assert fingerprint.counts == {".": 5, "deep": 1}
    target = SavedFolder(name="targets.x", path=tmp_path / "target")
    await put_back(record, store, target, ".env")
    assert list(shape(tmp_path / "target")) == [".env"]
    with pytest.raises(RestoreFailed, match=r"holds no deep/debug\.log"):
        await put_back(record, store, target, "deep/debug.log")


async def test_the_store_itself_is_not_saved(source: Path) -> None:
    kept = source / "deep" / "backups"
    place = SavedFolder(name="sources.x", path=source, apart=kept)
    for _ in range(2):
        record, fingerprint = await saved(place, ObjectFolder(folder=kept))
        assert record.plain_size < 8_000_000
        assert fingerprint.counts == {".": 5, "deep": 3}


async def test_a_single_file_goes_into_a_folder_or_over_a_file(source: Path, tmp_path: Path) -> None:
    store = ObjectFolder(folder=tmp_path / "store")
    record, fingerprint = await saved(SavedFolder(name="sources.env", path=source / ".env"), store)
    assert (record.name, record.format) == ("%2Eenv", "file")
    folder = SavedFolder(name="targets.x", path=tmp_path / "target")
    (tmp_path / "target").mkdir()
    await put_back(record, store, folder)
    assert (tmp_path / "target" / ".env").read_text() == "SECRET_KEY=x"
    assert stat.S_IMODE((tmp_path / "target" / ".env").stat().st_mode) == 0o600
    assert await folder.fingerprint(fingerprint) == fingerprint
    (source / ".env").write_text("changed")
    await put_back(record, store, SavedFolder(name="sources.env", path=source / ".env"))
    assert (source / ".env").read_text() == "SECRET_KEY=x"


async def test_chosen_entries_with_a_file_from_elsewhere(source: Path, tmp_path: Path) -> None:
    store = ObjectFolder(folder=tmp_path / "store")
    (tmp_path / "other.toml").write_text("x")
    chosen = {"include": ("empty", ".env", "absent"), "files": {"pilothouse.toml": tmp_path / "other.toml"}}
    place = SavedFolder.model_validate({"name": "sources.configuration", "path": source} | chosen)
    record, fingerprint = await saved(place, store)
    assert fingerprint.counts == {".": 2}
    target = SavedFolder(name="targets.x", path=tmp_path / "target")
    await put_back(record, store, target)
    assert list(shape(tmp_path / "target")) == [".env", "empty", "pilothouse.toml"]


async def test_what_is_missing_or_closed_is_named(source: Path, tmp_path: Path) -> None:
    absent = SavedFolder(name="sources.x", path=tmp_path / "absent")
    with pytest.raises(PlaceRefused, match="does not exist"):
        await saved(absent, ObjectFolder(folder=tmp_path / "store"))
    if os.geteuid() != 0:
        (source / "run.sh").chmod(0)
        with pytest.raises(PlaceRefused, match=r"run\.sh may not be read"):
            await saved(SavedFolder(name="sources.x", path=source), ObjectFolder(folder=tmp_path / "store"))


def hostile(*members: tuple[str, bytes, str]) -> io.BytesIO:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"evil"))
    return io.BytesIO(content.getvalue())


@pytest.mark.parametrize(
    "members",
    [
        [("../out", tarfile.REGTYPE, "")],
        [("a/../../out", tarfile.REGTYPE, "")],
        [("/tmp/out", tarfile.REGTYPE, "")],
        [("down", tarfile.SYMTYPE, ".."), ("down/out", tarfile.REGTYPE, "")],
        [("there/out", tarfile.REGTYPE, "")],
        [("device", tarfile.CHRTYPE, "")],
        [("hard", tarfile.LNKTYPE, "/etc/passwd")],
    ],
)
async def test_nothing_is_written_outside(members: list[tuple[str, bytes, str]], tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (target / "there").symlink_to(tmp_path / "elsewhere")  # it was in the target before
    place = SavedFolder(name="targets.x", path=target)
    with suppress(RestoreFailed, IsADirectoryError):
        await place.restore("files.tar", "tar", hostile(*members))
        assert members[0][0] == "down", "it should have been refused"
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "elsewhere" / "out").exists()
