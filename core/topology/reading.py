"""From Compose's answers to the services that run: which are active, what they publish, what they need."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from core.topology.composed import Condition, Finding, Part, Port, Project, Variable

_WHOLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::?[-?+][^{}]*)?\}|([A-Za-z_]\w*))")
"""A value that is one variable of the project, with or without a default."""
_USED = re.compile(r"(?<!\$)(?:\$\$)*\$[{A-Za-z_]")
"""A variable anywhere in a value."""
_FETCHED = {"prepull", "pre-pull", "pull", "image", "images", "image-only", "preload", "build", "build-only"}
"""Profiles under which there are images to fetch or build, and no services."""
_JOB = re.compile(
    r"(^|[-_.])(init\w*|migrat\w+|setup|seed\w*|bootstrap|pull|import|create\w*bucket\w*|bucket[-_]creator|mc|topics?[-_]init|prepull)([-_.]|$)",
    re.IGNORECASE,
)
_JOB_IMAGES = re.compile(
    r"(^|/)(minio/mc|migrate/migrate|flyway/flyway|redgate/flyway|liquibase/liquibase|maxmind/geoipupdate)(:|@|$)"
)


def parts_of(project: Project) -> tuple[list[Part], list[Finding]]:
    """The services that run, in the order of the project, and what is to be said of them."""
    findings = [Finding("info" if "obsolete" in said else "warning", None, said) for said in project.warnings]
    findings += _unset(project)
    services: dict[str, dict[str, Any]] = {}
    for key, service in (project.resolved.get("services") or {}).items():
        if not _is_active(service):
            findings.append(
                Finding("info", None, f"{key} is left out: it is set to run no container, or is there for its image alone.")
            )
        else:
            services[key] = service
    findings += _sleeping(project)
    written = project.written.get("services") or {}
    parts = [_part(key, service, written.get(key) or {}, project, services) for key, service in services.items()]
    return _with_jobs(parts, services), findings


def _is_active(service: Mapping[str, Any]) -> bool:
    replicas = (service.get("deploy") or {}).get("replicas")
    return service.get("scale") != 0 and replicas != 0 and not _FETCHED & set(service.get("profiles") or ())


def _unset(project: Project) -> list[Finding]:
    """Variables that are not set and that a service that runs refers to."""
    active = project.resolved.get("services") or {}
    written = str([service for key, service in (project.written.get("services") or {}).items() if key in active])
    return [
        Finding(
            "warning", None, f"{name} is not set, and counts as empty: set it in the .env beside the file, or give --env-file."
        )
        for name in project.unset
        if not project.written or re.search(rf"\$\{{?{name}\b", written)
    ]


def _sleeping(project: Project) -> list[Finding]:
    """Which profiles there are besides those that are active."""
    active = project.resolved.get("services") or {}
    away = {
        profile
        for key, service in (project.written.get("services") or {}).items()
        if key not in active
        for profile in service.get("profiles") or ()
    }
    if not away - _FETCHED:
        return []
    names = ", ".join(sorted(away - _FETCHED))
    return [Finding("info", None, f"Profiles that are not active: {names}. Their services are left out; --profile adds them.")]


def _part(
    key: str, service: dict[str, Any], written: dict[str, Any], project: Project, active: Mapping[str, dict[str, Any]]
) -> Part:
    container = str(service.get("container_name") or f"{project.resolved.get('name', '')}-{key}-1")
    ports, random, udp = _ports(service)
    needs, aliases, network = _edges(key, service, active)
    aliases_of = [alias for each in (service.get("networks") or {}).values() for alias in (each or {}).get("aliases") or ()]
    names = {key, container, str(service.get("hostname") or key), *aliases_of}
    return Part(
        key=key,
        image=str(service.get("image") or ""),
        container=container,
        names=frozenset(str(name).lower() for name in names),
        needs=needs,
        aliases=aliases,
        ports=ports,
        exposed=tuple(int(port) for each in service.get("expose") or () if (port := str(each).partition("/")[0]).isdigit()),
        udp=udp,
        random=random,
        host_names=_host_names(service),
        network=network,
        environment=_environment(service, written, project),
        command=tuple(_plain(word) for word in (*_words(service.get("entrypoint")), *_words(service.get("command")))),
        command_written=(*_words(written.get("entrypoint")), *_words(written.get("command"))),
        healthcheck=_healthcheck(service),
        secrets=_secrets(service, project),
        provider=str((service.get("provider") or {}).get("type") or ""),
    )


def _ports(service: Mapping[str, Any]) -> tuple[tuple[Port, ...], tuple[int, ...], bool]:
    """What is published over TCP, what Docker chooses a port for, and whether anything else is published."""
    found: list[Port] = []
    random: list[int] = []
    udp = False
    for port in service.get("ports") or ():
        published = str(port.get("published") or "")
        inside = int(port.get("target") or 0)
        if port.get("protocol", "tcp") != "tcp":
            udp = True
        elif not published or published == "0" or "-" in published:  # a range to one port: Docker takes any of it
            random.append(inside)
        else:
            found.append(Port(inside, int(published), str(port.get("host_ip") or "")))
    return tuple(found), tuple(random), udp


def _edges(
    key: str, service: Mapping[str, Any], active: Mapping[str, dict[str, Any]]
) -> tuple[dict[str, Condition], dict[str, str], str]:
    """Hard edges, names of links, and in whose network it lives. What does not run is not needed."""
    needs: dict[str, Condition] = {
        name: (each or {}).get("condition", "service_started") for name, each in (service.get("depends_on") or {}).items()
    }
    aliases: dict[str, str] = {}
    for link in service.get("links") or ():
        target, _, alias = str(link).partition(":")
        needs.setdefault(target, "service_started")
        aliases[(alias or target).lower()] = target
    containers = {str(each["container_name"]): name for name, each in active.items() if each.get("container_name")}
    shared = [str(service.get(kind) or "") for kind in ("network_mode", "pid", "ipc")]
    shared += [
        f"service:{each}" if not str(each).startswith("container:") else str(each) for each in service.get("volumes_from") or ()
    ]
    for each in shared:
        kind, _, name = each.partition(":")
        name = name.partition(":")[0] if kind == "service" else containers.get(name.partition(":")[0], "")
        if kind in {"service", "container"} and name:
            needs.setdefault(name, "service_started")
    mode, _, name = shared[0].partition(":")
    network = {"host": "host", "service": name, "container": containers.get(name, "")}.get(mode, "")
    return {name: condition for name, condition in needs.items() if name in active and name != key}, aliases, network


def _host_names(service: Mapping[str, Any]) -> frozenset[str]:
    """Compose gives ``name=address`` or ``name:address``."""
    pairs = (re.split(r"[=:]", str(each), maxsplit=1) for each in service.get("extra_hosts") or ())
    return frozenset(pair[0].lower() for pair in pairs if pair[-1] == "host-gateway")


def _environment(service: Mapping[str, Any], written: Mapping[str, Any], project: Project) -> dict[str, Variable]:
    sources = _pairs(written.get("environment"))
    found: dict[str, Variable] = {}
    for name, text in _pairs(service.get("environment")).items():
        value = "" if text is None else _plain(text)
        source = name if name not in sources and project.variables.get(name) == value else None
        literal = False
        if name in sources:
            given = sources[name]
            whole = _WHOLE.fullmatch(given) if given is not None else None
            source = name if given is None else (whole.group(1) or whole.group(2)) if whole else None
            literal = given is not None and not _USED.search(given)
        is_set = source is not None and bool(project.variables.get(source))
        if is_set and source is not None and project.variables[source] != value:
            source, is_set = None, False  # read in another way than Compose reads it: no reference to build upon
        found[name] = Variable(value, source, is_set, literal or (source is not None and not is_set), name not in sources)
    return found


def _pairs(environment: object) -> dict[str, str | None]:
    if isinstance(environment, Mapping):
        return {str(name): None if value is None else str(value) for name, value in environment.items()}
    if isinstance(environment, list):
        pairs = (str(each).partition("=") for each in environment)
        return {name: value if equals else None for name, equals, value in pairs}
    return {}


def _plain(text: str) -> str:
    """Compose writes a dollar sign as two, so that its output is a compose file again."""
    return text.replace("$$", "$")


def _words(command: object) -> tuple[str, ...]:
    if isinstance(command, str):
        return (command,)
    return tuple(str(word) for word in command) if isinstance(command, list) else ()


def _healthcheck(service: Mapping[str, Any]) -> tuple[str, ...]:
    check = service.get("healthcheck") or {}
    words = tuple(_plain(word) for word in _words(check.get("test")))
    return () if check.get("disable") or words[:1] == ("NONE",) else words


def _secrets(service: Mapping[str, Any], project: Project) -> dict[str, str]:
    sources: dict[str, str] = {}
    for name, each in (project.resolved.get("secrets") or {}).items():
        if (file := (each or {}).get("file")) is not None:
            sources[name] = f"file:{project.folder / str(file)}"
        elif project.variables.get(variable := str((each or {}).get("environment"))):
            sources[name] = f"env:{variable}"
    return {
        str(PurePosixPath("/run/secrets") / str(secret.get("target") or secret["source"])): sources[secret["source"]]
        for secret in service.get("secrets") or ()
        if secret.get("source") in sources
    }


def _with_jobs(parts: list[Part], services: Mapping[str, dict[str, Any]]) -> list[Part]:
    """The same, knowing which of them run once and end."""
    awaited = {name for part in parts for name, condition in part.needs.items() if condition == "service_completed_successfully"}
    watched = {name for part in parts for name, condition in part.needs.items() if condition == "service_healthy"}
    return [
        replace(part, one_shot=part.key in awaited or (part.key not in watched and _runs_once(part, services[part.key])))
        for part in parts
    ]


def _runs_once(part: Part, service: Mapping[str, Any]) -> bool:
    """Whether it says itself that it ends: it serves nothing, is not started again, and is told not to be or is named a job."""
    if part.ports or part.random or part.udp or part.healthcheck or service.get("expose"):
        return False
    policy = ((service.get("deploy") or {}).get("restart_policy") or {}).get("condition") or service.get("restart") or ""
    if str(policy).partition(":")[0] in {"always", "unless-stopped", "any"}:
        return False
    return policy in {"no", "none"} or bool(_JOB.search(part.key) or _JOB_IMAGES.search(part.image))


def names_of(parts: list[Part]) -> Iterator[tuple[str, str]]:
    """Every name that a service goes by, with its key; a name that two share is left out."""
    owners: dict[str, set[str]] = {}
    for part in parts:
        for name in part.names:
            owners.setdefault(name, set()).add(part.key)
    for name, keys in owners.items():
        if len(keys) == 1 or name in {key.lower() for key in keys}:
            yield name, next((key for key in keys if key.lower() == name), min(keys))
