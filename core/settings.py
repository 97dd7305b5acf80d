"""Every setting of Pilothouse with its type, default and meaning, as one frozen tree.

The tree says what a value may be; ``core/config.py`` says where values come from and is what other modules import.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from core.addresses import postgres_url, prefect_database_url, reachable_host, redis_url
from core.model_catalogue import ModelType
from core.settings_access import AccessSettings, LdapSettings
from core.settings_alerts import AlertSettings, ChannelSettings, fallbacks_known
from core.settings_audit import AuditSettings
from core.settings_backups import (
    OWN_SOURCES,
    BackupSettings,
    HookSettings,
    SetSettings,
    SourceSettings,
    TargetSettings,
    names_known,
)
from core.settings_changes import ChangeSettings, changes_fit
from core.settings_charts import ChartSettings
from core.settings_databases import ReadableSettings
from core.settings_fastgpt import FastGptSettings
from core.settings_files import FileSettings
from core.settings_models import ModelWatchSettings
from core.settings_oidc import OidcSettings, providers_named
from core.settings_preflight import PreflightSettings
from core.settings_quotas import Prices, QuotaSettings
from core.settings_services import ServiceSettings, SweepSettings
from core.settings_types import ExistingFile, HttpUrl, Section, level, network, path_prefix, secret, time_zone


class DatabaseSettings(Section):
    """``[database]``: our own PostgreSQL (tables in schema ``pilothouse``)."""

    url: Annotated[SecretStr, secret(postgres_url)] | None = None
    """``postgresql://…``; None means the embedded server. ``DATABASE_URL`` sets it; Prisma's ``?schema=`` is dropped."""
    pool_size: Annotated[int, Field(ge=1, le=200)] = 10
    pool_overflow: Annotated[int, Field(ge=0, le=200)] = 10
    pool_timeout: Annotated[float, Field(gt=0, le=120)] = 10.0
    """Seconds a request waits for a free connection before it fails."""
    connect_timeout: Annotated[int, Field(ge=1, le=60)] = 5
    statement_timeout: Annotated[float, Field(gt=0, le=600)] = 15.0
    """Seconds after which PostgreSQL ends one of our statements."""
    programs: Path | None = None
    """Folder of PostgreSQL's own programs for the embedded server (``PG_BIN``); None takes those of the wheel."""


class RedisSettings(Section):
    """``[redis]``: Redis 7+ or Valkey; needed when several API processes share streams."""

    url: Annotated[SecretStr, secret(redis_url)] | None = None
    """``redis://…``; ``REDIS_URL``, or ``REDIS_HOST/PORT/PASSWORD``. None keeps streams in the one API process's memory."""
    timeout: Annotated[float, Field(gt=0, le=60)] = 5.0


class PrefectSettings(Section):
    """``[prefect]``: where runs are tracked."""

    api_url: HttpUrl | None = None
    """An existing Prefect server (``PREFECT_API_URL``); None starts one on loopback."""
    auth_string: SecretStr | None = None
    """``user:password`` of that server's Basic auth (``PREFECT_API_AUTH_STRING``)."""
    database_url: Annotated[SecretStr, secret(prefect_database_url)] | None = None
    """The server's own database (``PREFECT_API_DATABASE_CONNECTION_URL``); see docs for what happens without it."""
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Days that Prefect keeps finished runs and events."""
    event_backlog: Annotated[int, Field(ge=100, le=1_000_000)] = 20_000
    """Events kept while Prefect is away; beyond it they are dropped and counted."""


class ModelSettings(Section):
    """``[[providers.X.models]]``: one model of a provider."""

    name: str
    context: Annotated[int, Field(ge=256)] = 8192
    """Context window in tokens, prompt and answer together."""
    vision: bool = False
    max_output: Annotated[int, Field(ge=1)] | None = None
    """Tokens reserved for the answer; None reserves a quarter of the context, at most 4096."""
    type: ModelType | None = None
    """What it is besides a chat model, for the list that FastGPT gets; None goes by the name there, and is chat here."""

    @property
    def is_chat(self) -> bool:
        """Whether it may be asked for an answer."""
        return self.type in {None, "llm"}


class ProviderSettings(Section):
    """``[providers.X]``: any endpoint that speaks OpenAI's chat completions."""

    base_url: HttpUrl
    """Including ``/v1`` where the server has it, e.g. ``http://localhost:11434/v1``."""
    api_key: SecretStr | None = None
    kind: Literal["openai", "azure"] = "openai"
    """``azure`` sends ``api-key`` and ``api_version`` and uses deployment paths."""
    api_version: str | None = None
    models: tuple[ModelSettings, ...] = ()
    """Empty: whatever the provider lists."""
    order: int = 100
    """Lower is asked first; later ones are the fallback."""
    connect_timeout: Annotated[float, Field(gt=0, le=60)] = 5.0
    first_token_timeout: Annotated[float, Field(gt=0, le=600)] = 60.0
    """Seconds without a first token after which the call counts as stalled and is tried again."""
    stall_timeout: Annotated[float, Field(gt=0, le=600)] = 60.0
    """Seconds between two tokens after which an answer is interrupted."""
    retries: Annotated[int, Field(ge=0, le=5)] = 2
    """Further tries on this provider before the next one, each before the first token only."""
    stream_usage: bool = True
    """Ask for token counts (``stream_options``); a server that refuses this is found out, one that breaks on it needs False."""
    demo: bool = False
    """The built-in demo model: the first answer of a session says so."""
    tools: Literal["auto", "native", "schema", "off"] = "auto"
    """How its models are asked to use our tools; ``auto`` tries native tool calls and learns from refusals."""


