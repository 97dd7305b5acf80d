"""Topologies as sweeps use them: the kept files, and the services that ``pilothouse.toml`` names itself."""

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from core.config import child_environment
from core.errors import ConfigurationInvalid
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.settings_shown import explained
from core.settings_sources import Entries, Entry, KeyPath, dotted, from_file, settled
from core.topology.composed import Finding
from core.topology.graph import cycles
from core.topology.topology import Topology
from core.topology.variables import variables_of

FOLDER = "topologies"
OWN = "pilothouse"
CONFIGURED = "services"
_TOP = {"name", "env_files", "services"}
_LOGINS = frozenset({"postgres", "mysql", "redis", "mongo"})
"""Kinds that say for themselves that a login was not checked."""


def topologies_of(settings: Settings, environ: Mapping[str, str] | None = None) -> list[Topology]:
    """All that are configured: files of the data directory and of ``sweeps.topologies``, then ``[services.X]`` as ``services``.

    Raises ``ConfigurationInvalid``, also for two of one name.
    """
    found, wrong = readable_topologies(settings, environ)
    if wrong:
        raise wrong[0]
    return found


def readable_topologies(
    settings: Settings, environ: Mapping[str, str] | None = None
) -> tuple[list[Topology], list[ConfigurationInvalid]]:
    """Those that can be read, and what is wrong with each of the others."""
    found: dict[str, Topology] = {}
    wrong: list[ConfigurationInvalid] = []
    for file in files_of(settings):
        try:
            topology = load_topology(file, environ)
            if topology.name in found:
                raise ConfigurationInvalid(f"{file}: name: another topology is called {topology.name}; give it another name.")
            found[topology.name] = topology
        except ConfigurationInvalid as error:
            wrong.append(error)
    try:
        own = [Topology(CONFIGURED, checked_edges(settings.services, "pilothouse.toml"))] if settings.services else []
    except ConfigurationInvalid as error:
        own = []
        wrong.append(error)
    return [*found.values(), *own], wrong


def files_of(settings: Settings) -> list[Path]:
    """The topology files, in the order of their names; then those that are configured one by one."""
    return list(dict.fromkeys((*sorted((settings.data_dir / FOLDER).glob("*.toml")), *settings.sweeps.topologies)))


def load_topology(file: Path, environ: Mapping[str, str] | None = None) -> Topology:
    """A kept file. Raises ``ConfigurationInvalid`` naming file, key and what was expected."""
    return load_with_findings(file, environ)[0]


def load_with_findings(file: Path, environ: Mapping[str, str] | None = None) -> tuple[Topology, list[Finding]]:
    """A kept file, and logins of it that cannot be checked since a variable they refer to is not set."""
    entries = from_file(file, Settings)
    if unknown := [path[0] for path in entries if path[0] not in _TOP]:
        raise ConfigurationInvalid(f"{file}: unknown key {unknown[0]}; expected name, env_files and [services.X]")
    name = _name(file, entries)
    known = _variables(file, entries, child_environment({}) if environ is None else environ)
    findings: list[Finding] = []
    services: dict[str, ServiceSettings] = {}
    for key, own in _by_service(file, entries).items():
        findings += _without_unset_logins(key, own, known)
        services[key] = _service(file, key, own, known).model_copy(update={"platform": _platform(own) or name})
    if not services:
        raise ConfigurationInvalid(f"{file}: has no service; expected tables [services.X]")
    return Topology(name, checked_edges(services, str(file))), findings


def fit_name(name: object, origin: str) -> str:
    """A topology's name. Raises ``ConfigurationInvalid`` for what is none, and for those that Pilothouse uses itself."""
    if not isinstance(name, str) or not re.fullmatch(r"[\w .-]{1,100}", name) or not name.strip(" ."):
        raise ConfigurationInvalid(f"{origin}: expected a short name of letters, digits and -_.")
    if name in {OWN, CONFIGURED}:
        raise ConfigurationInvalid(f"{origin}: {name} is Pilothouse's own; give it another name.")
    return name


