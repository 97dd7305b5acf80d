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
    return [Script(str(each), _found(each)) for each in scripts]


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


def _found(script: Path) -> Counter[str] | None:
    command = [sys.executable, "-m", "bandit", "--quiet", "--format", "json", "--exit-zero", str(script.absolute())]
    try:
        done = subprocess.run(  # noqa: S603  (our own dependency; arguments are a list)
            command, env=bare_environment({}), cwd=script.absolute().parent, capture_output=True, timeout=SECONDS, check=False
        )
        told = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    if told.get("errors"):
        return None
    return Counter(str(each.get("issue_severity")) for each in told.get("results") or ())
