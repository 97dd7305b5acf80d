"""Each check of compose files by services that are well, doubtful and wrong, as Docker Compose reads them."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from core.preflight import compose, hardening
from core.preflight.composed import Service
from core.preflight.item import Item
from core.preflight.projects import items_of
from core.preflight.versions import image_versions, version_of
from tests.core.preflight.composing import services_by_name

TEXT = """
name: shop
services:
  bare: {image: nginx}
  latest: {image: "nginx:latest"}
  digest: {image: "nginx@sha256:0000000000000000000000000000000000000000000000000000000000000000"}
  built: {build: .}
  tidy:
    image: nginx:1.29.3
    restart: unless-stopped
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    logging: {driver: json-file, options: {max-size: 10m}}
    deploy: {resources: {limits: {memory: 512m, cpus: "1"}}}
    healthcheck: {test: ["CMD", "true"]}
    ports: ["443:443"]
  old: {image: "nginx:1", mem_limit: 512m, restart: on-failure, logging: {driver: none}, healthcheck: {disable: true}}
  swarm: {image: "nginx:1", deploy: {restart_policy: {condition: any}}, logging: {driver: journald}}
  once: {image: "example/tool:1", restart: "no"}
  db: {image: "postgres:16.1", ports: ["5432:5432"]}
  kept: {image: "postgres:18.1", ports: ["127.0.0.1:5433:5432"], volumes: ["data:/var/lib/postgresql"]}
  beside: {image: "postgres:16", volumes: ["./init.sql:/docker-entrypoint-initdb.d/init.sql"]}
  anonymous: {image: "mongo:5.0.18", volumes: ["/data/db"]}
  cache: {image: "redis:7"}
  kept-cache: {image: "redis:8.2.2", volumes: ["cache:/data"]}
  vectors: {image: "qdrant/qdrant:v1.15.0", ports: ["6333"]}
  host: {image: "nginx:1", network_mode: host, pid: host}
  root: {image: "nginx:1", privileged: true, cap_add: [SYS_ADMIN], security_opt: ["seccomp:unconfined"]}
  watch: {image: "example/watch:1", volumes: ["/var/run/docker.sock:/var/run/docker.sock:ro"]}
  guard: {image: "tecnativa/docker-socket-proxy:0.3", volumes: ["/var/run/docker.sock:/var/run/docker.sock:ro"]}
  fastgpt: {image: "registry.cn-hangzhou.aliyuncs.com/fastgpt/fastgpt:v4.9.0"}
  dify: {image: "langgenius/dify-web:1.10.1"}
  mended: {image: "langgenius/dify-web:1.10.1-fix.1"}
  files: {image: "minio/minio:RELEASE.2023-03-20T20-16-18Z"}
volumes: {data: {}, cache: {}}
"""
Check = Callable[[Sequence[Service]], Item]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Service]:
    return services_by_name(TEXT, tmp_path_factory.mktemp("compose"))


@pytest.mark.parametrize(
    ("check", "name", "status"),
    [
        (compose.healthchecks, "bare", "fail"),
        (compose.healthchecks, "old", "fail"),
        (compose.healthchecks, "tidy", "pass"),
        (compose.healthchecks, "once", "pass"),
        (compose.log_rotation, "bare", "fail"),
        (compose.log_rotation, "old", "warn"),
        (compose.log_rotation, "swarm", "pass"),
        (compose.log_rotation, "tidy", "pass"),
        (compose.resource_limits, "bare", "fail"),
        (compose.resource_limits, "old", "warn"),
        (compose.resource_limits, "tidy", "pass"),
        (compose.restart_policies, "bare", "fail"),
        (compose.restart_policies, "old", "warn"),
        (compose.restart_policies, "swarm", "pass"),
        (compose.restart_policies, "once", "pass"),
        (compose.restart_policies, "tidy", "pass"),
        (compose.volumes, "db", "fail"),
        (compose.volumes, "beside", "fail"),
        (compose.volumes, "anonymous", "fail"),
        (compose.volumes, "cache", "warn"),
        (compose.volumes, "kept-cache", "pass"),
        (compose.volumes, "kept", "pass"),
        (compose.volumes, "bare", "pass"),
        (compose.exposed_ports, "db", "fail"),
        (compose.exposed_ports, "vectors", "fail"),
        (compose.exposed_ports, "host", "warn"),
        (compose.exposed_ports, "kept", "pass"),
        (compose.exposed_ports, "tidy", "pass"),
        (hardening.read_only, "bare", "warn"),
        (hardening.read_only, "tidy", "pass"),
        (hardening.read_only, "db", "pass"),
        (hardening.capabilities, "root", "fail"),
        (hardening.capabilities, "bare", "warn"),
        (hardening.capabilities, "tidy", "pass"),
        (hardening.security_options, "root", "fail"),
        (hardening.security_options, "bare", "warn"),
        (hardening.security_options, "tidy", "pass"),
        (hardening.privileged, "root", "fail"),
        (hardening.privileged, "host", "warn"),
        (hardening.privileged, "tidy", "pass"),
        (hardening.docker_socket, "watch", "fail"),
        (hardening.docker_socket, "guard", "warn"),
        (hardening.docker_socket, "tidy", "pass"),
        (hardening.image_tags, "bare", "fail"),
        (hardening.image_tags, "latest", "fail"),
        (hardening.image_tags, "digest", "pass"),
        (hardening.image_tags, "built", "pass"),
        (hardening.image_tags, "tidy", "pass"),
        (image_versions, "db", "fail"),
        (image_versions, "anonymous", "fail"),
        (image_versions, "fastgpt", "fail"),
        (image_versions, "dify", "fail"),
        (image_versions, "files", "fail"),
        (image_versions, "beside", "warn"),
        (image_versions, "cache", "warn"),
        (image_versions, "kept", "pass"),
        (image_versions, "kept-cache", "pass"),
        (image_versions, "mended", "pass"),
        (image_versions, "tidy", "pass"),
    ],
)
def test_each_check(check: Check, name: str, status: str, services: Mapping[str, Service]) -> None:
    item = check([services[name]])
    assert item.status == status, item
    assert (name in item.message) == (status != "pass")
    assert bool(item.todo) == (status != "pass")


def test_one_bad_service_among_good_ones_is_named(services: Mapping[str, Service]) -> None:
    item = compose.healthchecks([services["tidy"], services["bare"]])
    assert item.message == "No healthcheck: bare."


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("postgres:16.11-alpine", (16, 11)),
        ("localhost:5000/redis:7.4.6", (7, 4, 6)),
        ("ghcr.io/labring/fastgpt:v4.14.9.5", (4, 14, 9, 5)),
        ("langgenius/dify-web:1.10.1-fix.1", (1, 10, 1, 1)),
        ("minio/minio:RELEASE.2025-10-15T17-29-55Z", (2025, 10, 15)),
        ("redis:alpine", None),
        ("redis", None),
    ],
)
def test_versions_of_tags(image: str, version: tuple[int, ...] | None) -> None:
    assert version_of(image) == version


def test_without_files_and_with_one_that_is_refused(services: Mapping[str, Service]) -> None:
    (item,) = items_of([], [], {}, [])
    assert (item.id, item.status) == ("compose", "warn")
    (item,) = items_of(["x.yaml"], [], {}, ["x.yaml: no such file."])
    assert (item.status, item.message) == ("fail", "x.yaml: no such file.")
    items = items_of(["x.yaml"], [services["tidy"]], {}, [])
    assert {each.status for each in items} == {"pass"}
    assert len({each.id for each in items}) == len(items)