def checked_edges(services: Mapping[str, ServiceSettings], origin: str) -> Mapping[str, ServiceSettings]:
    """The same services. Raises ``ConfigurationInvalid`` for an edge to a service that is not there, and for a cycle."""
    for key, service in services.items():
        for kind, names in (("depends_on", service.depends_on), ("hints", service.hints)):
            if unknown := [name for name in names if name not in services]:
                expected = ", ".join(sorted(services))
                raise ConfigurationInvalid(
                    f"{origin}: services.{key}.{kind}: there is no service {unknown[0]}; expected one of {expected}"
                )
        if key in service.depends_on:
            raise ConfigurationInvalid(f"{origin}: services.{key}.depends_on: a service does not depend on itself")
    for cycle in cycles({key: service.depends_on for key, service in services.items()}):
        if len(cycle) > 1:
            raise ConfigurationInvalid(
                f"{origin}: services.{cycle[0]}.depends_on: {', '.join(sorted(cycle))} depend on each other; "
                "drop one of these edges, or write it as a hint"
            )
    return services


def _name(file: Path, entries: Entries) -> str:
    name = entries["name",].value if ("name",) in entries else file.stem
    return fit_name(name, f"{file}: name")


def _variables(file: Path, entries: Entries, environ: Mapping[str, str]) -> Mapping[str, str]:
    named = entries["env_files",].value if ("env_files",) in entries else []
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise ConfigurationInvalid(f"{file}: env_files: expected a list of paths")
    return {**environ, **variables_of(file.absolute().parent / Path(each).expanduser() for each in named)}


def _by_service(file: Path, entries: Entries) -> dict[str, Entries]:
    found: dict[str, Entries] = {}
    for path, entry in entries.items():
        if path[0] != "services":
            continue
        if len(path) < 3:
            raise ConfigurationInvalid(f"{file}: {dotted(path)}: expected a table of its own, with at least check = …")
        found.setdefault(path[1], {})[path] = entry
    return found


def _platform(own: Entries) -> object:
    return next((entry.value for path, entry in own.items() if path[2:] == ("platform",)), None)


def _without_unset_logins(key: str, own: Entries, known: Mapping[str, str]) -> list[Finding]:
    """Takes a store's login out of its entries where a variable of it is not set: then only the login goes unchecked."""
    values = {path[2]: entry.value for path, entry in own.items() if len(path) == 3}
    if values.get("check") not in _LOGINS:
        return []
    parts = {part: value for part in ("username", "password") if isinstance(value := values.get(part), str)}
    missing = [value for part, value in parts.items() if not _is_found(own["services", key, part], value, known)]
    if not missing:
        return []
    for part in parts:
        del own["services", key, part]
    names = " and ".join(value.removeprefix("env:") for value in missing)
    return [
        Finding("warning", key, f"The login is not checked: {names} is not set in the environment or env_files, or is no file.")
    ]


def _is_found(entry: Entry, value: str, known: Mapping[str, str]) -> bool:
    """Whether what a reference leads to is there; any other value is."""
    if value.startswith("file:"):
        return (entry.folder / Path(value.removeprefix("file:").removeprefix("//")).expanduser()).is_file()
    return not value.startswith("env:") or bool(known.get(value.removeprefix("env:"), "").strip())


def _service(file: Path, key: str, own: Entries, known: Mapping[str, str]) -> ServiceSettings:
    table: dict[str, object] = {}
    for path, entry in own.items():
        value = settled(path, entry, Settings, known)
        _put(table, path[2:], value)
    try:
        return ServiceSettings.model_validate(table)
    except ValidationError as error:
        problems = error.errors()
        for problem in problems:
            problem["loc"] = ("services", key, *problem["loc"])
        raise ConfigurationInvalid("\n".join(explained(problem, own) for problem in problems)) from None


def _put(table: dict[str, object], path: KeyPath, value: object) -> None:
    if len(path) == 1:
        table[path[0]] = value
        return
    inner = table.setdefault(path[0], {})
    if isinstance(inner, dict):
        _put(inner, path[1:], value)
