"""Whatever a project looks like: what is kept of it can be read back, and holds no secret."""

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.topology.choosing import Place, imported
from core.topology.composed import Project
from core.topology.kept import load_topology
from core.topology.writing import as_toml, differences

SECRET = "hunter2"
IMAGES = (
    "postgres:16",
    "redis",
    "mysql:8",
    "mongo",
    "nginx",
    "minio/minio",
    "langgenius/dify-api",
    "own/image",
    "elasticsearch:8.1",
    "",
)
KEYS = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,8}", fullmatch=True)
WORDS = st.sampled_from(
    (
        SECRET,
        f"postgres://u:{SECRET}@db/x",
        f"pre-{SECRET}",
        f"http://db:80/?token={SECRET}",
        "db",
        "db:5432",
        "${SECRET}",
        "$$x",
        "",
    )
)
VARIABLES = st.sampled_from(
    (
        "POSTGRES_PASSWORD",
        "POSTGRES_USER",
        "MYSQL_ROOT_PASSWORD",
        "REDIS_PASSWORD",
        "MONGO_INITDB_ROOT_PASSWORD",
        "DB_HOST",
        "X_URL",
    )
)
PORTS = st.fixed_dictionaries(
    {
        "target": st.sampled_from((80, 7000, 5432, 6379, 3306, 27017)),
        "published": st.sampled_from(("8080", "5432", "9000", "80-90", "")),
        "protocol": st.sampled_from(("tcp", "tcp", "tcp", "udp")),
    },
    optional={"host_ip": st.sampled_from(("127.0.0.1", "0.0.0.0", "::", "192.0.2.1", "::1"))},
)
CHECKS = st.sampled_from(
    (
        {"disable": True},
        {"test": ["NONE"]},
        {"test": ["CMD", "curl", "-f", f"http://u:{SECRET}@localhost:80/x?k={SECRET}"]},
        {"test": ["CMD-SHELL", f"redis-cli -a {SECRET} ping"]},
        {"test": ["CMD-SHELL", f"wget -q --header 'A: {SECRET}' localhost:7000/health"]},
    )
)
SERVICES = st.fixed_dictionaries(
    {"image": st.sampled_from(IMAGES), "ports": st.lists(PORTS, max_size=3), "healthcheck": CHECKS},
    optional={
        "environment": st.dictionaries(VARIABLES, WORDS, max_size=4),
        "command": st.lists(st.sampled_from(("redis-server", "--requirepass", SECRET, "http://db")), max_size=4),
        "restart": st.sampled_from(("no", "always", "on-failure")),
        "scale": st.sampled_from((0, 1)),
        "network_mode": st.sampled_from(("host", "service:db", "container:db", "none", "bridge")),
        "container_name": st.just("db"),
    },
)


@st.composite
def projects(draw: st.DrawFn) -> dict[str, Any]:
    """A project's services; each may need those before it."""
    services: dict[str, Any] = draw(st.dictionaries(KEYS | st.just("db"), SERVICES, min_size=1, max_size=6))
    services[draw(KEYS)] = {"image": "own/stays"}
    keys = list(services)
    for number, key in enumerate(keys):
        if services[key].get("network_mode", "").endswith(":db") and "db" not in keys[:number]:
            del services[key]["network_mode"]
        needs = draw(st.lists(st.sampled_from(keys[:number]), max_size=2)) if number else []
        services[key]["depends_on"] = {need: {"condition": "service_started", "required": True} for need in needs}
        if services[key].get("container_name") and key != keys[0]:
            del services[key]["container_name"]
    return services


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    services=projects(),
    written=st.booleans(),
    host=st.sampled_from(("127.0.0.1", "db.example.com", "::1", "10.0.0.1")),
    docker=st.booleans(),
)
def test_what_is_kept_is_read_back_and_holds_no_secret(
    tmp_path: Path, services: dict[str, Any], written: bool, host: str, docker: bool
) -> None:
    resolved = {"name": "any", "services": services}
    project = Project(resolved, resolved if written else {}, tmp_path, variables={"SECRET": SECRET})
    found = imported(project, Place(host, docker))
    text = as_toml(found, ["compose.yaml"], [])
    assert SECRET not in text
    assert SECRET not in repr(found)
    file = tmp_path / "any.toml"
    file.write_text(text, encoding="utf-8")
    topology = load_topology(file, {})
    active = {key for key, service in services.items() if service.get("scale") != 0}
    assert set(topology.services) == active
    for key, service in topology.services.items():
        assert set(service.depends_on) >= {need for need in services[key]["depends_on"] if need in active}
        assert (service.check == "none") <= (not docker)
    assert differences(text, text) == []
