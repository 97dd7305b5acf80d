"""Folders for what is on disk meanwhile: closed to others, gone afterwards, and removed when their process died."""

import subprocess
import sys
from pathlib import Path

from blocks.dump_folder import dump_folder

HOLD = """
import sys
from pathlib import Path
from blocks.dump_folder import dump_folder
with dump_folder(Path(sys.argv[1])) as folder:
    (folder / "rows").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_ours_alone_and_goes(tmp_path: Path) -> None:
    with dump_folder(tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "rows").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_a_process_that_was_killed_is_removed_by_the_next_one(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        with dump_folder(tmp_path):
            assert (held / "rows").exists()
        process.kill()
    assert (held / "rows").exists()
    with dump_folder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]
