"""What Docker Compose says of a project, as the rest of this folder reads it: services, their ports, edges and variables.

Nothing here reads a compose file; Compose itself did. Values of variables stay in these objects and are written nowhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Level = Literal["info", "warning"]
Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know of an import. It holds no secret; ``service`` is None where it is of the project."""

    level: Level
    service: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Project:
    """Compose's answers for one project."""

    resolved: Mapping[str, Any] = field(repr=False)
    """Its model with variables replaced, without the services of inactive profiles."""
    written: Mapping[str, Any] = field(repr=False)
    """Its model as the files have it: all profiles, variables not replaced."""
    folder: Path
    files: tuple[str, ...] = ()
    """The compose files, ``-`` for standard input."""
    env_files: tuple[Path, ...] = ()
    """Where its variables come from."""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Those that are set there."""
    unset: tuple[str, ...] = ()
    """Names of variables that the files refer to and nothing sets."""
    warnings: tuple[str, ...] = ()
    """What Compose said besides, a sentence each."""


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port that the host publishes: ``address`` is empty where it is published on all of them."""

    inside: int
    outside: int
    address: str = ""


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a service's environment."""

    value: str = field(repr=False)
    source: str | None = None
    """The variable of the project that gave the whole value."""
    is_set: bool = False
    """Whether ``source`` is set where the project's variables come from; else the value is the default beside it."""
    literal: bool = False
    """Whether it stands in a compose file as it is."""
    of_file: bool = False
    """Whether it comes by an ``env_file``, which services often share whole."""


@dataclass(frozen=True, slots=True)
class Part:
    """One service that runs."""

    key: str
    image: str
    container: str
    """The container's name, given or as Compose forms it."""
    names: frozenset[str]
    """By which others reach it, in lower case: its key, its container's name, its host name and aliases."""
    needs: Mapping[str, Condition]
    """Hard edges, to services that run."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Further names that it alone knows others by (``links``)."""
    ports: tuple[Port, ...] = ()
    exposed: tuple[int, ...] = ()
    udp: bool = False
    """Whether it publishes something that is not TCP."""
    random: tuple[int, ...] = ()
    """Ports inside that are published on ones that Docker chooses at each start."""
    host_names: frozenset[str] = frozenset()
    """Names by which it reaches its host (``extra_hosts``)."""
    network: str = ""
    """``host``, or the key of the service whose network it lives in."""
    environment: Mapping[str, Variable] = field(default_factory=dict, repr=False)
    command: tuple[str, ...] = field(default=(), repr=False)
    """Entry point and arguments, with variables replaced."""
    command_written: tuple[str, ...] = field(default=(), repr=False)
    """The same as the files have it."""
    healthcheck: tuple[str, ...] = field(default=(), repr=False)
    """The words of its check; empty: it has none of its own."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Where its secrets come from (``file:PATH``, ``env:NAME``), by where the container finds them."""
    one_shot: bool = False
    provider: str = ""
    """What runs it where that is not a container."""
