"""bandit over the operator's Python scripts, where it is installed. Nothing of a script is run or told."""

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from core.config import bare_environment
from core.preflight.installation import Script

SECONDS = 60.0
_FIRST = 128


def python_scripts(commands: Iterable[tuple[Sequence[str], Path | None]]) -> list[Path]:
    """The files in commands that are Python's, by their name or first line; relative ones are of the folder they run in."""
    found: dict[Path, None] = {}
    for words, folder in commands:
        for word in words:
            path = (folder or Path()) / word
            if _is_python(path):
                found[path] = None
    return list(found)


def bandit_over(scripts: Sequence[Path]) -> list[Script] | None:
    """How many findings each has by severity; None without bandit. Blocks for seconds."""
    if importlib.util.find_spec("bandit") is None:
        return None
    told = _told([each.absolute() for each in scripts])
    return [Script(str(each), None if told is None else told.get(str(each.absolute()))) for each in scripts]


def _is_python(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        if path.suffix == ".py":
            return True
        with path.open("rb") as file:
            first = file.read(_FIRST).partition(b"\n")[0]
    except (OSError, ValueError):
        return False
    return first.startswith(b"#!") and b"python" in first and path.resolve() != Path(sys.executable).resolve()


def _told(scripts: Sequence[Path]) -> dict[str, Counter[str]] | None:
    """By script how many findings there are of each severity, without those that it could not read; None where it broke off."""
    command = [sys.executable, "-m", "bandit", "--quiet", "--format", "json", "--exit-zero", *(str(each) for each in scripts)]
    try:
        done = subprocess.run(  # noqa: S603  (our own dependency; arguments are a list)
            command, env=bare_environment({}), cwd=scripts[0].parent, capture_output=True, timeout=SECONDS, check=False
        )
        told = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    unread = {each.get("filename") for each in told.get("errors") or ()}
    found = {str(each): Counter[str]() for each in scripts if str(each) not in unread}
    for each in told.get("results") or ():
        if (counted := found.get(each.get("filename"))) is not None:
            counted[str(each.get("issue_severity"))] += 1
    return found
