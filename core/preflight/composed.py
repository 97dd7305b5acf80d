"""The services of compose files, as the checks of them look at each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.preflight.item import listed
from core.topology.composed import Part, Project
from core.topology.known import known_of, name_of
from core.topology.reading import parts_of

DATA = {
    "postgres": "/var/lib/postgresql",
    "mysql": "/var/lib/mysql",
    "mongo": "/data/db",
    "redis": "/data",
    "weaviate": "/var/lib/weaviate",
}
"""Where stores keep what is theirs, by the kind of check that fits them."""
OTHER_STORES = {
    "minio": "",
    "elasticsearch": "/usr/share/elasticsearch/data",
    "opensearch": "/usr/share/opensearch/data",
    "qdrant": "/qdrant/storage",
    "milvus": "/var/lib/milvus",
    "etcd": "",
    "clickhouse-server": "/var/lib/clickhouse",
    "rabbitmq": "/var/lib/rabbitmq",
    "memcached": None,
    "kafka": "",
}
"""The same by image; empty: anywhere, None: it keeps nothing."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service that runs; ``said`` is what Compose makes of it."""

    name: str
    part: Part = field(repr=False)
    said: Mapping[str, Any] = field(repr=False)

    @property
    def is_store(self) -> bool:
        """Whether it keeps what others put into it."""
        return self.data is not None or name_of(self.part.image)[0] in OTHER_STORES

    @property
    def data(self) -> str | None:
        """The folder inside that has to last; empty where any may be it."""
        known = known_of(self.part.image)
        if known is not None and known.check in DATA:
            return DATA[known.check]
        return OTHER_STORES.get(name_of(self.part.image)[0])

    @property
    def lasting(self) -> bool:
        """Whether it runs on, and is no job that ends."""
        return not self.part.one_shot


def services_of(project: Project) -> list[Service]:
    """Those that run."""
    said = project.resolved.get("services") or {}
    return [Service(part.key, part, said[part.key]) for part in parts_of(project)[0]]


def environment_files(project: Project) -> list[Path]:
    """The files that give variables to the project and to its services."""
    found = [*project.env_files]
    for service in (project.written.get("services") or {}).values():  # resolved, their variables stand in the environment
        for each in service.get("env_file") or ():
            path = each.get("path") if isinstance(each, Mapping) else each
            found += [project.folder / str(path)] if path and "$" not in str(path) else []
    return list(dict.fromkeys(found))


def lacking(services: Sequence[Service], has: Callable[[Service], bool], what: str) -> list[str]:
    """A sentence with the services that have not; none where all have."""
    without = [each.name for each in services if not has(each)]
    return [f"{what}: {listed(without)}"] if without else []
