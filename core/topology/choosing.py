"""How each service of a project is checked, from here: by what is known of its image, its own healthcheck, or its port.

Only what the host publishes can be asked; ``localhost`` in a container's healthcheck is the container, so its port is looked up
among the published ones. For the rest Docker knows the container's health, where there is a Docker to ask.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.addresses import is_loopback, reachable_host
from core.topology.composed import Finding, Part, Project
from core.topology.hints import hints_of
from core.topology.known import ANY_BUT_BROKEN, Known, known_of, name_of
from core.topology.logins import login_of
from core.topology.own_checks import OwnCheck, own_check
from core.topology.reading import parts_of

STORES = {"postgres": "postgresql", "mysql": "mysql", "redis": "redis", "mongo": "mongodb", "ldap": "ldap", "weaviate": "http"}
"""Kinds that log in or speak a protocol of their own, and the scheme of their addresses."""
_PATHS = {"postgres": "/postgres", "mysql": "/information_schema", "redis": "/0", "mongo": "/admin"}
_FOLDERS = {"docker", "compose", "docker-compose", "deploy", "deployment", "deployments"}
"""Folders of a platform's repository whose names say nothing of it."""
_PAGES = {80, 3000, 5000, 8000, 8080, 8081, 8888}
"""Ports inside a container behind which there is most likely a web server."""


@dataclass(frozen=True, slots=True)
class Place:
    """From where services are looked at: the host that publishes them, and whether its Docker can be asked."""

    host: str = "127.0.0.1"
    docker: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """A service as a topology file has it: keys of ``ServiceSettings``; credentials as references."""

    key: str
    table: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a project."""

    name: str
    services: tuple[Chosen, ...]
    findings: tuple[Finding, ...]


def imported(project: Project, place: Place, name: str | None = None) -> Imported:
    """The services of a project with their checks and edges, and all that is to be said of them."""
    parts, findings = parts_of(project)
    hints, said = hints_of(parts)
    findings += said
    images = tuple(part.image for part in parts)
    choosing = _Choosing({part.key: part for part in parts}, images, place, project.variables)
    chosen = []
    for part in parts:
        table, notes = choosing.table(part)
        if part.needs:
            table["depends_on"] = list(part.needs)
        if hints[part.key]:
            table["hints"] = list(hints[part.key])
        chosen.append(Chosen(part.key, table))
        findings += [Finding(note.level, part.key, note.message) for note in notes]
    return Imported(name or _name(project), tuple(chosen), tuple(findings))


def _name(project: Project) -> str:
    """The project's name; for one that is called by a folder like ``dify/docker``, that of the folder above."""
    name = str(project.resolved.get("name") or "topology")
    above = re.sub(r"[^a-z0-9_-]+", "-", project.folder.parent.name.lower()).strip("-_")
    return above if above and name in _FOLDERS and name == project.folder.name.lower() else name


