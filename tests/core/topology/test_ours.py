"""Our own services: made from the settings, with edges that make sense, and nothing in the default that could alert by itself."""

from pathlib import Path
from typing import Any

from core.settings import Settings
from core.topology.graph import Graph
from core.topology.ours import ours, with_unreadable
from core.topology.topology import Topology

FLOWS = ("backup", "drill", "health_sweep")
UP: dict[str, Any] = {
    "data_dir": "/nowhere",
    "database": {"url": "postgresql://u:p@/pilothouse?host=/run/sock&port=5432"},
    "prefect": {
        "api_url": "http://127.0.0.1:4200/api",
        "database_url": "postgresql+asyncpg://u:p@/prefect?host=/run/sock&port=5432",
    },
    "providers": {"demo": {"base_url": "http://127.0.0.1:9000/v1"}},
}


def made(**more: Any) -> Topology:
    return ours(Settings.model_validate(UP | more), FLOWS)


def test_what_up_starts_is_watched() -> None:
    services = made().services
    assert set(services) == {
        *("database", "disk", "model-demo", "prefect", "api", "flow-backup", "flow-drill", "flow-health_sweep"),
        *("backup-pilothouse", "drill-pilothouse", "backup-prefect", "drill-prefect"),
    }
    graph = Graph({name: each.depends_on for name, each in services.items()})
    assert graph.dependants("database") == {
        *("prefect", "api", "backup-pilothouse", "backup-prefect", "flow-backup", "flow-drill", "flow-health_sweep")
    }
    assert {name for name, each in services.items() if each.open_after == 1} == {
        name for name in services if name.startswith(("backup-", "drill-", "flow-"))
    }


def test_every_edge_leads_somewhere() -> None:
    bucket = {"bucket": "files", "endpoint": "http://s3:9000", "access_key": "a", "secret_key": "s"}
    full = made(
        redis={"url": "redis://cache:6379"},
        files=bucket,
        backups={"store": bucket | {"bucket": "saved"}, "recipients": []},
        sources={"dify": {"url": "postgresql://u:p@db/dify"}, "files": {"path": "/srv"}},
        sweeps={"prober": ["tcp://192.0.2.1:53"]},
        providers={"one": {"base_url": "http://a/v1"}, "two": {"base_url": "http://b/v1"}},
    )
    for name, service in full.services.items():
        assert {*service.depends_on, *service.hints} <= set(full.services), name
    assert {"valkey", "files", "backups", "network", "backup-dify", "drill-files"} <= set(full.services)
    assert full.services["api"].depends_on == ("database", "valkey")
    assert full.services["backup-dify"].depends_on == ("backups",)
    assert {full.services[name].severity for name in ("model-one", "model-two")} == {"warning"}
    assert full.services["files"].password is not None


def test_a_prefect_elsewhere_does_not_hang_under_our_database() -> None:
    elsewhere = {"api_url": "http://prefect:4200/api", "database_url": "postgresql+asyncpg://u:p@other/prefect"}
    assert made(prefect=elsewhere).services["prefect"].depends_on == ()
    assert made(prefect={"api_url": "http://prefect:4200/api"}).services["prefect"].depends_on == ()


def test_folders_of_their_own_are_watched_by_their_disk() -> None:
    found = made(files={"folder": "/srv/files"}, backups={"store": {"folder": "/mnt/backups"}}).services
    assert (found["files"].path, found["backups"].path) == (Path("/srv/files"), Path("/mnt/backups"))


def test_topologies_that_cannot_be_read_are_a_service() -> None:
    assert set(with_unreadable(made()).services) - set(made().services) == {"topologies"}
