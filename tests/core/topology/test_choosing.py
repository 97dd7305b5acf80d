"""How services are checked: by image, by their own healthcheck, by their port, by Docker."""

from pathlib import Path

import pytest

from core.topology.choosing import Place
from core.topology.known import known_of
from tests.core.topology.projects import imported_from, said, tables


def test_known_images_are_asked_where_they_tell_of_their_health(tmp_path: Path) -> None:
    found = imported_from(
        tmp_path,
        """
        services:
          nginx: {image: "nginx:1.27", ports: ["8000:80"]}
          api: {image: "langgenius/dify-api:1.0", ports: ["5001:5001"]}
          app: {image: "registry.example.com:5000/mirror/labring/fastgpt:v4", ports: ["3000:3000"]}
          objects: {image: minio/minio, ports: ["9090:9000", "9091:9001"]}
          login: {image: "casbin/casdoor:latest", ports: ["8001:8000"]}
          etcd: {image: quay.io/coreos/etcd, ports: ["2379:2379"]}
          vectors: {image: semitechnologies/weaviate, ports: ["8088:8080"]}
          queue: {image: "rabbitmq:4-management", ports: ["15672:15672", "5672:5672"]}
          moved: {image: "postgres:16", command: ["-p", "6000"], ports: ["6001:6000"]}
        """,
    )
    assert {key: (table["check"], table["url"]) for key, table in tables(found).items()} == {
        "nginx": ("http", "http://127.0.0.1:8000/console/api/setup"),
        "api": ("http", "http://127.0.0.1:5001/health"),
        "app": ("http", "http://127.0.0.1:3000/api/common/system/getInitData"),
        "objects": ("http", "http://127.0.0.1:9090/minio/health/live"),
        "login": ("http", "http://127.0.0.1:8001/.well-known/openid-configuration"),
        "etcd": ("http", "http://127.0.0.1:2379/health"),
        "vectors": ("weaviate", "http://127.0.0.1:8088"),
        "queue": ("tcp", "tcp://127.0.0.1:5672"),
        "moved": ("postgres", "postgresql://127.0.0.1:6001/postgres"),
    }
    assert tables(found)["etcd"]["json_value"] == "true"


@pytest.mark.parametrize(
    ("image", "check"),
    [
        ("postgrest/postgrest", "http"),
        ("supabase/postgres-meta", None),
        ("prometheuscommunity/postgres-exporter", None),
        ("oliver006/redis_exporter", None),
        ("pgvector/pgvector:pg16", "postgres"),
        ("docker.io/bitnami/postgresql", "postgres"),
        ("ghcr.io/immich-app/postgres:14", "postgres"),
        ("valkey/valkey:8@sha256:00", "redis"),
        ("Example/Unknown", None),
        ("", None),
    ],
)
def test_an_image_is_known_by_its_name_alone(image: str, check: str | None) -> None:
    known = known_of(image)
    assert (known.check if known else None) == check


def test_an_own_healthcheck_is_asked_at_the_published_port(tmp_path: Path) -> None:
    found = imported_from(
        tmp_path,
        """
        services:
          plain:
            image: a
            ports: ["9000:80", "9001:8080"]
            healthcheck: {test: ["CMD", "curl", "-f", "http://localhost:8080/healthz"]}
          variable:
            image: a
            ports: ["9002:7000"]
            environment: {PORT: 7000}
            healthcheck: {test: "wget -qO- http://127.0.0.1:$${PORT}/ready || exit 1"}
          python:
            image: a
            ports: ["9003:7000"]
            healthcheck: {test: ["CMD", "python", "-c", "import os; get('http://localhost:%s/up' % os.getenv('P', '7000'))"]}
          named:
            image: a
            ports: ["9004:3000"]
            healthcheck: {test: ["CMD", "node", "-e", "fetch('http://named:3000/api/profile').then(r => {})"]}
          lenient:
            image: a
            ports: ["9005:80"]
            healthcheck: {test: "curl -s http://localhost"}
          bare: {image: a, ports: ["9011:8080"], healthcheck: {test: ["CMD", "wget", "--spider", "-q", "localhost:8080/health"]}}
          shell:
            image: a
            ports: ["9012:9000"]
            healthcheck: {test: "exec 3<>/dev/tcp/127.0.0.1/9000; printf 'GET /health/ready HTTP/1.1\\r\\n' >&3; grep UP <&3"}
          other: {image: a, ports: ["9006:80"], healthcheck: {test: "curl -f http://elsewhere:80/x"}}
          unpublished: {image: a, ports: ["9007:9999"], healthcheck: {test: "curl -f http://localhost:8080/x"}}
          encrypted: {image: a, ports: ["9008:8443"], healthcheck: {test: "curl -fk https://localhost:8443/x"}}
          disabled: {image: a, ports: ["9009:9009"], healthcheck: {disable: true, test: "curl -f http://localhost:9009/x"}}
          stores: {image: own/database, ports: ["9010:5432"], healthcheck: {test: "pg_isready"}}
        """,
    )
    assert {key: (table["url"], table.get("status", "")) for key, table in tables(found).items()} == {
        "plain": ("http://127.0.0.1:9001/healthz", ""),
        "variable": ("http://127.0.0.1:9002/ready", ""),
        "python": ("http://127.0.0.1:9003/up", ""),
        "named": ("http://127.0.0.1:9004/api/profile", ""),
        "lenient": ("http://127.0.0.1:9005/", "200-499"),
        "bare": ("http://127.0.0.1:9011/health", ""),
        "shell": ("http://127.0.0.1:9012/health/ready", ""),
        "other": ("http://127.0.0.1:9006/", "200-499"),
        "unpublished": ("tcp://127.0.0.1:9007", ""),
        "encrypted": ("tcp://127.0.0.1:9008", ""),
        "disabled": ("tcp://127.0.0.1:9009", ""),
        "stores": ("postgresql://127.0.0.1:9010/postgres", ""),
    }


