"""Services that sweeps check: ``[services.X]``, here and in the topology files that people edit, and ``[sweeps]`` itself."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from core.settings_checks import refuse_address, refuse_headers, refuse_json_path, refuse_statuses, refuse_strays
from core.settings_types import ExistingFile, HttpUrl, Section
from core.sweeps.windows import checked as maintenance_window

Check = Literal[
    "http",
    "tcp",
    "dns",
    "tls",
    "icmp",
    "postgres",
    "mysql",
    "redis",
    "mongo",
    "s3",
    "ldap",
    "oidc",
    "weaviate",
    "model",
    "docker",
    "disk",
    "heartbeat",
    "backup",
    "drill",
    "flow",
    "prefect",
    "none",
]
Severity = Literal["critical", "warning", "info"]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class ServiceSettings(Section):
    """``[services.X]``: one service, how it is checked, and what it needs."""

    check: Check
    """``none``: it is only drawn, since nothing from here can reach it."""
    title: str | None = None
    """What people call it; None: its name."""
    platform: str = ""
    """What it is a part of, such as ``dify``; in a topology file its name."""
    image: str = ""
    container: str = ""
    """The container's name, for ``check = "docker"``."""
    depends_on: tuple[str, ...] = ()
    """Services without which it cannot work: while one of them is down, its own alert is folded under that one's."""
    hints: tuple[str, ...] = ()
    """Services that it seems to use, as its environment says; drawn, and folded under only where nothing surer is known."""
    one_shot: bool = False
    """A job that runs once: well when it has ended with 0."""
    severity: Severity = "critical"
    """Of the alert when it is down; a degraded service is at most a ``warning``."""
    runbook: HttpUrl | None = None
    """Linked from its alerts."""
    maintenance: tuple[Annotated[str, AfterValidator(maintenance_window)], ...] = ()
    """When it may be down: ``Sun 02:00-04:00``, ``daily 01:00-01:30 Asia/Shanghai`` or ``2026-12-01 22:00/2026-12-02 02:00``."""
    open_after: Annotated[int, Field(ge=1, le=100)] | None = None
    """Failed probes in a row after which it counts as down; None: ``sweeps.open_after``."""
    close_after: Annotated[int, Field(ge=1, le=100)] | None = None
    """Good probes in a row after which it counts as up again; None: ``sweeps.close_after``."""
    timeout: Annotated[float, Field(gt=0, le=300)] | None = None
    """Seconds of one probe; None: ``sweeps.timeout``."""

    url: SecretStr | None = None
    """What is asked: ``http://…``, ``tcp://host:port``, ``postgresql://…``, ``ldaps://…``, ``icmp://host``, ``dns://server/name``."""
    username: str | None = None
    """For a login, where the address names none; a bind DN for LDAP."""
    password: SecretStr | None = None
    """``env:NAME`` or ``file:PATH``."""
    ca_file: ExistingFile | None = None
    """CA certificates for this service; None: ``ca_file``."""

    method: Literal["GET", "HEAD", "POST"] = "GET"
    status: Annotated[str, Field(pattern=r"^\d{3}(-\d{3})?(,\d{3}(-\d{3})?)*$")] = "200-399"
    """HTTP status codes that are good."""
    contains: str | None = None
    """What the answer's body must hold."""
    json_path: str | None = None
    """JSONPath into the body, such as ``$.status``; alone: it must lead to something."""
    json_value: str | None = None
    """What ``json_path`` must lead to, compared as text."""
    headers: dict[str, SecretStr] = Field(default={})
    """Sent with the request."""
    redirects: bool = True
    slow: Seconds | None = None
    """Seconds above which a good answer counts as degraded."""

    warn: Annotated[float, Field(ge=0)] | None = None
    """Degraded from here on. Days left of a certificate (21); percent of connections, memory or disk in use (80, 80, 85)."""
    critical: Annotated[float, Field(ge=0)] | None = None
    """Down from here on, in the same unit (7; 95). An answering https service is that for its certificate only if set."""
    longest_query: Seconds | None = None
    """PostgreSQL, MySQL: seconds that a query may run before the service counts as degraded."""
    lag: Seconds | None = None
    """PostgreSQL, MySQL: seconds that a replica may be behind before the service counts as degraded."""

    bucket: str | None = None
    """S3: a tiny object is put, read and deleted in it; None: the buckets are listed."""
    region: str = "us-east-1"
    issuer: str | None = None
    """OIDC: what ``iss`` is, where the address that is asked is another one."""
    jwks_url: HttpUrl | None = None
    """OIDC: where the keys are fetched, where that is not what discovery says."""
    model: str | None = None
    """A model that a provider must list."""
    one_token: bool = False
    """Ask the model for one token as well; that costs what the provider takes for it."""
    address: str | None = None
    """DNS: an address that the name must resolve to."""
    path: Path | None = None
    """Disk: what lies on the disk; None: the data directory."""
    name: str | None = None
    """Of the source (``backup``, ``drill``), the flow (``flow``) or, without ``url``, the provider (``model``); None: its own."""
    period: Seconds = 3600.0
    """Heartbeat: seconds between two of them."""
    grace: Seconds = 300.0
    """Heartbeat, backup, flow: seconds that one may be late."""

    @model_validator(mode="after")
    def _together(self) -> Self:
        """What belongs together is there, and nothing is there that the check would ignore."""
        refuse_address(self.check, None if self.url is None else self.url.get_secret_value())
        defaults = type(self).model_fields
        refuse_strays(self.check, [key for key, field in defaults.items() if getattr(self, key) != field.default])
        refuse_headers({name: value.get_secret_value() for name, value in self.headers.items()})
        refuse_statuses(self.status)
        if self.json_path is not None:
            refuse_json_path(self.json_path)
        elif self.json_value is not None:
            raise ValueError("json_value is what json_path leads to: expected json_path as well")
        if self.method == "HEAD" and (self.contains is not None or self.json_path is not None):
            raise ValueError('an answer to method = "HEAD" has no body: expected GET for contains and json_path')
        if self.check == "docker" and not self.container:
            raise ValueError('check = "docker" needs the name of a container: expected container as well')
        empty = self.password is None or not self.password.get_secret_value()
        if self.check in {"http", "ldap"} and self.username is not None and empty:
            raise ValueError("username without a password: expected password as well (env:NAME or file:PATH)")
        return self