class ChatSettings(Section):
    """``[chat]``: sessions, their turns and the streams that carry the answers."""

    queue: Annotated[int, Field(ge=0, le=100)] = 4
    """Turns that may wait in one session behind the running one; one more is answered 409."""
    idle_days: Annotated[float, Field(gt=0, le=3650)] = 30.0
    """Days after the last turn (or after creation, see ``fixed_expiry``) when a session expires."""
    fixed_expiry: bool = False
    """True: a session expires that long after it was made, however much it is used."""
    body_limit: Annotated[int, Field(ge=1024)] = 2_000_000
    """Bytes of a request body."""
    vision_body_limit: Annotated[int, Field(ge=1024)] = 32_000_000
    """The same where the model has vision."""
    run_idle: Annotated[float, Field(gt=0)] = 600.0
    """Seconds without a turn after which a conversation's flow run is closed."""
    run_items: Annotated[int, Field(ge=1)] = 300
    """Turns in one flow run before a new one is opened."""
    ping: Annotated[float, Field(gt=0, le=60)] = 15.0
    """Seconds of silence on a stream after which a comment is sent."""
    tools: tuple[str, ...] = ("drawing/chart", "database/query")
    """Ids of the tools that models may use in turns of ``/chat``; ``database/query`` only once ``[databases.X]`` are there."""
    tool_rounds: Annotated[int, Field(ge=1, le=50)] = 5
    """Times that a model may call tools within one turn before it has to answer."""


class Settings(Section):
    """The whole tree. ``origins`` says where each value that is not a default came from."""

    data_dir: Path
    """Everything that Pilothouse writes on this machine."""
    host: str = "127.0.0.1"
    """Address the API listens on; ``0.0.0.0`` for all. Prefect's own server stays on loopback."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8700
    """The API's port; 0 takes a free one."""
    prefect_port: Annotated[int, Field(ge=0, le=65535)] = 4200
    """The port of the Prefect server that ``up`` starts; 0 takes a free one."""
    public_url: HttpUrl | None = None
    """Base of every link that leaves the process; None means the address of the ``ready:`` line."""
    api_prefix: Annotated[str, AfterValidator(path_prefix)] = ""
    """e.g. ``/api``: native paths answer under it and at the root."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the API; ``*`` for any."""
    trusted_proxies: tuple[Annotated[str, AfterValidator(network)], ...] = ("127.0.0.1/32", "::1/128")
    """Proxies whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed, as addresses or networks."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(level)] = "info"
    """Names such as ``WARN`` and ``verbose`` are understood."""
    timezone: Annotated[str, AfterValidator(time_zone)] = "UTC"
    """IANA name for schedules; the machine's own by default."""
    auth_token: SecretStr | None = None
    """One more token, of scope ``plugin``."""
    ca_file: ExistingFile | None = None
    """CA certificates for every outbound connection."""
    tls_cert: ExistingFile | None = None
    """Certificate chain in PEM form; with ``tls_key`` the API serves HTTPS. Read again when the file changes."""
    tls_key: ExistingFile | None = None
    """The certificate's private key in PEM form."""
    model: bool = True
    """False (``--no-model``) starts no demo model."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """API processes; more than one needs ``[redis]``."""

    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    prefect: PrefectSettings = PrefectSettings()
    chat: ChatSettings = ChatSettings()
    charts: ChartSettings = ChartSettings()
    files: FileSettings = FileSettings()
    databases: dict[str, ReadableSettings] = Field(default={})
    providers: dict[str, ProviderSettings] = Field(default={})
    fastgpt: FastGptSettings = FastGptSettings()
    backups: BackupSettings = BackupSettings()
    sources: dict[str, SourceSettings] = Field(default={})
    sets: dict[str, SetSettings] = Field(default={})
    targets: dict[str, TargetSettings] = Field(default={})
    hooks: dict[str, HookSettings] = Field(default={})
    changes: dict[str, ChangeSettings] = Field(default={})
    sweeps: SweepSettings = SweepSettings()
    services: dict[str, ServiceSettings] = Field(default={})
    model_watch: ModelWatchSettings = ModelWatchSettings()
    access: AccessSettings = AccessSettings()
    audit: AuditSettings = AuditSettings()
    preflight: PreflightSettings = PreflightSettings()
    quotas: QuotaSettings = QuotaSettings()
    prices: Prices = Field(default={})
    ldap: LdapSettings = LdapSettings()
    oidc: dict[str, OidcSettings] = Field(default={})
    alerts: AlertSettings = AlertSettings()
    channels: dict[str, ChannelSettings] = Field(default={})

    origins: dict[str, str] = Field(default={}, exclude=True)
    """Dotted key -> where its value came from, e.g. ``database.url`` -> ``DATABASE_URL``; absent means default."""
    hints: tuple[str, ...] = Field(default=(), exclude=True)
    """Lines worth showing at start, e.g. about a variable that was seen and left alone."""
    read_from: Path | None = Field(default=None, exclude=True)
    """The configuration file; None where there is none."""

    @property
    def address(self) -> str:
        """What links that leave the process begin with: ``public_url``, or the address of the ``ready:`` line."""
        scheme = "https" if self.tls_cert else "http"
        return self.public_url or f"{scheme}://{reachable_host(self.host)}:{self.port}"

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key are only of use together: expected both or neither")
        if self.workers > 1 and self.redis.url is None:
            raise ValueError("workers above 1 share their streams over Redis or Valkey: expected redis.url (REDIS_URL) as well")
        names_known(self.sources, self.sets, self.targets, self.hooks)
        changes_fit(self.changes, [*self.sources, *self.sets, *OWN_SOURCES])
        fallbacks_known(self.channels)
        providers_named(self.oidc)
        return self
