"""Soft edges from what variables and commands say."""

from pathlib import Path

from tests.core.topology.projects import imported_from, said, tables


def test_addresses_of_every_form_are_hints(tmp_path: Path) -> None:
    found = imported_from(
        tmp_path,
        """
        services:
          url: {image: a, environment: {X: "postgres://u:p@db:5432/x?a=b"}}
          driver: {image: a, environment: {X: "db+postgresql://u:p%40ss@db/x"}}
          java: {image: a, environment: {X: "jdbc:mysql://db:3306/x?useSSL=false"}}
          go: {image: a, environment: {X: "root:pw@tcp(db:3306)/x"}}
          libpq: {image: a, environment: {X: "host=db port=5432 user=u"}}
          several: {image: a, environment: {X: "mongodb://u:p@other-host:27017,db:27018/x"}}
          plain: {image: a, environment: {DB_HOST: db}}
          port: {image: a, environment: {BROKERS: "elsewhere:9092,db:9092"}}
          command: {image: a, command: ["--store", "http://db:80"]}
          json: {image: a, environment: {HOSTS: '["https://db:9200"]'}}
          container: {image: a, environment: {X: "http://the-db:1"}}
          alias: {image: a, environment: {X: "http://store:1"}}
          unset: {image: a, environment: {X: "http://db:${PORT}"}}
          default: {image: a, environment: {X: "${DB:-redis://db:6379}"}}
          gateway: {image: a, environment: {X: "http://host.docker.internal:5544/"}}
          host: {image: a, network_mode: host, environment: {X: "http://localhost:5544"}}
          mapped: {image: a, extra_hosts: ["localhost:host-gateway"], environment: {X: "http://localhost:5544"}}
          db:
            image: a
            container_name: the-db
            ports: ["5544:80"]
            networks: {default: {aliases: [store]}}
        """,
    )
    hints = {key: table.get("hints") for key, table in tables(found).items() if key != "db"}
    assert hints == {key: ["db"] for key in hints}
    assert len(hints) == 17


def test_words_that_only_look_like_a_service_are_none(tmp_path: Path) -> None:
    found = imported_from(
        tmp_path,
        """
        services:
          api:
            image: a
            environment:
              DB_TYPE: mysql
              DB_CONNECTION: mysql
              CACHE_BACKEND: weaviate
              VECTOR_STORE: weaviate
              MODE: api
              PUBLIC_URL: http://localhost:3306
              DOCS_URL: https://mysql.example.org/api
              PATH_OF: /opt/mysql:/opt/weaviate
              SELF_URL: http://api:80
              IMAGE: mysql:8
            command: ["serve", "mysql"]
          mysql: {image: a, ports: ["3306:3306"]}
          weaviate: {image: a}
        """,
    )
    assert tables(found)["api"] == {"check": "none"}


def test_a_hint_never_repeats_or_turns_a_hard_edge(tmp_path: Path) -> None:
    found = imported_from(
        tmp_path,
        """
        services:
          web: {image: a, depends_on: [api], environment: {API_URL: "http://api:1"}}
          api: {image: a, depends_on: [db], environment: {WEB_URL: "http://web:80", DAEMON_URL: "http://daemon:1"}}
          daemon: {image: a, environment: {API_URL: "http://api:1"}}
          db: {image: a, environment: {PEER_HOST: web}}
        """,
    )
    edges = {key: (table.get("depends_on", []), table.get("hints", [])) for key, table in tables(found).items()}
    assert edges == {"web": (["api"], []), "api": (["db"], ["daemon"]), "daemon": ([], ["api"]), "db": ([], [])}
    assert "count as one: api, daemon." in said(found, None)


def test_stores_outside_are_told_by_the_variable_alone(tmp_path: Path) -> None:
    found = imported_from(
        tmp_path,
        """
        services:
          api: {image: a, environment: {CRM_DSN: "postgres://u:secret@crm.internal:5432/x", OPENAI: "https://api.openai.com"}}
        """,
    )
    assert said(found, "api").startswith("CRM_DSN: leads to a store outside")
    assert not any(word in str(found) for word in ("secret", "crm.internal", "openai.com"))


def test_an_env_file_that_all_share_says_nothing_of_stores(tmp_path: Path) -> None:
    found = imported_from(
        tmp_path,
        """
        services:
          server: {image: example/server, env_file: .env}
          cache: {image: "redis:7", env_file: .env}
          search: {image: "elasticsearch:8.1", env_file: .env, environment: {SEED_HOST: cache}}
          objects: {image: minio/minio, env_file: .env}
        """,
        "CACHE_HOST=cache\nSEARCH_URL=http://search:9200\nOBJECTS=objects:9000\nDATABASE_URL=postgres://elsewhere/x\n",
    )
    assert {key: table.get("hints", []) for key, table in tables(found).items()} == {
        "server": ["cache", "objects", "search"],
        "cache": [],
        "search": ["cache"],
        "objects": [],
    }
    assert "DATABASE_URL" in said(found, "server")
    assert "DATABASE_URL" not in said(found, "cache")
