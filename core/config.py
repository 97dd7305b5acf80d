"""The one ``Settings`` tree of a process, from defaults, ``pilothouse.toml``, the environment and the command line.

Each of these wins over the ones before it. This is the only file that reads or changes the process's environment; the tree
itself is in ``core/settings.py``, and what an explicit ``environ`` says is all that tests need to give.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from core.errors import ConfigurationInvalid
from core.prefect_environment import PrefectServer, prefect_environment
from core.settings import (
    ChatSettings,
    DatabaseSettings,
    ModelSettings,
    PrefectSettings,
    ProviderSettings,
    RedisSettings,
    Settings,
)
from core.settings_aliases import from_aliases
from core.settings_shown import Described, as_variables, describe, explained
from core.settings_sources import (
    PROVENANCE,
    Entries,
    KeyPath,
    dotted,
    from_arguments,
    from_file,
    from_variables,
    settled,
)
from core.settings_types import Section

__all__ = [
    "ChatSettings",
    "DatabaseSettings",
    "Described",
    "ModelSettings",
    "PrefectServer",
    "PrefectSettings",
    "ProviderSettings",
    "RedisSettings",
    "Section",
    "Settings",
    "apply_environment",
    "as_variables",
    "bare_environment",
    "child_environment",
    "describe",
    "load_settings",
    "prefect_environment",
]

FILE = "pilothouse.toml"
PLAIN = frozenset(
    [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "XDG_RUNTIME_DIR",
        "SSH_AUTH_SOCK",
        "NO_PROXY",
        "no_proxy",
        "DOCKER_HOST",
        "DOCKER_CONFIG",
        "COMPOSE_FILE",
        "COMPOSE_PROJECT_NAME",
        "KUBECONFIG",
    ]
)
"""Variables that hold no secrets, for commands that are not ours."""


def load_settings(
    *,
    config: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """The settings in force; ``overrides`` are the command line's, by dotted key, where None means "not given".

    Raises ``ConfigurationInvalid`` naming the file or variable, the key and what was expected.
    """
    variables = os.environ if environ is None else environ
    arguments = from_arguments(overrides or {})
    base: dict[KeyPath, object] = {("timezone",): _timezone(variables)}
    if (data_dir := _data_dir(variables)) is not None:
        base["data_dir",] = data_dir
    entries: Entries = {}
    file, hints = _file(config, arguments, variables, data_dir)
    if file is not None:
        entries |= from_file(file, Settings)
    own = from_variables(variables, Settings, entries)
    aliases = from_aliases(variables, entries | own)
    entries |= aliases.entries | own | arguments
    for path, entry in entries.items():
        if path[0] in PROVENANCE:
            raise ConfigurationInvalid(f"{entry.origin}: unknown key {path[0]}")
    values = base | {path: settled(path, entry, Settings, variables) for path, entry in entries.items()}
    try:
        settings = Settings.model_validate(_nested(values))
    except ValidationError as error:
        raise ConfigurationInvalid("\n".join(explained(problem, entries) for problem in error.errors())) from None
    origins = {dotted(path): entry.origin for path, entry in entries.items()}
    read_from = None if file is None else file.absolute()
    return settings.model_copy(update={"origins": origins, "hints": (*hints, *aliases.hints), "read_from": read_from})


def _file(
    config: Path | None, arguments: Entries, variables: Mapping[str, str], default: Path | None
) -> tuple[Path | None, tuple[str, ...]]:
    """The file to read: the one named, else ``./pilothouse.toml``, else the one in the data directory."""
    named = config or (Path(text).expanduser() if (text := variables.get("PILOTHOUSE_CONFIG", "").strip()) else None)
    if named is not None:
        return named, ()
    given = arguments.get(("data_dir",))
    folder = str(given.value) if given else variables.get("PILOTHOUSE_DATA_DIR", "").strip() or default
    here = Path.cwd() / FILE
    there = here if folder is None else Path(folder).expanduser().absolute() / FILE
    if here.is_file():
        both = there.is_file() and there != here
        return here, (f"{there} is not read: {here} comes first; --config names one of them",) if both else ()
    return (there if there.is_file() else None), ()


def _data_dir(variables: Mapping[str, str]) -> Path | None:
    """The XDG data directory's ``pilothouse``; a relative ``XDG_DATA_HOME`` counts as unset, as its specification says.

    None for a user without a home, as containers give them: then ``data_dir`` has to be set.
    """
    given = Path(variables.get("XDG_DATA_HOME", ""))
    if given.is_absolute():
        return given / "pilothouse"
    try:
        home = Path(variables["HOME"]) if variables.get("HOME") else Path.home()
    except RuntimeError:
        return None
    return home / ".local" / "share" / "pilothouse"


def _timezone(variables: Mapping[str, str], etc: Path = Path("/etc")) -> str:
    """The machine's IANA time zone by ``TZ``, ``/etc/timezone`` or the link ``/etc/localtime``; UTC where none says it."""
    candidates = [variables.get("TZ", "").removeprefix(":")]
    name, link = etc / "timezone", etc / "localtime"
    if name.is_file():
        candidates.append(name.read_text(encoding="utf-8", errors="replace").strip())
    candidates.append(str(link.resolve()).rpartition("zoneinfo/")[2])
    for candidate in candidates:
        try:
            if candidate:
                return str(ZoneInfo(candidate))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return "UTC"


def _nested(values: Mapping[KeyPath, object]) -> dict[str, object]:
    """The tree of nested tables. Where a value stands in a table's place it is kept, for validation to refuse."""
    tree: dict[str, object] = {}
    for path, value in sorted(values.items()):
        table: object = tree
        for part in path[:-1]:
            table = table.setdefault(part, {}) if isinstance(table, dict) else None
        if isinstance(table, dict) and not (value == {} and path[-1] in table):
            table[path[-1]] = value
    return tree


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with ``extra`` on top, for a child; loopback never goes through a proxy."""
    merged = {**os.environ, **extra}
    return merged | _unproxied(merged)


def bare_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What a command of the operator's gets: where programs, home and language are, nothing of our settings, and ``extra``."""
    return {name: value for name, value in os.environ.items() if name in PLAIN or name.startswith("LC_")} | dict(extra)


def apply_environment(values: Mapping[str, str]) -> None:
    """Sets variables of this process, for libraries that read them when they are imported; loopback as for a child."""
    os.environ.update(values)
    os.environ.update(_unproxied(os.environ))


def _unproxied(environ: Mapping[str, str]) -> dict[str, str]:
    """``NO_PROXY`` with loopback added, in both spellings, where a proxy is set."""
    if not any(environ.get(name) or environ.get(name.lower()) for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")):
        return {}
    names = [name.strip() for name in (environ.get("NO_PROXY") or environ.get("no_proxy") or "").split(",") if name.strip()]
    joined = ",".join([*names, *(name for name in ("localhost", "127.0.0.1", "::1") if name not in names)])
    return {"NO_PROXY": joined, "no_proxy": joined}
