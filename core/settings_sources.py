"""What the configuration file, the environment and the command line say, as entries on the paths of the settings tree.

Nothing is checked here but what only the source can know: that the file is TOML, which variables are meant for us, and that a
secret's ``env:NAME`` or ``file:PATH`` exists. The tree itself refuses unknown keys and bad values.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from core.errors import ConfigurationInvalid

KeyPath = tuple[str, ...]
PREFIX = "PILOTHOUSE_"
NOT_SETTINGS = frozenset({"PILOTHOUSE_CONFIG", "PILOTHOUSE_URL", "PILOTHOUSE_TOKEN", "PILOTHOUSE_WORKSPACE"})
"""Variables of ours that the tree does not hold: the file's place, and how a client finds and greets a running Pilothouse."""
SHORT: Mapping[str, KeyPath] = {"PILOTHOUSE_FASTGPT_GENERATION": ("fastgpt", "generation")}
"""Variables of ours that do without the two underscores."""
PROVENANCE = frozenset({"origins", "hints", "read_from"})
"""The tree's own notes, which no source may set."""
# Kubernetes and Docker describe a service called "pilothouse" in variables of these forms.
_SERVICE_LINK = re.compile(r"PILOTHOUSE(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)")


@dataclass(frozen=True)
class Entry:
    """One value, where it came from, and the folder that relative paths in it start from."""

    value: object
    origin: str
    folder: Path


Entries = dict[KeyPath, Entry]


def dotted(path: KeyPath) -> str:
    return ".".join(path)


def variable(path: KeyPath) -> str:
    """The variable of a setting: ``("chat", "queue")`` -> ``PILOTHOUSE_CHAT__QUEUE``."""
    return PREFIX + "__".join(path).upper()


def annotation_at(tree: type[BaseModel], path: KeyPath) -> object | None:
    """The type annotation at a path of the tree, without Optional and Annotated; None where the tree has no such key."""
    current: object = tree
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            if part not in current.model_fields or (current is tree and part in PROVENANCE):
                return None
            current = _plain(current.model_fields[part].annotation)
        elif get_origin(current) is dict:
            current = _plain(get_args(current)[1])
        else:
            return None
    return current


def _plain(annotation: object) -> object:
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, UnionType):
            annotation = next(kind for kind in get_args(annotation) if kind is not type(None))
        else:
            return annotation


def keys_of(tree: type[BaseModel], names: dict[KeyPath, list[str]] | None = None, at: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key of the tree; under a table of named sections one set per name in ``names``, or for the name ``X``."""
    for field in tree.model_fields:
        path = (*at, field)
        if not at and field in PROVENANCE:
            continue
        kind = _plain(tree.model_fields[field].annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys_of(kind, names, path)
        elif get_origin(kind) is dict and isinstance(section := get_args(kind)[1], type) and issubclass(section, BaseModel):
            for name in ["X"] if names is None else names.get(path, []):
                yield from keys_of(section, names, (*path, name))
        else:
            yield path


def from_file(file: Path, tree: type[BaseModel]) -> Entries:
    """The entries of ``pilothouse.toml``; a file that cannot be read or parsed is refused by name."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationInvalid(f"{file}: cannot be read ({error.strerror}); expected a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationInvalid(f"{file}: is not valid TOML: {error}") from error
    return dict(_flat(content, (), tree, file.name, file.absolute().parent))


def _flat(
    table: Mapping[str, object], at: KeyPath, tree: type[BaseModel], origin: str, folder: Path
) -> Iterator[tuple[KeyPath, Entry]]:
    for key, value in table.items():
        path = (*at, key)
        if isinstance(value, dict) and value and _is_table(annotation_at(tree, path)):
            yield from _flat(value, path, tree, origin, folder)
        else:
            yield path, Entry(value, origin, folder)


def _is_table(annotation: object) -> bool:
    return get_origin(annotation) is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel))


def from_variables(environ: Mapping[str, str], tree: type[BaseModel], known: Entries) -> Entries:
    """The entries of ``PILOTHOUSE_…`` variables; ``known`` gives the spelling of names that the file already uses."""
    spelled = {tuple(part.lower() for part in path[:2]): path[:2] for path in known if len(path) > 1}
    entries: Entries = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name in NOT_SETTINGS or not text.strip() or _is_service_link(name, text):
            continue
        parts = tuple(part.lower() for part in name.removeprefix(PREFIX).split("__"))
        path = SHORT.get(name) or (*spelled.get(parts[:2], parts[:2]), *parts[2:])
        entries[path] = Entry(_from_text(text, annotation_at(tree, path)), name, Path.cwd())
    return entries


def _is_service_link(name: str, text: str) -> bool:
    return bool(_SERVICE_LINK.fullmatch(name)) or (name.endswith("_PORT") and text.startswith(("tcp://", "udp://")))


def _from_text(text: str, annotation: object) -> object:
    """Lists come as JSON or separated by commas; a list of models may be given by their names alone."""
    if get_origin(annotation) is not tuple:
        return text.strip()
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    items = [item.strip() for item in text.split(",") if item.strip()]
    return items if _plain(get_args(annotation)[0]) in (str, Path) else [{"name": item} for item in items]


def from_arguments(arguments: Mapping[str, object]) -> Entries:
    """The entries of the command line, by dotted key; None means that an option was not given."""
    entries: Entries = {}
    for key, value in arguments.items():
        if value is not None:
            option = key.rpartition(".")[2].replace("_", "-")
            origin = f"--no-{option}" if value is False else f"--{option}"
            entries[tuple(key.split("."))] = Entry(value, origin, Path.cwd())
    return entries


def settled(path: KeyPath, entry: Entry, tree: type[BaseModel], environ: Mapping[str, str]) -> object:
    """The entry's value with secrets fetched from where they point and paths made absolute."""
    kind = annotation_at(tree, path)
    if isinstance(entry.value, bool) and kind in (int, float):  # to Python, and so to pydantic, true is 1
        raise ConfigurationInvalid(f"{entry.origin}: {dotted(path)}: expected a number")
    if (kind is SecretStr or path[-1] == "username") and isinstance(entry.value, str):
        return _secret(path, entry, environ)
    if kind is Path and isinstance(entry.value, str | Path):
        return entry.folder / Path(entry.value).expanduser()
    if get_origin(kind) is tuple and get_args(kind)[0] is Path and isinstance(entry.value, list | tuple):
        return [entry.folder / Path(each).expanduser() if isinstance(each, str) else each for each in entry.value]
    return entry.value


def _secret(path: KeyPath, entry: Entry, environ: Mapping[str, str]) -> str:
    value = str(entry.value)
    where = f"{entry.origin}: {dotted(path)}"
    if value.startswith("env:"):
        name = value.removeprefix("env:")
        if not (found := environ.get(name, "").strip()):
            raise ConfigurationInvalid(f"{where}: the variable {name} is not set; set it, or give the secret another way")
        return found
    if value.startswith("file:"):
        file = entry.folder / Path(value.removeprefix("file:").removeprefix("//")).expanduser()
        try:
            found = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ConfigurationInvalid(
                f"{where}: {file} cannot be read ({reason}); put the secret there or name another file"
            ) from error
        if not found:
            raise ConfigurationInvalid(f"{where}: {file} is empty; put the secret there or name another file")
        return found
    return value