class SweepSettings(Section):
    """``[sweeps]``: when services are checked, and what counts as down."""

    interval: Annotated[float, Field(ge=10, le=86_400)] = 300.0
    """Seconds between two sweeps."""
    recheck: Annotated[float, Field(ge=0.1, le=300)] = 20.0
    """Seconds after which a service that has begun to fail, or to recover, is probed again until that is sure."""
    open_after: Annotated[int, Field(ge=1, le=100)] = 3
    close_after: Annotated[int, Field(ge=1, le=100)] = 2
    timeout: Annotated[float, Field(gt=0, le=300)] = 10.0
    at_once: Annotated[int, Field(ge=1, le=1000)] = 100
    """Probes at a time."""
    topologies: tuple[Path, ...] = ()
    """Topology files besides those in ``topologies`` of the data directory."""
    prober: tuple[str, ...] = ()
    """Addresses (``tcp://host:port``, ``http://…``) of which one at least answers whenever this machine has a network."""
    reach: tuple[str, ...] = ()
    """Hosts on loopback, link-local and metadata addresses that a checked service may redirect a probe to."""
    docker: str | None = None
    """Docker's Engine API: a socket's path, or ``tcp://host:port``; None: ``DOCKER_HOST`` or the usual socket."""
    keep_samples: Annotated[float, Field(gt=0, le=365)] = 2.0
    """Days that single probes are kept; after that only what each hour came to."""
    keep_hours: Annotated[float, Field(gt=0, le=3650)] = 100.0
    """Days that this is kept."""
