"""Images that are known, and how what runs in them is checked: the port inside the container and what answers there.

From the documentation of each: stores are logged into (the check's own kind does that), everything else answers over HTTP where
it has an endpoint for it. An image is known by its name without registry and tag: ``redis``, or ``minio/minio`` with its owner.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from core.settings_services import Check

ANY_BUT_BROKEN = "200-499"
"""Whatever it says, it serves HTTP; 5xx says that it does not work."""


@dataclass(frozen=True, slots=True)
class Known:
    """``weak``: it only says that something answers; a service's own healthcheck that asks over HTTP is preferred."""

    check: Check
    port: int
    path: str = ""
    status: str = ""
    json_path: str = ""
    json_value: str = ""
    weak: bool = False


def _http(port: int, path: str, status: str = "") -> Known:
    return Known("http", port, path, status)


def _tcp(port: int) -> Known:
    return Known("tcp", port, weak=True)


def _page(port: int, path: str = "/") -> Known:
    return Known("http", port, path, ANY_BUT_BROKEN, weak=True)


_FOUNDATIONS: tuple[tuple[str, Known], ...] = (
    # Stores
    ("postgres postgresql postgresql-repmgr postgis pgvector pgvecto-rs pgautoupgrade paradedb", Known("postgres", 5432)),
    ("timescaledb timescaledb-ha vchord-postgres vchord-suite pgduckdb spilo-*", Known("postgres", 5432)),
    ("mysql mysql-server mariadb mariadb-galera percona percona-server", Known("mysql", 3306)),
    ("tidb", Known("mysql", 4000)),
    ("redis valkey redis-stack redis-stack-server keydb dragonfly", Known("redis", 6379)),
    ("mongo mongodb mongodb-community-server percona-server-mongodb mongodb-atlas-local", Known("mongo", 27017)),
    ("minio", _http(9000, "/minio/health/live")),
    ("elasticsearch", _http(9200, "/_cluster/health", "200,401")),
    ("opensearch", _http(9200, "/_cluster/health", "200,401")),
    ("qdrant", _http(6333, "/readyz")),
    ("milvus", _http(9091, "/healthz")),
    ("weaviate", Known("weaviate", 8080)),
    ("chroma chromadb", _http(8000, "/api/v2/heartbeat", "200,404,410")),
    ("clickhouse clickhouse-server", _http(8123, "/ping")),
    ("etcd", Known("http", 2379, "/health", json_path="$.health", json_value="true")),
    ("meilisearch", _http(7700, "/health")),
    ("typesense", _http(8108, "/health")),
    ("influxdb", _http(8086, "/ping")),
    ("couchdb", _http(5984, "/_up")),
    ("neo4j", _page(7474)),
    ("vespa", _http(19071, "/state/v1/health")),
    ("infinity", _page(23820)),
    ("opengauss* gaussdb", _tcp(5432)),
    ("oceanbase-ce seekdb", _tcp(2881)),
    ("cassandra scylla", _tcp(9042)),
    ("memcached", _tcp(11211)),
    ("pgbouncer", _tcp(6432)),
    ("myscaledb", _http(8123, "/ping")),
    # Queues and coordination
    ("rabbitmq", _tcp(5672)),
    ("kafka cp-kafka kafka-native", _tcp(9092)),
    ("redpanda", _http(9644, "/v1/status/ready")),
    ("zookeeper cp-zookeeper", _tcp(2181)),
    ("nats", _http(8222, "/healthz")),
    ("pulsar", _http(8080, "/admin/v2/brokers/health")),
    ("rocketmq", _tcp(9876)),
    ("nacos nacos-server", _http(8848, "/nacos/v1/console/health/liveness")),
    ("consul", _http(8500, "/v1/status/leader")),
    ("auto-setup temporalio/server", _tcp(7233)),
    ("temporalio/ui", _page(8080)),
    # Models
    ("ollama", _http(11434, "/api/tags")),
    ("xinference", _http(9997, "/v1/models", "200,401,403")),
    ("vllm-openai vllm", _http(8000, "/health")),
    ("sglang", _http(30000, "/health")),
    ("litellm litellm-database", _http(4000, "/health/liveliness")),
    ("text-generation-inference text-embeddings-inference", _http(80, "/health")),
    ("localai local-ai", _http(8080, "/readyz")),
    ("llama.cpp", _http(8080, "/health")),
    ("one-api new-api", Known("http", 3000, "/api/status", json_path="$.success", json_value="true")),
    ("aiproxy", _http(3000, "/api/status")),
    # Watching and identity
    ("prometheus", _http(9090, "/-/healthy")),
    ("alertmanager", _http(9093, "/-/healthy")),
    ("pushgateway", _http(9091, "/-/healthy")),
    ("blackbox-exporter", _http(9115, "/-/healthy")),
    ("node-exporter", _http(9100, "/metrics")),
    ("cadvisor", _http(8080, "/healthz")),
    ("grafana grafana-oss grafana-enterprise", Known("http", 3000, "/api/health", json_path="$.database", json_value="ok")),
    ("loki", _http(3100, "/ready")),
    ("tempo", _http(3200, "/ready")),
    ("victoria-metrics", _http(8428, "/health")),
    ("opentelemetry-collector*", _page(13133)),
    ("all-in-one jaeger", _page(16686)),
    ("zipkin", _http(9411, "/health")),
    ("kibana opensearch-dashboards", _page(5601, "/api/status")),
    ("keycloak", _http(8080, "/realms/master")),
    ("authelia", _http(9091, "/api/health")),
    ("goauthentik/server", _http(9000, "/-/health/ready/")),
    ("hydra", _http(4444, "/health/ready")),
    ("kratos", _http(4433, "/health/ready")),
    ("zitadel", _http(8080, "/debug/healthz")),
    ("vault", _http(8200, "/v1/sys/health?standbyok=true")),
    ("openldap", Known("ldap", 389)),
    ("oauth2-proxy", _http(4180, "/ping")),
    # What stands in front
    ("nginx nginx-unprivileged openresty", _page(80)),
    ("httpd caddy traefik haproxy apache", _page(80)),
    ("apisix", _tcp(9080)),
    ("mailhog mailpit", _page(8025)),
    ("adminer phpmyadmin pgadmin4 mongo-express redisinsight", _page(8080)),
    ("uptime-kuma", _page(3001)),
    ("portainer-ce", _page(9000)),
)
_PLATFORMS: tuple[tuple[str, Known], ...] = (
    ("dify-api", _http(5001, "/health")),
    ("dify-web", _page(3000)),
    ("dify-sandbox", _http(8194, "/health")),
    ("dify-plugin-daemon", _http(5002, "/health/check")),
    ("fastgpt", _http(3000, "/api/common/system/getInitData")),
    ("fastgpt-plugin fastgpt-sandbox fastgpt-code-sandbox", _http(3000, "/health")),
    ("fastgpt-mcp_server fastgpt-mcp-server", _tcp(3000)),
    ("core-tenant", _http(5052, "/ping")),
    ("core-agent", _tcp(17870)),
    ("core-knowledge", _tcp(20010)),
    ("core-workflow", _tcp(7880)),
    ("core-link", _tcp(18888)),
    ("core-database core-memory", _tcp(7990)),
    ("core-aitools", _tcp(18668)),
    ("core-rpa", _tcp(17198)),
    ("console-hub", _http(8080, "/actuator/health")),
    ("casdoor", Known("http", 8000, "/.well-known/openid-configuration", json_path="$.issuer")),
    ("langfuse", _http(3000, "/api/public/health")),
    ("langfuse-worker", _http(3030, "/api/health")),
    ("librechat librechat-dev librechat-api librechat-dev-api", _http(3080, "/health")),
    ("librechat-rag-api*", _http(8000, "/health")),
    ("open-webui", _http(8080, "/health")),
    ("anythingllm", _http(3001, "/api/ping")),
    ("n8n", _http(5678, "/healthz")),
    ("flowise", _http(3000, "/api/v1/ping")),
    ("langflow", _http(7860, "/health")),
    ("lobe-chat lobe-chat-database lobehub", _page(3210)),
    ("ragflow", _page(80)),
    ("searxng", _http(8080, "/healthz")),
    ("prefect", _http(4200, "/api/health")),
    ("mlflow", _http(5000, "/health")),
    ("label-studio", _http(8080, "/health")),
    ("superset", _http(8088, "/health")),
    ("metabase", _http(3000, "/api/health")),
    ("mattermost*", _http(8065, "/api/v4/system/ping")),
    ("immich-server", _http(2283, "/api/server/ping")),
    ("immich-machine-learning", _http(3003, "/ping")),
    ("nextcloud", _http(80, "/status.php")),
    ("hasura/graphql-engine graphql-engine", _http(8080, "/healthz")),
    ("directus", _http(8055, "/server/health")),
    ("gitea forgejo", _http(3000, "/api/healthz")),
    ("jenkins", _page(8080, "/login")),
    ("sonarqube", Known("http", 9000, "/api/system/status", json_path="$.status", json_value="UP")),
    ("nexus3", _http(8081, "/service/rest/v1/status")),
    ("registry", _http(5000, "/v2/", "200,401")),
    ("supabase/studio", _page(3000)),
    ("gotrue", _http(9999, "/health")),
    ("postgrest", _page(3000)),
    ("storage-api", _http(5000, "/status")),
    ("logflare", _http(4000, "/health")),
    ("supavisor", _http(4000, "/api/health")),
    ("imgproxy", _http(8080, "/health")),
    ("kong", _tcp(8000)),
    ("tika", _http(9998, "/tika")),
    ("unstructured-api", _http(8000, "/healthcheck")),
    ("docling-serve*", _http(5001, "/health")),
    ("squid", _tcp(3128)),
)
_FRONTS: tuple[tuple[str, str], ...] = (
    # Through Dify's proxy this asks its API, and that its database; the API's own /health asks nobody.
    ("dify-api", "/console/api/setup"),
    ("console-hub", "/nginx-health"),
    ("core-tenant", "/nginx-health"),
)
"""What the proxy of a platform answers, by an image of that platform."""
_PROXIES = ("nginx", "openresty", "nginx-unprivileged")


