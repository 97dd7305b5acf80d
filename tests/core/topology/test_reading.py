"""Which services run, which of them end by themselves, and what they need."""

from pathlib import Path

from core.topology.choosing import Place
from tests.core.topology.projects import imported_from, said, tables


def test_only_what_runs_is_a_node_and_an_edge(tmp_path: Path) -> None:
    found = imported_from(
        tmp_path,
        """
        services:
          api:
            image: example/api
            depends_on:
              db: {condition: service_healthy}
              other-db: {condition: service_healthy, required: false}
              spare: {condition: service_started}
          db: {image: example/db}
          other-db: {image: example/other, profiles: [other]}
          spare: {image: example/spare, deploy: {replicas: 0}}
          none: {image: example/none, scale: 0}
          sandbox-image: {image: example/sandbox, profiles: [prepull]}
        """,
    )
    assert tables(found) == {
        "api": {"check": "none", "depends_on": ["db"]},
        "db": {"check": "none"},
    }
    assert "Profiles that are not active: other." in said(found, None)
    assert "prepull" not in said(found, None)


def test_a_profile_adds_its_services_but_not_images_to_fetch(tmp_path: Path) -> None:
    compose = """
    services:
      db: {image: example/db, profiles: [store]}
      sandbox-image: {image: example/sandbox, profiles: [prepull]}
    """
    env = "COMPOSE_PROFILES=${STORE:-store},prepull\n"
    assert list(tables(imported_from(tmp_path, compose, env))) == ["db"]
    (tmp_path / ".env").unlink()
    assert list(tables(imported_from(tmp_path, compose, profiles=("store",)))) == ["db"]


def test_all_kinds_of_hard_edges(tmp_path: Path) -> None:
    found = imported_from(
        tmp_path,
        """
        services:
          vpn: {image: example/vpn, container_name: tunnel}
          behind: {image: example/a, network_mode: "service:vpn"}
          beside: {image: example/a, network_mode: "container:tunnel"}
          linked: {image: example/a, links: ["vpn:gate"], environment: {GATE_HOST: gate}}
          mounted: {image: example/a, volumes_from: ["vpn:ro"]}
          debugging: {image: example/a, pid: "service:vpn"}
        """,
    )
    edges = {key: (table.get("depends_on"), table.get("hints")) for key, table in tables(found).items()}
    assert edges == {
        "vpn": (None, None),
        **dict.fromkeys(("behind", "beside", "linked", "mounted", "debugging"), (["vpn"], None)),
    }


def test_jobs_are_told_from_services(tmp_path: Path) -> None:
    found = imported_from(
        tmp_path,
        """
        services:
          api:
            image: example/api
            depends_on: {prepare: {condition: service_completed_successfully}}
          prepare: {image: example/api, command: prepare}
          permissions: {image: busybox, restart: "no"}
          db-migrate: {image: example/api, restart: on-failure}
          buckets: {image: minio/mc}
          init-system: {image: example/init, restart: always}
          setup: {image: example/setup, ports: ["8080:80"]}
          stays: {image: example/stays, restart: "no", expose: ["80"]}
          worker: {image: example/api}
        """,
        place=Place(docker=True),
    )
    assert {key for key, table in tables(found).items() if table.get("one_shot")} == {
        "prepare",
        "permissions",
        "db-migrate",
        "buckets",
    }
    assert tables(found)["prepare"] == {"check": "docker", "one_shot": True}


def test_containers_are_named_as_compose_names_them(tmp_path: Path) -> None:
    found = imported_from(
        tmp_path,
        """
        name: shop
        services:
          api: {image: example/api, container_name: shop-of-old}
          db: {image: example/db}
        """,
    )
    assert found.name == "shop"
    assert {chosen.key: chosen.table["container"] for chosen in found.services} == {"api": "shop-of-old", "db": "shop-db-1"}


def test_only_unset_variables_of_what_runs_are_told(tmp_path: Path) -> None:
    found = imported_from(
        tmp_path,
        """
        version: "3.8"
        services:
          api: {image: example/api, environment: {A: "${MISSED}"}}
          certs: {image: example/certs, profiles: [certs], environment: {B: "${NOT_MISSED}"}}
        """,
    )
    assert "MISSED is not set" in said(found, None)
    assert "NOT_MISSED" not in said(found, None)
    assert "`version` is obsolete" in said(found, None)


def test_what_is_no_container_is_drawn_and_said(tmp_path: Path) -> None:
    found = imported_from(
        tmp_path,
        """
        services:
          api: {image: example/api, depends_on: [llm]}
          llm: {provider: {type: model, options: {model: "ai/small"}}}
        """,
        place=Place(docker=True),
    )
    assert tables(found) == {"api": {"check": "docker", "depends_on": ["llm"]}, "llm": {"check": "none"}}
    assert "not a container" in said(found, "llm")