class _Choosing:
    """Chooses for the parts of one project."""

    def __init__(self, parts: Mapping[str, Part], images: tuple[str, ...], place: Place, variables: Mapping[str, str]) -> None:
        self._parts, self._images, self._place, self._variables = parts, images, place, variables

    def table(self, part: Part) -> tuple[dict[str, object], list[Finding]]:
        """Its keys in a topology file, without edges, and what is to be said."""
        notes: list[Finding] = []
        found: dict[str, object] = {} if part.one_shot or part.provider else self._asked(part, notes)
        if not found:
            found = self._unasked(part, notes)
        found["image"] = part.image
        found["container"] = part.container
        if part.one_shot:
            found["one_shot"] = True
        return {key: value for key, value in found.items() if value != ""}, notes

    def _asked(self, part: Part, notes: list[Finding]) -> dict[str, object]:
        """A check over the network; empty where nothing of it can be reached."""
        own = own_check(part)
        known = known_of(part.image or part.key, self._images)
        if known is None and own.kind is not None:
            known = own.kind
        if known is not None and not known.weak and (found := self._as_known(part, known, notes)):
            return found
        if own.path is not None and (at := self._outside(part, own.port)) is not None:
            return _over_http(at, own, notes)
        if known is not None and known.weak and (at := self._outside(part, known.port)) is not None:
            return _as_weak(at, known)
        # What a container says of its own health is worth more than that some port answers.
        return {} if part.healthcheck and self._place.docker else self._guessed(part, own, notes)

    def _as_known(self, part: Part, known: Known, notes: list[Finding]) -> dict[str, object]:
        at = self._outside(part, known.port)
        if at is None and known.check in STORES and len(part.ports) == 1:
            at = self._outside(part, part.ports[0].inside)  # it was told to listen elsewhere
        if at is None:
            return {}
        if known.check == "http":
            if _encrypts(part):
                notes.append(
                    _info("It speaks TLS with a certificate of its own: only its port is checked. Give ca_file and https.")
                )
                return {"check": "tcp", "url": f"tcp://{at}"}
            return _as_weak(at, known)
        found: dict[str, object] = {"check": known.check, "url": f"{STORES[known.check]}://{at}{_PATHS.get(known.check, '')}"}
        login = login_of(part, known.check, self._variables)
        if login.note:
            notes.append(Finding("warning", None, login.note))
        found |= {key: value for key, value in (("username", login.username), ("password", login.password)) if value}
        return found

    def _guessed(self, part: Part, own: OwnCheck, notes: list[Finding]) -> dict[str, object]:
        """Whether something answers on a published port."""
        inside = [port.inside for port in part.ports if self._outside(part, port.inside) is not None]
        if not inside and part.network:
            inside = [port for port in (own.port, *part.exposed) if port is not None and self._outside(part, port) is not None]
        if not inside:
            return {}
        port = own.port if own.port in inside else next((each for each in inside if each in _PAGES), inside[0])
        at = self._outside(part, port)
        if port in _PAGES:
            notes.append(_info("No health endpoint of it is known: any answer below 500 counts as up. Correct url and status."))
            return {"check": "http", "url": f"http://{at}/", "status": ANY_BUT_BROKEN}
        notes.append(_info("No health endpoint of it is known: only its port is checked."))
        return {"check": "tcp", "url": f"tcp://{at}"}

    def _unasked(self, part: Part, notes: list[Finding]) -> dict[str, object]:
        """By Docker, or not at all."""
        if part.provider:
            notes.append(Finding("warning", None, f"{part.provider} provides it, not a container: nothing from here can tell."))
            return {"check": "none"}
        if self._place.docker:
            return {"check": "docker"}
        if part.one_shot:
            reason = "A job that runs once: only Docker knows how it ended."
        elif part.random:
            reason = "Docker chooses a port for it at each start; give it a fixed one."
        elif part.ports:
            reason = f"It is published on addresses that are not reached from here: {_addresses(part)}."
        elif part.udp:
            reason = "It is published over UDP alone, which answers no check."
        else:
            reason = "It publishes no port."
        advice = "With --docker its health is asked of Docker."
        notes.append(Finding("warning", None, f"Not reachable from here, so it is drawn and not checked. {reason} {advice}"))
        return {"check": "none"}

    def _outside(self, part: Part, inside: int | None) -> str | None:
        """``host:port`` by which a port inside the container is reached from here."""
        if inside is None:
            return None
        if part.network == "host":
            return f"{reachable_host(self._place.host)}:{inside}"
        owner = self._parts.get(part.network, part)
        for port in owner.ports:
            if port.inside != inside:
                continue
            if port.address in {"", "0.0.0.0", "::"}:  # noqa: S104  (read, not listened on)
                return f"{reachable_host(self._place.host)}:{port.outside}"
            if not is_loopback(port.address) or is_loopback(self._place.host):
                return f"{reachable_host(port.address)}:{port.outside}"
        return None


def _over_http(at: str, own: OwnCheck, notes: list[Finding]) -> dict[str, object]:
    if own.cut:
        notes.append(_info("Its healthcheck sends a query or a header, which may hold a secret and is not repeated."))
    if own.tls:
        notes.append(_info("Its healthcheck speaks TLS to itself: only its port is checked. Give ca_file and https."))
        return {"check": "tcp", "url": f"tcp://{at}"}
    found: dict[str, object] = {"check": "http", "url": f"http://{at}{own.path}"}
    return found | ({"status": ANY_BUT_BROKEN} if own.any_status or own.cut else {})


def _as_weak(at: str, known: Known) -> dict[str, object]:
    """The check of a known image that needs no login."""
    if known.check == "tcp":
        return {"check": "tcp", "url": f"tcp://{at}"}
    found: dict[str, object] = {"check": known.check, "url": f"http://{at}{known.path}"}
    keys = (("status", known.status), ("json_path", known.json_path), ("json_value", known.json_value))
    return found | {key: value for key, value in keys if value}


def _encrypts(part: Part) -> bool:
    """Whether Elasticsearch or OpenSearch is set, or left, to speak TLS."""
    name = name_of(part.image)[0]
    values = {key.lower(): variable.value.lower() for key, variable in part.environment.items()}
    if name == "opensearch":
        return "true" not in {values.get("plugins.security.disabled"), values.get("disable_security_plugin")}
    if name != "elasticsearch":
        return False
    said, enabled = values.get("xpack.security.http.ssl.enabled"), values.get("xpack.security.enabled")
    major = re.match(r"(\d+)", part.image.rpartition(":")[2])
    return said == "true" or (said is None and enabled is None and major is not None and int(major.group(1)) >= 8)


def _addresses(part: Part) -> str:
    return ", ".join(dict.fromkeys(port.address for port in part.ports))


def _info(message: str) -> Finding:
    return Finding("info", None, message)
