"""The variables that make Prefect run as Pilothouse needs it, for its clients in our processes and for the server ``up`` starts.

They are set before ``prefect`` is imported, and nothing of the user's own Prefect profile is read: ``PREFECT_HOME`` lies in the
data directory. The reasons are beside each value.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import SecretStr

from core.settings import Settings

Role = Literal["api", "flows", "server"]


@dataclass(frozen=True)
class PrefectServer:
    """What only the starter of a Prefect server knows; ``None`` falls back to the settings."""

    database_url: str | None = None
    """``postgresql+asyncpg://…``"""
    encryption_key: str | None = None
    """Keeps block secrets readable only with this key, which lies outside the database."""
    port: int | None = None
    auth_string: str | None = None
    """``user:password`` that API and UI ask for."""


def prefect_environment(settings: Settings, role: Role, server: PrefectServer | None = None) -> dict[str, str]:
    """Variables for one process. With ``settings.prefect.api_url`` that server is used and ``server`` says nothing to clients."""
    here = server or PrefectServer()
    own = settings.prefect.api_url is None
    port = settings.prefect_port if here.port is None else here.port
    auth = here.auth_string if own and here.auth_string else _plain(settings.prefect.auth_string)
    values = {
        "PREFECT_HOME": str(settings.data_dir / "prefect"),
        "PREFECT_API_URL": settings.prefect.api_url or f"http://127.0.0.1:{port}/api",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # A missing server is a fact to live with, never a reason to start a hidden one on SQLite.
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
    }
    if auth:
        values["PREFECT_API_AUTH_STRING"] = auth
    if settings.ca_file is not None:
        values["PREFECT_API_SSL_CERT_FILE"] = str(settings.ca_file)
    if role == "server":
        return values | _server(settings, here, port, auth)
    return values | (_api(settings) if role == "api" else _flows())


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _api(settings: Settings) -> dict[str, str]:
    return {
        # Opening or ending a run while the server is away must fail at once, not after minutes of retries.
        "PREFECT_CLIENT_MAX_RETRIES": "0",
        "PREFECT_API_REQUEST_TIMEOUT": "5",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_EVENTS_WORKER_MAX_QUEUE_SIZE": str(settings.prefect.event_backlog),
    }


def _flows() -> dict[str, str]:
    return {
        "PREFECT_CLIENT_MAX_RETRIES": "3",
        "PREFECT_API_REQUEST_TIMEOUT": "30",
        # Whoever follows a run sees its log lines nearly at once, and a triggered run starts within a second.
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.2",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    }


def _server(settings: Settings, here: PrefectServer, port: int, auth: str | None) -> dict[str, str]:
    days = f"P{settings.prefect.retention_days}D"
    values = {
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        # Six times as many task runs recorded a second.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
        # A run that waits for another of its flow to end looks again this often; by default only every half minute.
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "3",
        # Without both, a subscriber gets no log lines and no error.
        "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED": "true",
        "PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED": "true",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": days,
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": days,
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # The page calls the API of the host it came from.
        "PREFECT_UI_API_URL": "/api",
    }
    database = here.database_url or _plain(settings.prefect.database_url)
    if database:
        values["PREFECT_API_DATABASE_CONNECTION_URL"] = database
    if here.encryption_key:
        values["PREFECT_SERVER_ENCRYPTION_KEY"] = here.encryption_key
    if auth:
        values["PREFECT_SERVER_API_AUTH_STRING"] = auth
    return values
