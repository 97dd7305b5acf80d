"""Which services a service seems to use, by the addresses in its environment and its command.

These are soft edges: what a platform's authors did not declare but its variables say, such as ``postgres://db:5432`` or
``DB_HOST=db``. Only names of the project's own services make an edge, never words that merely look like one: ``DB_TYPE=mysql``
says nothing of a service called ``mysql``.
"""

import re
from collections.abc import Iterator, Mapping

from core.topology.composed import Finding, Part
from core.topology.graph import Graph, cycles
from core.topology.known import is_foundation
from core.topology.reading import names_of

_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_AUTHORITY = re.compile(rf"(?:[a-z][a-z0-9+.-]*:)?//(?:[^\s/]*@)?((?:{_NAME}(?::\d+)?,?)+)", re.IGNORECASE)
"""``scheme://user:password@host:1,other:2``; also inside of ``jdbc:mysql://…``."""
_WRAPPED = re.compile(rf"\b(?:tcp|host|server|hostaddr)\s*[(=]\s*({_NAME})", re.IGNORECASE)
"""``user:password@tcp(host:3306)/x`` and ``host=db port=5432``."""
_WITH_PORT = re.compile(rf"(?<![\w.@:/-])({_NAME}):(\d{{2,5}})(?!\d)")
_AFTER_AT = re.compile(rf"@({_NAME}):(\d{{2,5}})(?!\d)")
_HOST_KEY = re.compile(
    r"(?:^|_)(HOSTS?|HOSTNAME|SERVERS?|ADDR|ADDRESS|ADDRESSES|ENDPOINTS?|URL|URI|DSN|BROKERS?|NODES?|SEEDS|PEERS|UPSTREAM|PGHOST)"
    r"(?:_?\d+)?$|HOST$|ADDR$",
    re.IGNORECASE,
)
"""Variables whose value may be a bare name of a host; ``DB_CONNECTION`` and ``CACHE_BACKEND`` mostly hold a kind."""
_HOSTS = {"host.docker.internal", "gateway.docker.internal", "host-gateway", "172.17.0.1"}
"""By these a container reaches what its host publishes."""
_OF_A_STORE = re.compile(
    r"^(postgres\w*|mysql|mariadb|redis|rediss|valkey|mongodb|amqps?|kafka|ldaps?)(\+\w+)*://", re.IGNORECASE
)
_NOT_OUTSIDE = {"localhost", "127.0.0.1", "::1", "0.0.0.0"}  # noqa: S104  (looked for, not listened on)


def hints_of(parts: list[Part]) -> tuple[dict[str, tuple[str, ...]], list[Finding]]:
    """For each service those that it seems to use besides its hard edges, and what that leaves to be said.

    A hint against the direction of a hard edge is dropped: the declared direction is surer.
    """
    owners = dict(names_of(parts))
    published = {port.outside: part.key for part in parts for port in part.ports}
    needs = {part.key: tuple(part.needs) for part in parts}
    findings: list[Finding] = []
    found: dict[str, tuple[str, ...]] = {}
    graph = Graph(needs)
    for part in parts:
        above = graph.dependants(part.key)
        used = dict.fromkeys(key for key in _used(part, owners, published) if key != part.key and key not in part.needs)
        found[part.key] = tuple(key for key in used if key not in above)
        findings += _elsewhere(part, owners)
    both = {key: (*needs[key], *found[key]) for key in needs}
    for cycle in cycles(both):
        if len(cycle) > 1:
            names = ", ".join(sorted(cycle))
            findings.append(Finding("info", None, f"These use each other, as their variables say, and count as one: {names}."))
    return found, findings


def _used(part: Part, owners: Mapping[str, str], published: Mapping[int, str]) -> Iterator[str]:
    known = {**owners, **part.aliases}
    by_host = _HOSTS | part.host_names | (_NOT_OUTSIDE if part.network == "host" else set())
    alone = is_foundation(part.image)
    for name, variable in part.environment.items():
        value = variable.value
        if variable.of_file and alone:  # the platform's own settings, given to all of its containers
            continue
        if _HOST_KEY.search(name) and re.fullmatch(rf"{_NAME}(,\s*{_NAME})*", value):
            yield from (known[each] for each in re.split(r",\s*", value.lower()) if each in known)
        yield from _addressed(value, known, by_host, published)
        if value.lower() in by_host and (port := part.environment.get(re.sub(r"HOST(NAME)?$", "PORT", name))):
            yield from _at(port.value, published)
    for word in part.command:
        yield from _addressed(word, known, by_host, published)


def _addressed(text: str, known: Mapping[str, str], by_host: set[str], published: Mapping[int, str]) -> Iterator[str]:
    for hosts in _AUTHORITY.findall(text):
        for each in hosts.lower().split(","):
            host, _, port = each.partition(":")
            if host in known:
                yield known[host]
            elif host in by_host:
                yield from _at(port, published)
    for host in _WRAPPED.findall(text):
        if host.lower() in known:
            yield known[host.lower()]
    for host, port in (*_WITH_PORT.findall(text), *_AFTER_AT.findall(text)):
        if host.lower() in known:
            yield known[host.lower()]
        elif host.lower() in by_host:
            yield from _at(port, published)


def _at(port: str, published: Mapping[int, str]) -> Iterator[str]:
    if port.isdigit() and int(port) in published:
        yield published[int(port)]


def _elsewhere(part: Part, owners: Mapping[str, str]) -> list[Finding]:
    """Stores that it uses and that are not of this project: nothing can be imported for them."""
    known = {*owners, *part.aliases, *_HOSTS, *_NOT_OUTSIDE}
    away = []
    for name, variable in part.environment.items():
        if _OF_A_STORE.match(variable.value) and (authorities := _AUTHORITY.match(variable.value)):
            hosts = {each.partition(":")[0].lower() for each in authorities.group(1).split(",") if each}
            if (
                not hosts & known
                and not (variable.of_file and is_foundation(part.image))
                and not any("$" in host for host in hosts)
            ):
                away.append(name)
    if not away:
        return []
    message = f"{', '.join(away)}: leads to a store outside of these files. Write a [services.X] for it to have it checked."
    return [Finding("info", part.key, message)]
