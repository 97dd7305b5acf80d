"""Files that a change saves and puts back: links, rights, files that were not there, copies that somebody changed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from blocks.changed_files import KEPT, SavedFiles
from core.changes import FilesNotSaved, Note
from core.errors import NotFound

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def note(number: int = 1, **more: str) -> Note:
    return Note(change="release", id=f"id-{number}", started_at=NOW + timedelta(minutes=number)).model_copy(update=more)


def test_links_stay_links_and_what_was_not_there_goes(tmp_path: Path) -> None:
    real, link, absent = tmp_path / "real.env", tmp_path / ".env", tmp_path / "override.yml"
    real.write_text("old")
    real.chmod(0o604)
    link.symlink_to(real)
    saved = SavedFiles(tmp_path / "changes")
    kept = saved.save(note(), [link, absent])
    (tmp_path / "new").write_text("new")
    saved.put(link, tmp_path / "new")
    absent.write_text("made by the change")
    assert (link.is_symlink(), real.read_text(), real.stat().st_mode & 0o777) == (True, "new", 0o604)
    saved.put_back(kept)
    assert (link.is_symlink(), real.read_text(), real.stat().st_mode & 0o777) == (True, "old", 0o604)
    assert not absent.exists()
    assert saved.note("id-1") == kept


def test_a_copy_that_was_changed_is_not_put_back_and_the_others_are(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("one")
    second.write_text("two")
    saved = SavedFiles(tmp_path / "changes")
    kept = saved.save(note(), [first, second])
    (saved.folder("id-1") / "files" / "1-a").write_text("altered")
    first.write_text("1")
    second.write_text("2")
    with pytest.raises(FilesNotSaved, match=rf"Not put back: {first} \(the copy 1-a was changed\)"):
        saved.put_back(kept)
    assert (first.read_text(), second.read_text()) == ("1", "two")


def test_only_the_last_finished_ones_stay_and_every_unfinished_one(tmp_path: Path) -> None:
    saved = SavedFiles(tmp_path / "changes")
    for number in range(KEPT + 3):
        saved.write(saved.save(note(number), []).model_copy(update={"result": "good" if number else "unfinished"}))
    saved.tidy("release")
    assert [each.id for each in saved.notes("release")] == [f"id-{number}" for number in range(KEPT + 2, 2, -1)] + ["id-0"]
    assert saved.notes("other") == []
    (saved.folder("id-5") / "note.json").write_text("{")
    with pytest.raises(NotFound):
        saved.note("id-5")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "changes").write_text("a file")
    with pytest.raises(FilesNotSaved, match="cannot be written"), SavedFiles(tmp_path / "changes").locked():
        pass
