"""Whether Docker Compose would take the files of a change."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from blocks.compose_reader import check_files
from blocks.own_thread import in_own_thread
from core.changes import ComposeInvalid
from core.errors import ConfigurationInvalid, PartMissing


async def check(files: Sequence[Path], env_file: Path | None, folder: Path) -> None:
    """Returns when the files are valid together. ``folder`` is what relative paths in them start from.

    Values are taken from ``env_file``, else from ``.env`` in ``folder``. Raises ``ComposeInvalid``.
    """
    for path in (*files, *([env_file] if env_file is not None else [])):
        if not path.is_file():
            raise ComposeInvalid(f"{path} is not there.")
    try:
        await in_own_thread(partial(check_files, files, env_file, folder), "compose-check")
    except (ConfigurationInvalid, PartMissing) as error:
        raise ComposeInvalid(error.message) from error
