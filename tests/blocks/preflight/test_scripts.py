"""bandit over scripts, and which of an operator's words are scripts."""

import importlib.util
from pathlib import Path

import pytest

from blocks.preflight.scripts import bandit_over, python_scripts


def test_scripts_are_found_by_name_and_first_line(tmp_path: Path) -> None:
    named, marked, shell = tmp_path / "a.py", tmp_path / "hook", tmp_path / "b.sh"
    named.write_text("print(1)\n", encoding="utf-8")
    marked.write_text("#!/usr/bin/env python3\nprint(1)\n", encoding="utf-8")
    shell.write_text("#!/bin/sh\n", encoding="utf-8")
    commands = [
        ((str(marked), "--all"), None),
        (("python3", "a.py", "x" * 5000), tmp_path),
        ((str(shell),), None),
        (("a.py",), None),
    ]
    assert python_scripts(commands) == [marked, named]


def test_bandit_counts_what_it_finds(tmp_path: Path) -> None:
    grave, well, broken = tmp_path / "grave.py", tmp_path / "well.py", tmp_path / "broken.py"
    grave.write_text("import subprocess\nsubprocess.run('ls ' + input(), shell=True)\n", encoding="utf-8")
    well.write_text("print(1)\n", encoding="utf-8")
    broken.write_text("def (\n", encoding="utf-8")
    found = bandit_over([grave, well, broken])
    assert found is not None
    assert [each.name for each in found] == [str(grave), str(well), str(broken)]
    assert found[0].found is not None
    assert found[0].found.get("HIGH") == 1
    assert found[1].found == {}
    assert found[2].found is None


def test_without_bandit_nobody_can_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert bandit_over([tmp_path / "a.py"]) is None
