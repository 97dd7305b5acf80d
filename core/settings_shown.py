"""The settings as people read them: errors that name source and key, and the list behind ``pilothouse config show``."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, SecretStr
from pydantic_core import ErrorDetails

from core.addresses import MASK, masked
from core.settings import Settings
from core.settings_keep import KeepSettings
from core.settings_sources import PREFIX, Entries, KeyPath, annotation_at, dotted, keys_of, variable


def explained(problem: ErrorDetails, entries: Entries) -> str:
    """One line: the source, the key, what was expected. The value itself is left out, since it may be a secret."""
    location = tuple(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    # What is wrong with several keys together is told of the tree; its message begins with the key.
    origin = _origin(location or tuple(message.split()[0].rstrip(":").split(".")), entries)
    if problem["type"] == "extra_forbidden":
        return f"{origin}: unknown key {dotted(location)}{_suggestion(location, origin.startswith(PREFIX))}"
    if problem["type"] == "missing":
        message = f"expected a value, but it is missing (set it here or by {variable(location)})"
    return f"{origin}: {dotted(location)}: {message}" if location else f"{origin}: {message}"


def _origin(location: KeyPath, entries: Entries) -> str:
    """Who gave the value at this place, or the table it is missing from."""
    at = next((entries[location[:end]].origin for end in range(len(location), 0, -1) if location[:end] in entries), None)
    inside = next((entry.origin for path, entry in entries.items() if path[: len(location)] == location), None)
    beside = (entry.origin for path, entry in entries.items() if len(location) > 1 and path[: len(location) - 1] == location[:-1])
    return at or inside or next(beside, "settings")


def _suggestion(location: KeyPath, as_variable: bool) -> str:
    """The key that was probably meant, else the keys that would do in its place."""
    keys = list(keys_of(Settings, {location[:1]: list(location[1:2]) or ["X"]}))
    shown = [variable(path) if as_variable else dotted(path) for path in keys]
    wanted = variable(location) if as_variable else dotted(location)
    # PILOTHOUSE_DATABASE_URL is meant as PILOTHOUSE_DATABASE__URL: the first guess is the same name but for its underscores.
    close = [name for name in shown if name.replace("__", "_") == wanted.replace("__", "_")]
    close = close or get_close_matches(wanted, shown, n=1, cutoff=0.75)
    if close:
        return f"; did you mean {close[0]}?"
    depth = len(location)
    siblings = dict.fromkeys(path[depth - 1] for path in keys if len(path) >= depth and path[: depth - 1] == location[:-1])
    return f"; expected one of {', '.join(siblings)}" if siblings else ""


class Described(NamedTuple):
    """One setting as people see it: secrets masked, paths and lists as JSON has them."""

    key: str
    value: object
    source: str


def describe(settings: Settings) -> list[Described]:
    """Every key, its value and its source (``default`` where nothing set it), in the order of the tree."""
    names: dict[KeyPath, list[str]] = {(name,): list(value) for name, value in settings if isinstance(value, dict)}
    return [
        Described(dotted(path), _shown_at(path, _value_at(settings, path)), settings.origins.get(dotted(path), "default"))
        for path in keys_of(Settings, names)
    ]


def _value_at(settings: Settings, path: KeyPath) -> object:
    current: object = settings
    for part in path:
        current = current[part] if isinstance(current, dict) else getattr(current, part)
    return current


def _shown_at(path: KeyPath, value: object) -> object:
    """The address of a channel is a secret from its first letter to its last: whoever knows its path may post."""
    if path[0] == "channels" and path[-1] == "url" and isinstance(value, SecretStr):
        return MASK
    return _shown(value)


def _shown(value: object) -> object:
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return masked(secret) if "://" in secret else MASK
    if isinstance(value, tuple):
        return [_shown(item) for item in value]
    if isinstance(value, BaseModel):
        return {name: _shown(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Path | KeepSettings):
        return str(value)
    return masked(value) if isinstance(value, str) else value


def as_variables(values: Mapping[str, object]) -> dict[str, str]:
    """``PILOTHOUSE_…`` variables for dotted keys, to hand settings to a child process (secrets included: not for logs)."""
    texts: dict[str, str] = {}
    for key, value in values.items():
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        path = tuple(key.split("."))
        if annotation_at(Settings, path) is None:
            raise ValueError(f"no such setting: {key}")
        if isinstance(plain, list | tuple):
            plain = "[" + ",".join(item.model_dump_json() if isinstance(item, BaseModel) else f'"{item}"' for item in plain) + "]"
        texts[variable(path)] = str(plain)
    return texts