def test_a_healthcheck_s_secrets_are_not_repeated(tmp_path: Path) -> None:
    found = imported_from(
        tmp_path,
        """
        services:
          query: {image: a, ports: ["80:80"], healthcheck: {test: "curl -f http://localhost/x?token=hunter2"}}
          header: {image: a, ports: ["81:80"], healthcheck: {test: "curl -f -H 'X-Key: hunter2' http://localhost/x"}}
          login: {image: a, ports: ["82:80"], healthcheck: {test: "curl -f http://u:hunter2@localhost/x"}}
          argument: {image: mysql, ports: ["3306:3306"], healthcheck: {test: "mysqladmin ping -phunter2"}}
        """,
    )
    assert "hunter2" not in str(found)
    assert {table["url"] for table in tables(found).values() if table["check"] == "http"} == {
        f"http://127.0.0.1:{port}/x" for port in (80, 81, 82)
    }
    assert "not repeated" in said(found, "header")


PORTS = """
services:
  everywhere: {image: a, ports: ["7001:7000"]}
  loopback: {image: a, ports: ["127.0.0.1:7002:7000"]}
  address: {image: a, ports: ["192.0.2.7:7003:7000"]}
  six: {image: a, ports: ["[2001:db8::1]:7004:7000"]}
  range: {image: a, ports: ["7005-7006:7000-7001"]}
  chosen: {image: a, ports: ["7000"]}
  datagrams: {image: a, ports: ["7007:7000/udp"]}
  inside: {image: a, expose: ["7000"]}
  onhost: {image: "redis:7", network_mode: host}
  gate: {image: a, ports: ["7008:6379"]}
  behind: {image: "redis:7", network_mode: "service:gate"}
"""


def test_ports_are_reached_as_they_are_published(tmp_path: Path) -> None:
    found = imported_from(tmp_path, PORTS)
    assert {key: table.get("url") for key, table in tables(found).items()} == {
        "everywhere": "tcp://127.0.0.1:7001",
        "loopback": "tcp://127.0.0.1:7002",
        "address": "tcp://192.0.2.7:7003",
        "six": "tcp://[2001:db8::1]:7004",
        "range": "tcp://127.0.0.1:7005",
        "chosen": None,
        "datagrams": None,
        "inside": None,
        "onhost": "redis://127.0.0.1:6379/0",
        "gate": "tcp://127.0.0.1:7008",
        "behind": "redis://127.0.0.1:7008/0",
    }
    for key, reason in (("chosen", "Docker chooses a port"), ("datagrams", "UDP"), ("inside", "publishes no port")):
        assert "Not reachable from here" in said(found, key)
        assert reason in said(found, key)


def test_another_host_and_its_docker(tmp_path: Path) -> None:
    found = imported_from(tmp_path, PORTS, place=Place("10.0.0.5", docker=True))
    shown = {key: table.get("url", table["check"]) for key, table in tables(found).items()}
    assert shown["everywhere"] == "tcp://10.0.0.5:7001"
    assert shown["loopback"] == shown["chosen"] == shown["inside"] == "docker"
    assert shown["address"] == "tcp://192.0.2.7:7003"
    away = imported_from(tmp_path, PORTS, place=Place("10.0.0.5"))
    assert "not reached from here: 127.0.0.1" in said(away, "loopback")


def test_a_container_s_own_health_is_worth_more_than_an_open_port(tmp_path: Path) -> None:
    compose = "services: {a: {image: a, ports: ['7001:7000'], healthcheck: {test: 'celery inspect ping'}}}"
    assert tables(imported_from(tmp_path, compose, place=Place(docker=True)))["a"] == {"check": "docker"}
    assert tables(imported_from(tmp_path, compose))["a"] == {"check": "tcp", "url": "tcp://127.0.0.1:7001"}


def test_a_folder_called_docker_gives_no_name(tmp_path: Path) -> None:
    folder = tmp_path / "Some Platform" / "docker"
    folder.mkdir(parents=True)
    assert imported_from(folder, "services: {a: {image: a}}").name == "some-platform"
    assert imported_from(folder, "{name: docker-of-mine, services: {a: {image: a}}}").name == "docker-of-mine"


@pytest.mark.parametrize(
    ("service", "check"),
    [
        ("{image: 'elasticsearch:8.14.3', environment: {xpack.security.enabled: 'false'}}", "http"),
        ("{image: 'elasticsearch:8.14.3', environment: {discovery.type: single-node}}", "tcp"),
        ("{image: 'elasticsearch:7.17.0', environment: {discovery.type: single-node}}", "http"),
        ("{image: 'opensearchproject/opensearch:2'}", "tcp"),
        ("{image: 'opensearchproject/opensearch:2', environment: ['DISABLE_SECURITY_PLUGIN=true']}", "http"),
    ],
)
def test_what_speaks_tls_to_itself_is_asked_by_its_port(tmp_path: Path, service: str, check: str) -> None:
    found = imported_from(tmp_path, f"services:\n  search: {service[:-1]}, ports: ['9200:9200']}}\n")
    assert tables(found)["search"]["check"] == check