def known_of(image: str, images: tuple[str, ...] = ()) -> Known | None:
    """How an image is checked; ``images`` are those of the whole project, which tell a platform's proxy."""
    names = name_of(image)
    if names[0] in _PROXIES:
        for other, path in _FRONTS:
            if any(name_of(each)[0] == other for each in images):
                return _http(80, path)
    return _found(_FOUNDATIONS, names) or _found(_PLATFORMS, names)


def is_foundation(image: str) -> bool:
    """Whether it is known as what platforms are built on, and needs none of their services itself."""
    return _found(_FOUNDATIONS, name_of(image)) is not None


def name_of(image: str) -> tuple[str, str]:
    """``ghcr.io/labring/fastgpt:v4@sha256:…`` as ``("fastgpt", "labring/fastgpt")``, in lower case."""
    path = image.partition("@")[0]
    head, slash, last = path.rpartition("/")
    parts = [*head.split("/"), last.partition(":")[0]] if slash else [last.partition(":")[0]]
    return parts[-1].lower(), "/".join(parts[-2:]).lower()


def _found(table: tuple[tuple[str, Known], ...], names: tuple[str, str]) -> Known | None:
    return next((known for patterns, known in table if any(_fits(pattern, names) for pattern in patterns.split())), None)


def _fits(pattern: str, names: tuple[str, str]) -> bool:
    name, owned = names
    if "/" in pattern:
        return fnmatchcase(owned, pattern)
    return fnmatchcase(name, pattern)
