"""The compose files of a project: the ones that are named, or those of a folder, as Docker Compose would choose them."""

import re
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigurationInvalid
from core.topology.variables import variables_of

LARGEST_FILE = 4 * 2**20
FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Located:
    """The project's folder, its files by their whole paths, and what is to be said of that choice."""

    folder: Path
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()


def locate(names: tuple[str, ...], stdin: bytes | None) -> Located:
    """What ``names`` stand for. Raises ``ConfigurationInvalid`` for what is no compose file on this machine."""
    files: list[str] = []
    chosen: set[str] = set()
    for name in names:
        if name == STDIN:
            _fits(len(stdin or b""), "standard input")
            files.append(name)
            continue
        if re.match(r"^[a-z][a-z0-9+]*://|^git@", name):
            raise ConfigurationInvalid(f"{name}: nothing is fetched; expected a file on this machine.")
        path = Path(name).expanduser().absolute()
        found = _of_folder(path) if path.is_dir() else [path]
        for file in found:
            if not file.is_file():
                raise ConfigurationInvalid(f"{name if file == path else file}: no such file; expected a compose file.")
            _fits(file.stat().st_size, str(file))
        chosen |= {str(file) for file in found} if path.is_dir() else set()
        files += [str(file) for file in found]
    folders = list(dict.fromkeys(str(Path(file).parent) for file in files if file != STDIN))
    notes = [note for file in files if file != STDIN and file not in chosen for note in _beside(Path(file), files)]
    if len(folders) > 1:
        notes.append(f"The files are read as one project of {folders[0]}; import different platforms one by one.")
    return Located(Path(folders[0]) if folders else Path.cwd(), tuple(files), tuple(dict.fromkeys(notes)))


def _of_folder(folder: Path) -> list[Path]:
    """What ``docker compose up`` reads in a folder: ``COMPOSE_FILE`` of its ``.env``, else the usual file and its override."""
    if named := _compose_file(folder):
        return named
    for name in FILES:
        if (file := folder / name).is_file():
            return [file, *_overrides(file)[:1]]
    raise ConfigurationInvalid(f"{folder}: a folder without {' or '.join(FILES)}; expected a compose file.")


def _compose_file(folder: Path) -> list[Path]:
    variables = variables_of([folder / ".env"])
    separator = variables.get("COMPOSE_PATH_SEPARATOR") or ":"
    return [folder / each for each in variables.get("COMPOSE_FILE", "").split(separator) if each.strip()]


def _overrides(file: Path) -> list[Path]:
    others = (file.with_name(f"{file.stem}.override{suffix}") for suffix in (".yaml", ".yml"))
    return [other for other in others if file.name in FILES and other.is_file()]


def _beside(file: Path, files: list[str]) -> list[str]:
    """Files that ``docker compose up`` would add, had it been called without ``-f``."""
    named = _compose_file(file.parent)
    others = [other for other in named or _overrides(file) if str(other) not in files]
    if named and file not in named:
        others = []
    return [
        f"{other.name} lies beside {file.name} and is not read: name it as well, or the folder, if it is in use."
        for other in others
    ]


def _fits(size: int, name: str) -> None:
    if size > LARGEST_FILE:
        raise ConfigurationInvalid(
            f"{name}: has {size / 2**20:.0f} MB, more than the {LARGEST_FILE // 2**20} MB that are read; is it a compose file?"
        )
